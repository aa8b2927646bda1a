package scenario

import (
	"strings"
	"testing"
	"time"

	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
)

// The only gateway's address family dies: the other one is taken, and the session goes on.
func TestOnlyGatewayLosesFamily(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	st := nodeConnected(n.scene)
	// IPv6 as a rule; on a busy machine the answer by IPv4 may be the first.
	v6 := strings.HasPrefix(st.Gateway.Endpoint, "[")
	lost := n.Gateways[0].V4
	if v6 {
		lost = n.Gateways[0].V6
	}
	dead := time.Now()
	_, err := n.Router.Drop(netlab.DropAddr(lost)...)
	n.must(err)
	n.reply(l2, dead)
	st = nodeAwait(n.scene, "connected by the other family", func(st topology.Status) bool {
		return st.State == "connected" && strings.HasPrefix(st.Gateway.Endpoint, "[") != v6
	})
	if st.Switches != 1 {
		t.Errorf("status %+v", st)
	}
}
