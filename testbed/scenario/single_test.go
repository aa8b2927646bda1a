package scenario

import (
	"strings"
	"testing"
	"time"

	"wguplink/testbed/netlab"
	"wguplink/testbed/world"
)

// The only gateway's address family dies: the other one is taken, and the session goes on.
func TestOnlyGatewayLosesFamily(t *testing.T) {
	t.Parallel()
	n := newNode(t, world.Options{Gateways: 1}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	st := nodeConnected(n.scene)
	if !strings.HasPrefix(st.Gateway.Endpoint, "[") {
		t.Fatalf("endpoint %s, not by IPv6 as preferred", st.Gateway.Endpoint)
	}
	dead := time.Now()
	_, err := n.Router.Drop(netlab.DropAddr(n.Gateways[0].V6)...)
	n.must(err)
	n.reply(l2, dead)
	st = nodeAwait(n.scene, "connected by IPv4", func(st status) bool { return st.State == "connected" && !strings.HasPrefix(st.Gateway.Endpoint, "[") })
	if st.Switches != 1 {
		t.Errorf("status %+v", st)
	}
}
