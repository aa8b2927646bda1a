package scenario

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"wguplink/agent/doctor"
	"wguplink/testbed/topology"
)

// The table of gateways has all of them, over both families, and the tunnel does not feel it: no frame is lost, and the
// gateway stays. The report has it, too, without the key.
func TestNetcheckAndBugreport(t *testing.T) {
	t.Parallel()
	// All gateways stand in the configuration, so that a broker that names one gateway at a time hides none.
	s := newScene(t, topology.Options{}, func(topo *topology.Topology) string {
		return topology.UCI(topo.BrokerOptions(), topo.LiteralSections())
	})
	l2 := s.frames()
	first := s.reply(l2, s.start())
	before := nodeConnected(s)
	var dead *topology.Gateway
	for _, g := range s.Gateways {
		if g.Name != first.Gateway {
			dead = g
		}
	}
	s.must(dead.Kill())
	began := time.Now()
	out, code, err := s.agent.Run(s.ctx, "netcheck", "--json")
	s.must(err)
	var all struct {
		Uplinks map[string]struct{ Gateways []doctor.Reach }
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	seen := map[string]int{}
	for _, g := range all.Uplinks["mesh"].Gateways {
		seen[g.Name+" "+g.Handshake]++
		switch {
		case g.InUse && (g.Handshake != "answered" || g.Received != 10 || g.MTU != before.MTU):
			t.Errorf("in use: %+v", g)
		case strings.HasPrefix(g.Name, dead.Name) && g.Handshake != "no_answer":
			t.Errorf("dead: %+v", g)
		case !g.InUse && !strings.HasPrefix(g.Name, dead.Name) &&
			(g.Handshake != "answered" || g.Received != 10 || g.MTU < before.MTU):
			t.Errorf("another: %+v", g)
		}
	}
	if seen[before.Gateway.Name+" answered"] != 1 || len(seen) != len(s.Gateways) {
		t.Errorf("%v in %s", seen, out)
	}
	nodeLossless(s, l2, began)
	if after := s.status(); after.State != "connected" || after.Gateway.Name != before.Gateway.Name ||
		after.Gateway.Endpoint != before.Gateway.Endpoint || after.Switches != before.Switches {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	if _, err := s.Node.Netlink().LinkByName("wgdoctor"); err == nil {
		t.Error("the device of the test is still there")
	}

	report, code, err := s.agent.Run(s.ctx, "bugreport")
	s.must(err)
	for _, want := range []string{
		"== configuration", "== status\nmesh: connected for ", "  last changes\n", "== devices\nwg_mesh: ",
		"mesh-vpn: vxlan, MTU ", "  peer ", "== rules and routes",
		"== doctor\nconfig     pass", "== log",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("exit code %d, no %q in\n%s", code, want, report)
		}
	}
}
