package health

import (
	"testing"

	"github.com/vishvananda/netlink"

	"wguplink/agent/testns"
)

// TestMain brings loopback up where it is not, as in the namespace that the tests run in.
func TestMain(m *testing.M) {
	if lo, err := netlink.LinkByName("lo"); err == nil {
		netlink.LinkSetUp(lo)
	}
	testns.Main(m)
}
