package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/testns"
)

// several is what a Parker network's node wants: a device for each concentrator, all with the node's own addresses.
func several(t *testing.T, ids ...int) Desired {
	t.Helper()
	d := Desired{Name: "parker", Exit: &Exit{}}
	private := newKey(t)
	for _, id := range ids {
		d.Devices = append(d.Devices, Device{
			Interface: fmt.Sprintf("wg_c%d", id), PrivateKey: &private, FwMark: 1, MTU: 1375, Unrouted: true,
			Addresses: []Address{
				{Prefix: netip.MustParsePrefix("10.0.0.9/32"), Peer: netip.AddrFrom4([4]byte{10, 0, 1, byte(id)})},
				{Prefix: netip.MustParsePrefix("fd00::9/128"), Peer: netip.MustParseAddr(fmt.Sprintf("fe80::%d", id))},
			},
			Peers: []Peer{{PublicKey: newKey(t).PublicKey(), Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"),
				Keepalive:  15 * time.Second,
				AllowedIPs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}},
		})
	}
	return d
}

func by(d Desired, id int) Desired {
	for _, dev := range d.Devices {
		if dev.Interface == fmt.Sprintf("wg_c%d", id) {
			d.Exit = &Exit{Device: dev.Interface, Via4: dev.Addresses[0].Peer, Via6: dev.Addresses[1].Peer,
				Keep: d.Exit.Keep}
		}
	}
	return d
}

// routesOut are the default routes of the main table, the one that counts first.
func routesOut(t *testing.T) (out []string) {
	t.Helper()
	tun := open(t, nil)
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rs, err := tun.defaults(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			l, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s by %s proto %d", r.Gw, l.Attrs().Name, r.Protocol))
		}
	}
	return out
}

func wantRoutes(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, routesOut(t)); diff != "" {
		t.Errorf("default routes (-want +got):\n%s", diff)
	}
}

func TestSeveralDevicesAndExit(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	d := several(t, 1, 2)
	apply(t, tun, d)
	wantRoutes(t)
	for _, name := range []string{"wg_c1", "wg_c2"} {
		l, err := tun.h.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := tun.h.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		var got []Address
		for _, a := range addrs {
			got = append(got, address(a))
		}
		if l.Attrs().MTU != 1375 || len(got) != 2 || !slices.Contains(got, d.Devices[int(name[4]-'1')].Addresses[0]) ||
			!slices.Contains(got, d.Devices[int(name[4]-'1')].Addresses[1]) {
			t.Errorf("%s: MTU %d, addresses %v", name, l.Attrs().MTU, got)
		}
	}
	apply(t, tun, by(d, 1))
	wantRoutes(t, "10.0.1.1 by wg_c1 proto 23", "fe80::1 by wg_c1 proto 23")
	if r := apply(t, tun, by(d, 1)); r.Changes != 0 {
		t.Errorf("the second Apply made %d changes", r.Changes)
	}
	if r := apply(t, tun, by(d, 2)); r.Changes != 2 {
		t.Errorf("a switch took %d messages, want one for each family", r.Changes)
	}
	wantRoutes(t, "10.0.1.2 by wg_c2 proto 23", "fe80::2 by wg_c2 proto 23")

	// Another configuration: one goes, one has other addresses and another key, one is new.
	first, _ := netlink.LinkByName("wg_c2")
	next := several(t, 2, 7)
	next.Devices[0].Addresses[0].Prefix = netip.MustParsePrefix("10.0.0.77/32")
	apply(t, tun, by(next, 7))
	wantRoutes(t, "10.0.1.7 by wg_c7 proto 23", "fe80::7 by wg_c7 proto 23")
	if _, err := netlink.LinkByName("wg_c1"); err == nil {
		t.Error("wg_c1 is still there")
	}
	again, err := netlink.LinkByName("wg_c2")
	if err != nil || again.Attrs().Index != first.Attrs().Index {
		t.Errorf("wg_c2 was made anew: %v", err)
	}
	addrs, _ := netlink.AddrList(again, netlink.FAMILY_V4)
	if len(addrs) != 1 || addrs[0].IP.String() != "10.0.0.77" {
		t.Errorf("addresses %v", addrs)
	}
	if dev, err := tun.Status("wg_c2"); err != nil || len(dev.Peers) != 1 ||
		dev.Peers[0].PublicKey != next.Devices[0].Peers[0].PublicKey {
		t.Errorf("%v: peers %+v", err, dev)
	}
	apply(t, tun, next)
	wantRoutes(t)
}

// An agent that comes after a crash takes away the devices that are not wanted any more, and nothing of others.
func TestSweepAfterCrash(t *testing.T) {
	make := testns.WireGuard(t)
	before := open(t, make)
	d := several(t, 1, 2)
	apply(t, before, by(d, 1))
	if err := make(context.Background(), "wg_other", ""); err != nil {
		t.Fatal(err)
	}
	d.Devices = d.Devices[1:]
	after := open(t, make)
	apply(t, after, d)
	_, err1 := netlink.LinkByName("wg_c1")
	_, err2 := netlink.LinkByName("wg_c2")
	_, err3 := netlink.LinkByName("wg_other")
	if err1 == nil || err2 != nil || err3 != nil {
		t.Errorf("wg_c1 gone: %v; wg_c2: %v; the other one: %v", err1 != nil, err2, err3)
	}
	wantRoutes(t)
}

// Default routes of others are preferred to no more, but stay; those of the WAN are not touched at all.
func TestExitBesideOthers(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "br-client"},
		PeerName: "client-end"}); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName("br-client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) })
	netlink.LinkSetUp(link)
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.5.0.2/24"))}); err != nil {
		t.Fatal(err)
	}
	theirs := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: netip.MustParseAddr("10.5.0.1").AsSlice(),
		Protocol: unix.RTPROT_STATIC}
	if err := netlink.RouteAdd(theirs); err != nil {
		t.Fatal(err)
	}
	d := several(t, 1, 2)
	apply(t, tun, by(d, 1))
	const other = "10.5.0.1 by br-client proto 4"
	wantRoutes(t, "10.0.1.1 by wg_c1 proto 23", other, "fe80::1 by wg_c1 proto 23")
	apply(t, tun, by(d, 2))
	wantRoutes(t, "10.0.1.2 by wg_c2 proto 23", other, "fe80::2 by wg_c2 proto 23")
	if err := errors.Join(netlink.RouteDel(theirs), netlink.RouteAddEcmp(theirs)); err != nil { // now in front of ours
		t.Fatal(err)
	}
	apply(t, tun, by(d, 2))
	if got := routesOut(t); len(got) < 2 || got[0] != "10.0.1.2 by wg_c2 proto 23" || !slices.Contains(got, other) {
		t.Errorf("after the other program's turn: %v", got)
	}
	d.Exit.Keep = []string{"br-client"}
	r := apply(t, tun, by(d, 1))
	wantRoutes(t, other, "fe80::1 by wg_c1 proto 23")
	if len(r.Warnings) != 1 {
		t.Errorf("warnings %q, want one that names the WAN", r.Warnings)
	}
}

// A node that moves from the original's scripts keeps its tunnels: what they made with the node's key becomes ours.
func TestClaim(t *testing.T) {
	make := testns.WireGuard(t)
	tun := open(t, make)
	d := several(t, 1, 2)
	for i := range d.Devices {
		d.Devices[i].Claim = true
	}
	for i, private := range []wgtypes.Key{*d.Devices[0].PrivateKey, newKey(t)} {
		if err := make(context.Background(), d.Devices[i].Interface, ""); err != nil {
			t.Fatal(err)
		}
		if err := tun.wg.ConfigureDevice(d.Devices[i].Interface, wgtypes.Config{PrivateKey: &private}); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, tun, d)
	first, err1 := tun.h.LinkByName("wg_c1")
	second, err2 := tun.h.LinkByName("wg_c2")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !owned(first, "parker") || owned(second, "parker") {
		t.Errorf("aliases %q and %q: ours is the one with our key", first.Attrs().Alias, second.Attrs().Alias)
	}
	if err := tun.Remove(d); err != nil {
		t.Fatal(err)
	}
	_, err1 = netlink.LinkByName("wg_c1")
	_, err2 = netlink.LinkByName("wg_c2")
	if err1 == nil || err2 != nil {
		t.Errorf("after the end: ours is gone: %v; the other: %v", err1 != nil, err2)
	}
}

// A family that cannot have its route, here because the next hop is not known, does not keep the other from its own.
func TestExitOfOneFamily(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	d := by(several(t, 1), 1)
	d.Exit.Via4 = netip.MustParseAddr("10.99.99.99")
	r := apply(t, tun, d)
	wantRoutes(t, "fe80::1 by wg_c1 proto 23")
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "IPv4 default route via 10.99.99.99") {
		t.Errorf("warnings %q", r.Warnings)
	}
	d.Exit.Via6 = netip.MustParseAddr("fd99::99")
	if _, err := tun.Apply(context.Background(), d); err == nil {
		t.Error("no error although neither family has a route")
	}
}

// A network may give the node the address of its concentrator (wgkex, where all have the same).
func TestOwnAddressIsTheOtherEnds(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	d := several(t, 1)
	d.Devices[0].Addresses[0].Peer = d.Devices[0].Addresses[0].Prefix.Addr()
	apply(t, tun, by(d, 1))
	if r := apply(t, tun, by(d, 1)); r.Changes != 0 {
		t.Errorf("the second Apply made %d changes", r.Changes)
	}
}

// With 464XLAT packets of IPv4 grow on the way: the route says how large they may be, and follows when that changes.
func TestExitMTU(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	d := by(several(t, 1), 1)
	for _, mtu := range []int{0, 1347, 1300, 0} {
		d.Exit.MTU4 = mtu
		apply(t, tun, d)
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: exitProtocol},
			netlink.RT_FILTER_PROTOCOL)
		if err != nil || len(routes) != 1 || routes[0].MTU != mtu {
			t.Errorf("routes %v, %v, want one with the MTU %d", routes, err, mtu)
		}
		if r := apply(t, tun, d); r.Changes != 0 {
			t.Errorf("mtu %d: the second Apply made %d changes", mtu, r.Changes)
		}
	}
}
