package wan

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// What is on a device, and where its routes are: in the main table, or in one of their own.
func TestReadLocal(t *testing.T) {
	wan := link(t, "uplink", 1500, "192.0.2.1/24", "2001:db8::1/64")
	routes := func(family int) (out []netlink.Route) {
		all, err := netlink.RouteList(wan, family)
		ok(t, err)
		return all
	}
	before, err := ReadLocal("uplink", "", "no-such-device")
	ok(t, err)
	if !before.Shared4 || !before.Shared6 || len(before.Gateways) != 0 {
		t.Errorf("with the networks in the main table: %+v", before)
	}
	for _, want := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		if !slices.Contains(before.Addresses, netip.MustParsePrefix(want)) {
			t.Errorf("%s is missing: %+v", want, before.Addresses)
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		for _, r := range routes(family) {
			if r.Dst != nil && !r.Dst.IP.IsLinkLocalUnicast() && !r.Dst.IP.IsMulticast() {
				ok(t, netlink.RouteDel(&r))
				r.Table = 1
				ok(t, netlink.RouteAdd(&r))
			}
		}
	}
	add(t, defaultRoute(wan, netlink.FAMILY_V4, 1, 0))
	after, err := ReadLocal("uplink")
	ok(t, err)
	if after.Shared4 || after.Shared6 {
		t.Errorf("with a table of its own: %+v", after)
	}
	if nothing, err := ReadLocal("no-such-device"); err != nil || len(nothing.Addresses) != 0 {
		t.Errorf("no device: %+v, %v", nothing, err)
	}
}
