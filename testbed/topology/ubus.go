package topology

import (
	"context"
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"strings"

	"wguplink/agent/ubus"
	"wguplink/testbed/ubusd"
)

// UbusUp starts a ubusd on the node, with no client on it. New does it once.
func (topo *Topology) UbusUp() error {
	var ln net.Listener
	err := topo.Node.Inside(func() (err error) {
		if err := os.MkdirAll(path.Dir(ubus.DefaultPath), 0o755); err != nil {
			return err
		}
		ln, err = ubusd.Listen(ubus.DefaultPath)
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(topo.ctx)
	d, done := ubusd.New(), make(chan struct{})
	d.Group = topo.nodeGroup
	topo.serve("ubusd", func() error {
		defer close(done)
		return d.Serve(ctx, ln)
	})
	topo.mu.Lock()
	defer topo.mu.Unlock()
	topo.Ubus = d
	topo.ubusStop = func() { cancel(); <-done }
	return nil
}

// nodeGroup names a group as the node's /etc/group does.
func (topo *Topology) nodeGroup(gid uint32) (string, error) {
	text, err := topo.Node.ReadFile("/etc/group")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Split(line, ":"); len(f) == 4 && f[2] == strconv.FormatUint(uint64(gid), 10) {
			return f[0], nil
		}
	}
	return "", fmt.Errorf("group %d is not in the node's /etc/group", gid)
}

// UbusDown ends the node's ubusd, with all its connections.
func (topo *Topology) UbusDown() {
	topo.mu.Lock()
	stop := topo.ubusStop
	topo.mu.Unlock()
	stop()
}

// UbusConn connects to the node's ubus.
func (topo *Topology) UbusConn(ctx context.Context) (c *ubus.Conn, err error) {
	err = topo.Node.Inside(func() (err error) {
		c, err = ubus.Dial(ctx, ubus.DefaultPath)
		return err
	})
	return c, err
}

// UbusCall calls a method of an object on the node's ubus.
func (topo *Topology) UbusCall(ctx context.Context, object, method string, args ubus.Table) (ubus.Table, error) {
	c, err := topo.UbusConn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Call(ctx, object, method, args)
}
