package wan

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// link makes a device that is up, with an address, and takes it away in the end.
func link(t *testing.T, name string, mtu int, addrs ...string) netlink.Link {
	t.Helper()
	l := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: mtu}}
	ok(t, netlink.LinkAdd(l))
	t.Cleanup(func() { netlink.LinkDel(l) })
	raise(t, l, addrs)
	return l
}

// raise brings a device up, and gives it addresses.
func raise(t *testing.T, l netlink.Link, addrs []string) {
	t.Helper()
	ok(t, netlink.LinkSetUp(l))
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		ok(t, err)
		addr.Flags = unix.IFA_F_NODAD
		ok(t, netlink.AddrAdd(l, addr))
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func defaultRoute(l netlink.Link, family, table, metric int) *netlink.Route {
	dst := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	if family == netlink.FAMILY_V6 {
		dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	return &netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Table: table, Priority: metric, Family: family,
		Scope: netlink.SCOPE_LINK}
}

func add(t *testing.T, r *netlink.Route) {
	t.Helper()
	ok(t, netlink.RouteAdd(r))
	t.Cleanup(func() { netlink.RouteDel(r) })
}

func rule(t *testing.T, family int, mark uint32, table int) {
	t.Helper()
	r := netlink.NewRule()
	r.Family, r.Mark, r.Table = family, mark, table
	ok(t, netlink.RuleAdd(r))
	t.Cleanup(func() { netlink.RuleDel(r) })
}

func TestMark(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	ok(t, err)
	ok(t, netlink.LinkSetUp(lo))
	c, err := Path{Mark: 0x2a}.DialContext(context.Background(), "udp", "127.0.0.1:9")
	ok(t, err)
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	ok(t, err)
	var mark int
	ok(t, raw.Control(func(fd uintptr) { mark, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) }))
	ok(t, err)
	if mark != 0x2a {
		t.Errorf("mark %#x", mark)
	}
}

func TestOrder(t *testing.T) {
	a := func(s ...string) (out []netip.AddrPort) {
		for _, x := range s {
			out = append(out, netip.MustParseAddrPort(x))
		}
		return out
	}
	all := a("192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1")
	both := State{V4: true, V6: true}
	for _, tt := range []struct {
		name string
		p    Preference
		s    State
		want []netip.AddrPort
	}{
		{"six first, in turns", Preference{V4: true, V6: true, First6: true}, both,
			a("[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1")},
		{"four first, in turns", Preference{V4: true, V6: true}, both,
			a("192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1")},
		{"no way out for six", Preference{V4: true, V6: true, First6: true}, State{V4: true},
			a("192.0.2.1:1", "192.0.2.2:1", "[2001:db8::1]:1")},
		{"no way out for four", Preference{V4: true, V6: true}, State{V6: true},
			a("[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1")},
		{"only six", Preference{V6: true}, both, a("[2001:db8::1]:1")},
		{"only four", Preference{V4: true, First6: true}, both, a("192.0.2.1:1", "192.0.2.2:1")},
	} {
		if diff := cmp.Diff(tt.want, Order(all, tt.p, tt.s),
			cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestResolveLocal: a name that leads back to this machine gives no address, and the error says so.
func TestResolveLocal(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	ok(t, err)
	ok(t, netlink.LinkSetUp(lo))
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 51, 100, 1), Mask: net.CIDRMask(32, 32)}}
	ok(t, netlink.AddrAdd(lo, addr))
	t.Cleanup(func() { netlink.AddrDel(lo, addr) })
	p := Path{}
	for a, want := range map[string]bool{"198.51.100.1": true, "127.0.0.1": true, "192.0.2.7": false,
		"2001:db8::7": false} {
		if got := p.local(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: local is %v", a, got)
		}
	}
	if got, err := p.Resolve(context.Background(), "2001:db8::9"); err != nil || len(got) != 1 {
		t.Errorf("literal: %v, %v", got, err)
	}
}
