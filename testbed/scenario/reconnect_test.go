package scenario

import (
	"errors"
	"strings"
	"testing"
	"time"

	"wguplink/agent/ubus"
	"wguplink/testbed/topology"
)

// A planned switch keeps the VXLAN device, and costs next to no frame.
func TestPlannedSwitch(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	l2 := s.Layer2("mesh-vpn", 10*time.Millisecond)
	t.Cleanup(l2.Close)
	first := s.reply(l2, s.start())
	nodeConnected(s)
	// A gateway answers handshakes when its worker has added the peer, and frames when it has added the way, too: on a
	// busy machine seconds later.
	for _, g := range s.Gateways {
		s.must(s.Timeline().Await(s.ctx, topology.KeyAt(g.Name)))
	}
	vxlan := nodeIndex(s, "mesh-vpn")
	since := time.Now()
	out, code, err := s.agent.Run(s.ctx, "reconnect")
	s.must(err)
	if code != 0 || !strings.Contains(out, "connected to gw") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	next := s.reply(l2, time.Now())
	if next.Gateway == first.Gateway {
		t.Errorf("still with %s: %s", first.Gateway, out)
	}
	until := time.Now()
	s.reply(l2, until)
	if sent, answered := l2.Count(since, until); sent-answered > 5 {
		t.Errorf("of %d frames %d were answered; lost: %s", sent, answered, l2.Losses(since, until))
	}
	if nodeIndex(s, "mesh-vpn") != vxlan {
		t.Error("the VXLAN device was made anew")
	}
	if st := nodeConnected(s); st.Switches != 2 {
		t.Errorf("status %+v", st)
	}
}

// What cannot be done is said, and changes nothing.
func TestReconnectRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{},
		func(topo *topology.Topology) string { return topology.UCI(topo.StaticOptions(), topo.Sections()) })
	if out, code, err := s.agent.Run(s.ctx, "reconnect"); err != nil || code != 1 ||
		!strings.Contains(out, "no agent is on ubus") {
		t.Errorf("no agent: exit code %d, %v: %s", code, err, out)
	}
	n := newNode(t, topology.Options{}, nil)
	l2 := n.frames()
	first := n.reply(l2, n.start())
	nodeConnected(n.scene)
	n.must(n.Ubus.Await(n.ctx, "wguplink"))
	dead := n.Gateways[0]
	if dead.Name == first.Gateway {
		dead = n.Gateways[1]
	}
	n.must(dead.Kill())
	for _, tt := range []struct{ gateway, says string }{
		{"gw9", "no such gateway"},
		{dead.Name, "did not answer"},
		{"--uplink=other", "no such uplink"},
	} {
		out, code, err := n.agent.Run(n.ctx, "reconnect", tt.gateway)
		if err != nil || code != 1 || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit code %d, %v: %s", tt.gateway, code, err, out)
		}
	}
	_, err := n.UbusCall(n.ctx, "wguplink", "reconnect", ubus.Table{{Name: "gateway", Value: 7}})
	if !errors.Is(err, ubus.StatusInvalidArgument) {
		t.Errorf("a number for a gateway: %v", err)
	}
	if st := nodeConnected(n.scene); st.Switches != 1 || !strings.HasPrefix(st.Gateway.Name, first.Gateway) {
		t.Errorf("status %+v", st)
	}
}

// An agent that is stopped and started anew goes back to its gateway; a rebooted node forgets which that was.
func TestStickiness(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 6}, nil)
	l2 := n.frames()
	first := n.reply(l2, n.start())
	for range 3 {
		nodeConnected(n.scene)
		nodeStop(n.scene)
		at := n.start()
		if r := n.reply(l2, at); r.Gateway != first.Gateway {
			t.Fatalf("%s, then %s after a restart of the agent", first.Gateway, r.Gateway)
		}
	}
	nodeConnected(n.scene)
	n.must(n.Node.Reboot(n.ctx))
	if _, err := n.Node.ReadFile("/var/run/wguplink/mesh.gateway"); err == nil {
		t.Error("the gateway in use outlives a reboot")
	}
}
