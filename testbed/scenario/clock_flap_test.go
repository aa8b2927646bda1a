package scenario

import (
	"strings"
	"testing"

	"wguplink/testbed/ntpd"
	"wguplink/testbed/topology"
)

// A clock that no server vouched for is asked about further, over a loss of the WAN.
func TestClockRetryOutlivesWAN(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, map[string][]string{"ntp_grace": {"0.5"}})
	n.Clock().SetSynchronised(false)
	for _, s := range n.NTP {
		s.SetLie(ntpd.Dead())
	}
	n.start()
	unverified := func(st topology.Status) bool { return strings.HasPrefix(st.Clock, "not verified") }
	nodeAwait(n.scene, "connected with a clock not verified",
		func(st topology.Status) bool { return st.State == "connected" && unverified(st) })
	n.must(n.RouteDown())
	nodeAwait(n.scene, "without WAN", func(st topology.Status) bool { return st.Cause == "no_wan" })
	n.must(n.RouteUp())
	for _, s := range n.NTP {
		s.SetLie(ntpd.Honest())
	}
	nodeAwait(n.scene, "with a verified clock", func(st topology.Status) bool {
		return st.State == "connected" &&
			!unverified(st)
	})
}
