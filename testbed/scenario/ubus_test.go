package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/agent/ubus"
	"wguplink/testbed/topology"
)

// What the agent says on ubus, and that it comes back after ubusd was away; the tunnel needs none of it.
func TestUbus(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	listener, err := n.UbusConn(n.ctx)
	n.must(err)
	defer listener.Close()
	events := make(chan ubus.Table, 100)
	n.must(listener.Listen(n.ctx, "wguplink.*", func(event string, data ubus.Table) {
		if event == "wguplink.state" {
			events <- data
		}
	}))
	l2 := n.frames()
	first := n.reply(l2, n.start())
	nodeConnected(n.scene)
	for connected := false; !connected; {
		select {
		case e := <-events:
			state, _ := e.String("state")
			uplink, _ := e.String("uplink")
			gateway, _ := e.String("gateway")
			if connected = state == "connected"; connected && (uplink != "mesh" || gateway != first.Gateway) {
				t.Errorf("event %+v", e)
			}
		case <-n.ctx.Done():
			t.Fatal("no event says that it is connected")
		}
	}
	ubusGateway(n, first.Gateway)

	since := time.Now()
	n.UbusDown()
	n.must(n.UbusUp())
	n.must(n.Ubus.Await(n.ctx, "wguplink"))
	ubusGateway(n, first.Gateway)

	// Nonsense is answered, and harms nothing.
	good := n.uci()
	n.must(n.agent.Configure(good + "\nconfig uplink 'mesh2'\n\toption protocol 'fastd'\n"))
	answer, err := n.UbusCall(n.ctx, "wguplink", "reload", nil)
	if mistakes, _ := answer.Array("mistakes"); err != nil || !strings.Contains(fmt.Sprint(mistakes...), "fastd") {
		t.Errorf("a mistake in the configuration: %v, %+v", err, answer)
	}
	n.must(n.agent.Configure("config uplink 'mesh"))
	answer, err = n.UbusCall(n.ctx, "wguplink", "reload", nil)
	if why, _ := answer.String("error"); !errors.Is(err, ubus.StatusInvalidArgument) ||
		!strings.Contains(why, "empty or damaged") {
		t.Errorf("a damaged configuration: %v, %+v", err, answer)
	}
	ubusGateway(n, first.Gateway)
	n.must(n.agent.Configure(good))
	if _, err := n.UbusCall(n.ctx, "wguplink", "reload", nil); err != nil {
		t.Errorf("reload: %v", err)
	}
	for method, want := range map[string]ubus.Status{"stop": ubus.StatusMethodNotFound,
		"reconnect": ubus.StatusNotFound} {
		if _, err := n.UbusCall(n.ctx, "wguplink", method, ubus.Table{{Name: "uplink", Value: "none"}}); !errors.Is(err,
			want) {
			t.Errorf("%s: %v", method, err)
		}
	}
	nodeLossless(n.scene, l2, since)

	// The agent goes, and its object with it.
	nodeStop(n.scene)
	n.must(n.Ubus.AwaitGone(n.ctx, "wguplink"))
}

// Without ubusd all works; it may come later.
func TestUbusLate(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	n.UbusDown()
	first := n.reply(n.frames(), n.start())
	nodeConnected(n.scene)
	if out, code, err := n.agent.Run(n.ctx, "reconnect"); err != nil || code != 1 ||
		!strings.Contains(out, "no ubusd runs") {
		t.Errorf("reconnect: exit code %d, %v: %s", code, err, out)
	}
	n.must(n.UbusUp())
	n.must(n.Ubus.Await(n.ctx, "wguplink"))
	ubusGateway(n, first.Gateway)
	if lines := n.agent.Lines(); slices.ContainsFunc(lines,
		func(l string) bool { return strings.Contains(l, "level=ERROR") }) {
		t.Errorf("errors without ubusd: %q", lines)
	}
}

// ubusGateway checks what the method status says.
func ubusGateway(n *node, want string) {
	n.t.Helper()
	answer, err := n.UbusCall(n.ctx, "wguplink", "status", nil)
	n.must(err)
	uplinks, _ := answer.Table("uplinks")
	mesh, _ := uplinks.Table("mesh")
	gateway, _ := mesh.Table("gateway")
	state, _ := mesh.String("state")
	name, _ := gateway.String("name")
	if rx, _ := gateway.Int("rx_bytes"); state != "connected" || name != want || rx == 0 {
		n.t.Errorf("status %+v", answer)
	}
}
