package tunnel

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/testns"
)

// layer3 is an uplink without VXLAN, whose gateway at endpoint carries these prefixes.
func layer3(t *testing.T, endpoint string, allowed ...string) Desired {
	d := desired(t)
	d.VXLAN = nil
	p := &d.Devices[0].Peers[0]
	p.Endpoint = netip.MustParseAddrPort(endpoint)
	p.AllowedIPs = nil
	for _, a := range allowed {
		p.AllowedIPs = append(p.AllowedIPs, netip.MustParsePrefix(a))
	}
	return d
}

// table lists the routes of a table, without the kernel's own.
func table(t *testing.T, family int) (out []string) {
	t.Helper()
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Protocol == unix.RTPROT_KERNEL {
			continue
		}
		dst := r.Dst
		l, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil {
			t.Fatal(err)
		}
		s := dst.String() + " "
		if r.Gw != nil {
			s += "via " + r.Gw.String() + " "
		}
		s += "by " + l.Attrs().Name
		if r.Src != nil {
			s += " src " + r.Src.String()
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func wantTable(t *testing.T, family int, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := table(t, family); !slices.Equal(got, want) {
		t.Errorf("routes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Routes of others stay, at each Apply and after the end; that ours is missing is said. When they go, ours come.
func TestRoutesOfOthersStay(t *testing.T) {
	wan := line(t, "wan", "192.0.2.2/24", "2001:db8::2/64")
	theirs := []*netlink.Route{
		addRoute(t, wan, "0.0.0.0/0", "192.0.2.1", 0),
		addRoute(t, wan, "10.0.0.0/8", "192.0.2.9", 0),
		addRoute(t, wan, "::/0", "2001:db8::1", 1024),
		addRoute(t, wan, "172.16.0.0/12", "192.0.2.9", 50),
	}
	four := []string{"0.0.0.0/0 via 192.0.2.1 by wan", "10.0.0.0/8 via 192.0.2.9 by wan",
		"172.16.0.0/12 via 192.0.2.9 by wan"}
	six := "::/0 via 2001:db8::1 by wan"
	d := layer3(t, "192.0.2.1:51820", "0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "::/0", "fd00::/8", "fe80::1/128")
	tun := open(t, testns.WireGuard(t))
	for i := range 2 {
		r := apply(t, tun, d)
		if len(r.Warnings) != 3 || !strings.Contains(r.Warnings[0],
			"no route to 0.0.0.0/0 by wg_mesh: there is one via 192.0.2.1 by wan already") {
			t.Errorf("warnings %q", r.Warnings)
		}
		if i > 0 && r.Changes != 0 {
			t.Errorf("a second Apply: %d changes", r.Changes)
		}
		wantTable(t, netlink.FAMILY_V4, append([]string{"172.16.0.0/12 by wg_mesh"}, four...)...)
		wantTable(t, netlink.FAMILY_V6, six, "fd00::/8 by wg_mesh", "fe80::1/128 by wg_mesh")
	}
	if err := netlink.RouteDel(theirs[1]); err != nil {
		t.Fatal(err)
	}
	if r := apply(t, tun, d); len(r.Warnings) != 2 {
		t.Errorf("warnings %q", r.Warnings)
	}
	wantTable(t, netlink.FAMILY_V4, "172.16.0.0/12 by wg_mesh", "10.0.0.0/8 by wg_mesh", four[0], four[2])
	if err := tun.Remove(d); err != nil {
		t.Fatal(err)
	}
	wantTable(t, netlink.FAMILY_V4, four[0], four[2])
	wantTable(t, netlink.FAMILY_V6, six)
}

// The same on a device that is lent to us, as the drop-in's.
func TestRoutesOfOthersStayOnLent(t *testing.T) {
	wan := line(t, "wan", "192.0.2.2/24")
	addRoute(t, wan, "10.0.0.0/8", "192.0.2.9", 0)
	tun := open(t, testns.WireGuard(t))
	link := lend(t, tun, newKey(t))
	defer netlink.LinkDel(link)
	d := layer3(t, "192.0.2.1:51820", "10.0.0.0/8", "10.9.0.0/16")
	d.Devices[0].Borrowed = true
	if r := apply(t, tun, d); len(r.Warnings) != 1 {
		t.Errorf("warnings %q", r.Warnings)
	}
	wantTable(t, netlink.FAMILY_V4, "10.0.0.0/8 via 192.0.2.9 by wan", "10.9.0.0/16 by wg_mesh")
	if err := tun.Remove(d); err != nil {
		t.Fatal(err)
	}
	wantTable(t, netlink.FAMILY_V4, "10.0.0.0/8 via 192.0.2.9 by wan")
}

// With routes left to a routing daemon only what we have to reach goes by the tunnel.
func TestUnrouted(t *testing.T) {
	d := layer3(t, "192.0.2.1:51820", "10.0.0.0/8", "fd00::/8")
	d.Devices[0].Unrouted, d.Devices[0].Reach = true, []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")}
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V4, "10.1.2.3/32 by wg_mesh")
	wantTable(t, netlink.FAMILY_V6)
}

// Two uplinks may have gateways with the same link-local address: each link has its own.
func TestLinkLocalRouteTwice(t *testing.T) {
	make := testns.WireGuard(t)
	one := layer3(t, "192.0.2.1:51820", "fe80::1/128")
	two := layer3(t, "192.0.2.1:51821", "fe80::1/128")
	two.Name, two.Devices[0].Interface = "other", "wg_other"
	apply(t, open(t, make), one)
	tun := open(t, make)
	if r := apply(t, tun, two); len(r.Warnings) != 0 {
		t.Errorf("warnings %q", r.Warnings)
	}
	wantTable(t, netlink.FAMILY_V6, "fe80::1/128 by wg_mesh", "fe80::1/128 by wg_other")
	if r := apply(t, tun, two); r.Changes != 0 {
		t.Errorf("a second Apply: %d changes", r.Changes)
	}
}

// An endpoint inside the allowed IPs keeps its way outside, also when the line changes.
func TestEndpointInsideAllowedIPs(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	d := layer3(t, "10.77.1.1:51820", "10.0.0.0/8")
	d.Devices[0].FwMark = 0
	const without = "no route to 10.0.0.0/8 by the tunnel: the endpoint 10.77.1.1 of a gateway lies inside"
	if r := apply(t, tun, d); len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], without) {
		t.Errorf("without a WAN: warnings %q", r.Warnings)
	}
	wantTable(t, netlink.FAMILY_V4)

	wan := line(t, "wan", "192.0.2.2/24")
	other := line(t, "lte", "198.51.100.2/24")
	def := addRoute(t, wan, "0.0.0.0/0", "192.0.2.1", 0)
	for i := range 2 {
		if r := apply(t, tun, d); len(r.Warnings) != 0 || i > 0 && r.Changes != 0 {
			t.Errorf("report %+v", r)
		}
		wantTable(t, netlink.FAMILY_V4, "0.0.0.0/0 via 192.0.2.1 by wan", "10.0.0.0/8 by wg_mesh",
			"10.77.1.1/32 via 192.0.2.1 by wan")
	}
	// The agent starts anew.
	if r, err := open(t, testns.WireGuard(t)).Apply(context.Background(), d); err != nil || r.Changes != 0 {
		t.Errorf("a new agent: %+v, %v", r, err)
	}
	if err := netlink.RouteDel(def); err != nil {
		t.Fatal(err)
	}
	addRoute(t, other, "0.0.0.0/0", "198.51.100.1", 20)
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V4, "0.0.0.0/0 via 198.51.100.1 by lte", "10.0.0.0/8 by wg_mesh",
		"10.77.1.1/32 via 198.51.100.1 by lte")
	// Another gateway's name leads elsewhere.
	d.Devices[0].Peers[0].Endpoint = netip.MustParseAddrPort("10.78.1.1:51820")
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V4, "0.0.0.0/0 via 198.51.100.1 by lte", "10.0.0.0/8 by wg_mesh",
		"10.78.1.1/32 via 198.51.100.1 by lte")
	// A way that is more exact than ours needs no help.
	addRoute(t, wan, "10.78.0.0/16", "192.0.2.1", 0)
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V4, "0.0.0.0/0 via 198.51.100.1 by lte", "10.0.0.0/8 by wg_mesh",
		"10.78.0.0/16 via 192.0.2.1 by wan")
	d.Devices[0].Peers[0].Endpoint = netip.MustParseAddrPort("10.79.1.1:51820")
	apply(t, tun, d)
	if err := tun.Remove(d); err != nil {
		t.Fatal(err)
	}
	wantTable(t, netlink.FAMILY_V4, "0.0.0.0/0 via 198.51.100.1 by lte", "10.78.0.0/16 via 192.0.2.1 by wan")
}

// A mark whose rule leads to another table keeps the endpoints outside by itself; one without a rule does not.
func TestMarkDecides(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	wan := line(t, "wan", "192.0.2.2/24")
	addRoute(t, wan, "0.0.0.0/0", "192.0.2.1", 0)
	d := layer3(t, "10.77.1.1:51820", "10.0.0.0/8")
	d.Devices[0].FwMark = 7
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V4, "0.0.0.0/0 via 192.0.2.1 by wan", "10.0.0.0/8 by wg_mesh",
		"10.77.1.1/32 via 192.0.2.1 by wan")
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: wan.Attrs().Index,
		Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Gw: []byte{192, 0, 2, 1}, Table: 100}); err != nil {
		t.Fatal(err)
	}
	rule := netlink.NewRule()
	rule.Mark, rule.Table, rule.Priority, rule.Family = 7, 100, 1000, netlink.FAMILY_V4
	if err := netlink.RuleAdd(rule); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.RuleDel(rule) })
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V4, "0.0.0.0/0 via 192.0.2.1 by wan", "10.0.0.0/8 by wg_mesh")
}

// On a line without a global address the kernel takes one of another link as the source: the tunnel's must not be it.
func TestSourceOutsideTheTunnel(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	wan := line(t, "wan")
	addRoute(t, wan, "::/0", "fe80::1", 1024)
	d := layer3(t, "[2001:db8:1::1]:51820", "fe80::1/128")
	d.Devices[0].Addresses = append(d.Devices[0].Addresses, Address{Prefix: netip.MustParsePrefix("2001:db8:9::5/64")})
	r := apply(t, tun, d)
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0],
		"packets to the gateway at 2001:db8:1::1 leave by wan with an address of the tunnel as source") {
		t.Errorf("warnings %q", r.Warnings)
	}
	line(t, "lan", "2001:db8:77::1/64")
	for i := range 2 {
		if r := apply(t, tun, d); len(r.Warnings) != 0 || i > 0 && r.Changes != 0 {
			t.Errorf("report %+v", r)
		}
	}
	got, err := netlink.RouteGet([]byte(netip.MustParseAddr("2001:db8:1::1").AsSlice()))
	if err != nil || got[0].Src.String() != "2001:db8:77::1" {
		t.Errorf("the kernel sends from %v (%v), want the LAN's address", got, err)
	}
	// The line gets an address of its own.
	a := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("2001:db8:5::5/64")), Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrReplace(wan, a); err != nil {
		t.Fatal(err)
	}
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V6, "::/0 via fe80::1 by wan", "fe80::1/128 by wg_mesh")
}

// The same for IPv4, as on a line whose far end has the only address.
func TestIPv4SourceOutsideTheTunnel(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	wan := line(t, "wan")
	all := ipNet(netip.MustParsePrefix("0.0.0.0/0"))
	out := &netlink.Route{LinkIndex: wan.Attrs().Index, Dst: all, Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteAdd(out); err != nil {
		t.Fatal(err)
	}
	d := layer3(t, "198.51.100.1:51820", "fe80::1/128")
	d.Devices[0].Addresses = append(d.Devices[0].Addresses, Address{Prefix: netip.MustParsePrefix("10.9.0.5/24")})
	r := apply(t, tun, d)
	const warning = "packets to the gateway at 198.51.100.1 leave by wan with an address of the tunnel as source"
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], warning) {
		t.Errorf("warnings %q", r.Warnings)
	}
	line(t, "lan", "203.0.113.77/24")
	if r := apply(t, tun, d); len(r.Warnings) != 0 {
		t.Errorf("warnings %q", r.Warnings)
	}
	got, err := netlink.RouteGet([]byte{198, 51, 100, 1})
	if err != nil || got[0].Src.String() != "203.0.113.77" {
		t.Errorf("the kernel sends from %v (%v), want the LAN's address", got, err)
	}
}
