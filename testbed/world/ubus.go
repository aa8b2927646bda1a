package world

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

// UbusUp starts a ubusd on the node, with nobody on it. New does it once.
func (w *World) UbusUp() error {
	var ln net.Listener
	err := w.Node.Inside(func() (err error) {
		if err := os.MkdirAll(path.Dir(ubus.DefaultPath), 0o755); err != nil {
			return err
		}
		ln, err = ubusd.Listen(ubus.DefaultPath)
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(w.ctx)
	d, done := ubusd.New(), make(chan struct{})
	d.Group = w.nodeGroup
	w.serve("ubusd", func() error {
		defer close(done)
		return d.Serve(ctx, ln)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Ubus = d
	w.ubusStop = func() { cancel(); <-done }
	return nil
}

// nodeGroup names a group as the node's /etc/group does.
func (w *World) nodeGroup(gid uint32) (string, error) {
	text, err := w.Node.ReadFile("/etc/group")
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
func (w *World) UbusDown() {
	w.mu.Lock()
	stop := w.ubusStop
	w.mu.Unlock()
	stop()
}

// UbusConn connects to the node's ubus.
func (w *World) UbusConn(ctx context.Context) (c *ubus.Conn, err error) {
	err = w.Node.Inside(func() (err error) {
		c, err = ubus.Dial(ctx, ubus.DefaultPath)
		return err
	})
	return c, err
}

// UbusCall calls a method of an object on the node's ubus.
func (w *World) UbusCall(ctx context.Context, object, method string, args ubus.Table) (ubus.Table, error) {
	c, err := w.UbusConn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Call(ctx, object, method, args)
}
