package netlink_test

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	library "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// In these tests the library makes what we read, and reads what we make.

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func handle(t testing.TB) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandle()
	ok(t, err)
	t.Cleanup(h.Close)
	return h
}

// device makes one, and brings it up.
func device(t testing.TB, h *netlink.Handle, name string) netlink.Link {
	t.Helper()
	ok(t, h.LinkAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: name}, Kind: "bridge"}))
	l, err := h.LinkByName(name)
	ok(t, err)
	t.Cleanup(func() { h.LinkDel(l) })
	ok(t, h.LinkSetUp(l))
	l, err = h.LinkByName(name)
	ok(t, err)
	return l
}

func parse(t testing.TB, s string) *net.IPNet {
	t.Helper()
	ip, n, err := net.ParseCIDR(s)
	ok(t, err)
	return &net.IPNet{IP: ip, Mask: n.Mask}
}

func TestLinks(t *testing.T) {
	h := handle(t)
	lower := device(t, h, "lower")
	mac := net.HardwareAddr{2, 0, 0, 1, 2, 3}
	for _, want := range []netlink.Vxlan{
		{VxlanId: 1906606, SrcAddr: net.ParseIP("fe80::1"), Port: 8472, UDP6ZeroCSumRx: true, UDPCSum: true},
		{VxlanId: 1, SrcAddr: net.ParseIP("192.0.2.1").To4(), Group: net.ParseIP("192.0.2.2").To4(),
			Port: 4789, Learning: true,
			UDP6ZeroCSumTx: true, UDP6ZeroCSumRx: true},
		{VxlanId: 16777215, SrcAddr: net.ParseIP("2001:db8::1"), Group: net.ParseIP("2001:db8::2"), Port: 1},
	} {
		want.LinkAttrs = netlink.LinkAttrs{Name: "vx", MTU: 1330, Group: 77, HardwareAddr: mac}
		want.VtepDevIndex = lower.Attrs().Index
		ok(t, h.LinkAdd(&want))
		l, err := library.LinkByName("vx")
		ok(t, err)
		is := l.(*library.Vxlan)
		want.UDPCSum = true // the kernel's default
		theirs := netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: is.Name, MTU: is.MTU, HardwareAddr: is.HardwareAddr,
			Group: is.LinkAttrs.Group},
			VxlanId: is.VxlanId, VtepDevIndex: is.VtepDevIndex, SrcAddr: is.SrcAddr, Group: is.Group, Port: is.Port,
			Learning:       is.Learning,
			UDP6ZeroCSumTx: is.UDP6ZeroCSumTx, UDP6ZeroCSumRx: is.UDP6ZeroCSumRx, UDPCSum: is.UDPCSum}
		if diff := cmp.Diff(want, theirs); diff != "" {
			t.Errorf("as the library reads it (-want +got):\n%s", diff)
		}
		ours, err := h.LinkByName("vx")
		ok(t, err)
		want.Index, want.RawFlags = is.Index, is.RawFlags
		if diff := cmp.Diff(&want, ours); diff != "" {
			t.Errorf("as we read it (-want +got):\n%s", diff)
		}
		ok(t, h.LinkDel(ours))
	}

	ok(t, library.LinkAdd(&library.Veth{LinkAttrs: library.LinkAttrs{Name: "port"}, PeerName: "far"}))
	bridge := lower
	lower, err := netlink.LinkByName("port")
	ok(t, err)
	ok(t, h.LinkSetUp(lower))
	ok(t, h.LinkSetMasterByIndex(lower, bridge.Attrs().Index))
	ok(t, h.LinkSetMTU(lower, 1280))
	ok(t, netlink.LinkSetAlias(lower, "ours: 1"))
	all, err := h.LinkList()
	ok(t, err)
	i := slices.IndexFunc(all, func(l netlink.Link) bool { return l.Attrs().Name == "port" })
	if i < 0 {
		t.Fatalf("%d links, none of them ours", len(all))
	}
	a := all[i].Attrs()
	if all[i].Type() != "veth" || a.MTU != 1280 || a.Alias != "ours: 1" || a.MasterIndex != bridge.Attrs().Index ||
		a.RawFlags&unix.IFF_UP == 0 {
		t.Errorf("%s %+v", all[i].Type(), a)
	}
	theirs, err := library.LinkList() // some kernels have devices of their own
	ok(t, err)
	if len(all) != len(theirs) || !slices.ContainsFunc(all,
		func(l netlink.Link) bool { return l.Attrs().Name == "lo" && l.Type() == "device" }) {
		t.Errorf("%d links, the library lists %d", len(all), len(theirs))
	}
	same, err := h.LinkByIndex(a.Index)
	ok(t, err)
	if diff := cmp.Diff(all[i], same); diff != "" {
		t.Errorf("by index and in the list:\n%s", diff)
	}
	ok(t, h.LinkDel(lower))

	for _, name := range []string{"", "none", "longer-than-a-name"} {
		if _, err := h.LinkByName(name); !errors.As(err, new(netlink.LinkNotFoundError)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, index := range []int{-1, 0, 1 << 20} {
		if _, err := h.LinkByIndex(index); !errors.As(err, new(netlink.LinkNotFoundError)) {
			t.Errorf("%d: %v", index, err)
		}
	}
	if err := h.LinkAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lower"}, Kind: "bridge"}); !errors.Is(err,
		unix.EEXIST) {
		t.Errorf("made twice: %v", err)
	}
	if err := h.LinkAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "x"}, Kind: "no-such-kind"}); !errors.Is(err,
		unix.EOPNOTSUPP) {
		t.Errorf("an unknown kind: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	h := handle(t)
	device(t, h, "other")
	l := device(t, h, "dev")
	theirs, err := library.LinkByName("dev")
	ok(t, err)
	for _, a := range []string{"10.0.0.1/8", "10.1.0.1/31", "2001:db8::1/64"} {
		ok(t, h.AddrReplace(l, &netlink.Addr{IPNet: parse(t, a), Flags: unix.IFA_F_NODAD}))
		ok(t, h.AddrReplace(l, &netlink.Addr{IPNet: parse(t, a), Flags: unix.IFA_F_NODAD})) // changes nothing
	}
	ok(t, h.AddrReplace(l, &netlink.Addr{IPNet: parse(t, "192.0.2.1/32"), Peer: parse(t, "192.0.2.2/32")}))
	ok(t, h.AddrReplace(l, &netlink.Addr{IPNet: parse(t, "fd00::1/128"), Peer: parse(t, "fd00::2/128"),
		Flags: unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_NODAD}))
	list := func(family int) (out []string) {
		t.Helper()
		have, err := h.AddrList(l, family)
		ok(t, err)
		for _, a := range have {
			if s := a.IPNet.String(); a.Peer == nil {
				out = append(out, s)
			} else {
				out = append(out, s+" peer "+a.Peer.String())
			}
		}
		slices.Sort(out)
		return out
	}
	var want []string
	all, err := library.AddrList(theirs, library.FAMILY_ALL)
	ok(t, err)
	for _, a := range all {
		if s := a.IPNet.String(); a.Peer == nil {
			want = append(want, s)
		} else {
			want = append(want, s+" peer "+a.Peer.String())
		}
		if a.IP.String() == "10.0.0.1" && a.Broadcast.String() != "10.255.255.255" || a.IP.String() == "10.1.0.1" &&
			a.Broadcast != nil {
			t.Errorf("%s has the broadcast address %s", a.IPNet, a.Broadcast)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, list(netlink.FAMILY_ALL)); diff != "" || len(want) < 6 {
		t.Errorf("%d addresses (-library +ours):\n%s", len(want), diff)
	}
	if four, six := list(netlink.FAMILY_V4), list(netlink.FAMILY_V6); len(four) != 3 ||
		len(four)+len(six) != len(want) {
		t.Errorf("IPv4 %v, IPv6 %v", four, six)
	}
	everywhere, err := h.AddrList(nil, netlink.FAMILY_ALL)
	ok(t, err)
	if len(everywhere) <= len(want) {
		t.Errorf("%d addresses on all links, %d on one", len(everywhere), len(want))
	}
	have, err := h.AddrList(l, netlink.FAMILY_ALL)
	ok(t, err)
	for _, a := range have {
		ok(t, h.AddrDel(l, &a))
	}
	if left := list(netlink.FAMILY_ALL); left != nil {
		t.Errorf("left: %v", left)
	}
	if err := h.AddrDel(l, &have[0]); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("removed twice: %v", err)
	}
}

// What rtnetlink says of routes, we read as the library does, in all their kinds.
func TestRoutes(t *testing.T) {
	h := handle(t)
	l := device(t, h, "dev")
	second := device(t, h, "second")
	for _, a := range []string{"192.0.2.1/24", "2001:db8::1/64"} {
		ok(t, h.AddrReplace(l, &netlink.Addr{IPNet: parse(t, a), Flags: unix.IFA_F_NODAD}))
	}
	index := l.Attrs().Index
	routes := []netlink.Route{
		{Dst: parse(t, "10.0.0.0/8"), Gw: net.ParseIP("192.0.2.2"), LinkIndex: index, Protocol: 119},
		{Dst: parse(t, "0.0.0.0/0"), Gw: net.ParseIP("192.0.2.3"), LinkIndex: index, Protocol: 23,
			Priority: 77, MTU: 1300},
		{Dst: parse(t, "203.0.113.7/32"), LinkIndex: index, Protocol: 119, Table: 1000, Scope: netlink.SCOPE_LINK,
			Src: net.ParseIP("192.0.2.1")},
		{Dst: parse(t, "203.0.113.8/32"), Gw: net.ParseIP("198.51.100.1"), LinkIndex: index,
			Flags: netlink.FLAG_ONLINK},
		{Dst: parse(t, "203.0.113.0/24"), Type: unix.RTN_UNREACHABLE, Table: 7},
		{Dst: parse(t, "::/0"), Gw: net.ParseIP("2001:db8::2"), LinkIndex: index, Protocol: 23, Priority: 512},
		{Dst: parse(t, "fd00::/8"), LinkIndex: index, Table: 300, Priority: 1},
		{Dst: parse(t, "10.9.0.0/16"), MultiPath: []*netlink.NexthopInfo{
			{LinkIndex: index, Gw: net.ParseIP("192.0.2.4"), Hops: 3},
			{LinkIndex: second.Attrs().Index, Flags: netlink.FLAG_ONLINK, Gw: net.ParseIP("192.0.2.5")}}},
		// IPv4 by a next hop of IPv6 (RFC 5549).
		{Dst: parse(t, "10.10.0.0/16"), Via: append([]byte{0, 0}, net.ParseIP("2001:db8::9")...), LinkIndex: index},
	}
	for i, r := range routes {
		if r.Via != nil {
			binary.NativeEndian.PutUint16(r.Via, unix.AF_INET6)
		}
		if err := h.RouteAdd(&r); err != nil {
			t.Fatalf("route %d: %v", i, err)
		}
		if err := h.RouteAdd(&r); !errors.Is(err, unix.EEXIST) {
			t.Errorf("route %d added twice: %v", i, err)
		}
		ok(t, h.RouteReplace(&r))
	}
	compare := func() {
		t.Helper()
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			theirs, err := library.RouteListFiltered(family, &library.Route{}, library.RT_FILTER_TABLE)
			ok(t, err)
			ours, err := h.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
			ok(t, err)
			// The kernel's own come and go with the state of its addresses.
			theirs = slices.DeleteFunc(theirs, func(r library.Route) bool { return r.Protocol == unix.RTPROT_KERNEL })
			ours = slices.DeleteFunc(ours, func(r netlink.Route) bool { return r.Protocol == unix.RTPROT_KERNEL })
			if len(theirs) != len(ours) {
				t.Fatalf("%d and %d routes", len(theirs), len(ours))
			}
			for i, r := range theirs {
				want := netlink.Route{Family: r.Family, Dst: r.Dst, Src: r.Src, Gw: r.Gw, LinkIndex: r.LinkIndex,
					Table: r.Table, Protocol: int(r.Protocol),
					Scope: int(r.Scope), Type: r.Type, Flags: r.Flags, Priority: r.Priority, MTU: r.MTU}
				want.Dst.IP = slices.Clone(want.Dst.IP)
				if four := want.Dst.IP.To4(); r.Family == netlink.FAMILY_V4 {
					want.Dst.IP = four
				}
				if r.Via != nil {
					via, err := r.Via.Encode()
					ok(t, err)
					want.Via = via
				}
				for _, n := range r.MultiPath {
					want.MultiPath = append(want.MultiPath,
						&netlink.NexthopInfo{LinkIndex: n.LinkIndex, Hops: n.Hops, Flags: n.Flags, Gw: n.Gw})
				}
				if diff := cmp.Diff(want, ours[i]); diff != "" {
					t.Errorf("%s (-library +ours):\n%s", r, diff)
				}
			}
		}
	}
	compare()

	ours, err := h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: 119},
		netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	ok(t, err)
	if len(ours) != 2 {
		t.Errorf("%d routes with the number 119 in all tables, want 2", len(ours))
	}
	if main, err := h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: 119},
		netlink.RT_FILTER_PROTOCOL); err != nil || len(main) != 1 {
		t.Errorf("%d of them in the main table, want 1; %v", len(main), err)
	}
	if far, err := h.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Table: 300},
		netlink.RT_FILTER_TABLE); err != nil || len(far) != 1 || far[0].Dst.String() != "fd00::/8" {
		t.Errorf("table 300: %v, %v", far, err)
	}
	if by, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{LinkIndex: second.Attrs().Index},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE); err != nil || len(by) != 0 {
		t.Errorf("by a device without routes: %v, %v", by, err)
	}

	got, err := h.RouteGetWithOptions(net.ParseIP("10.0.0.1"), &netlink.RouteGetOptions{Mark: 1})
	ok(t, err)
	if len(got) != 1 || got[0].Gw.String() != "192.0.2.2" || got[0].LinkIndex != index ||
		got[0].Src.String() != "192.0.2.1" || got[0].Table != unix.RT_TABLE_MAIN {
		t.Errorf("to 10.0.0.1: %+v", got)
	}
	if got, err := netlink.RouteGetWithOptions(net.ParseIP("192.0.2.1"), nil); err != nil || len(got) != 1 ||
		got[0].Type != unix.RTN_LOCAL {
		t.Errorf("to ourselves: %+v, %v", got, err)
	}

	for i, r := range routes {
		if err := h.RouteDel(&r); err != nil {
			t.Errorf("route %d: %v", i, err)
		}
		if err := h.RouteDel(&r); !errors.Is(err, unix.ESRCH) {
			t.Errorf("route %d removed twice: %v", i, err)
		}
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: index}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("without a destination: %v", err)
	}
	if _, err := h.RouteGetWithOptions(net.ParseIP("198.51.100.9"), nil); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("without a way: %v", err)
	}
}

// A list that is longer than any buffer comes whole.
func TestLongList(t *testing.T) {
	h := handle(t)
	l := device(t, h, "dev")
	const many = 3000
	for i := range many {
		dst := &net.IPNet{IP: net.IPv4(10, 0, byte(i>>8), byte(i)).To4(), Mask: net.CIDRMask(32, 32)}
		ok(t, h.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: l.Attrs().Index, Protocol: 119,
			Scope: netlink.SCOPE_LINK}))
	}
	var list []netlink.Route
	err := netlink.ErrDumpInterrupted
	for errors.Is(err, netlink.ErrDumpInterrupted) {
		list, err = h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: 119}, netlink.RT_FILTER_PROTOCOL)
	}
	if err != nil || len(list) != many {
		t.Errorf("%d routes, %v", len(list), err)
	}
}

func TestListener(t *testing.T) {
	h := handle(t)
	l, err := netlink.Listen([]int{unix.RTNLGRP_LINK}, unix.RTNLGRP_NEXTHOP, 31)
	ok(t, err)
	defer l.Close()
	var names []string
	take := func(b []byte) {
		ok(t, netlink.Messages(b, func(hdr netlink.Header, m []byte) error {
			if hdr.Kind == unix.RTM_NEWLINK {
				names = append(names, netlink.ParseLink(m).Attrs().Name)
			}
			return nil
		}))
	}
	if n, err := l.Receive(take, false); n != 0 || err != nil {
		t.Errorf("before anything: %d, %v", n, err)
	}
	device(t, h, "dev")
	if n, err := l.Receive(take, true); n == 0 || err != nil || !slices.Contains(names, "dev") {
		t.Errorf("%d messages, %v, of %v", n, err, names)
	}
	l.Wake()
	if _, err := l.Receive(take, true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("woken before: %v", err)
	}
	time.AfterFunc(time.Millisecond, l.Wake)
	if _, err := l.Receive(take, true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("woken: %v", err)
	}
	if n, err := l.Receive(take, false); n != 0 || err != nil {
		t.Errorf("after that: %d, %v", n, err)
	}
	if _, err := netlink.Listen([]int{9999}); err == nil {
		t.Error("a group that does not exist")
	}
}

func TestClosed(t *testing.T) {
	h := handle(t)
	h.Close()
	h.Close()
	if _, err := h.LinkList(); !errors.Is(err, unix.EBADF) {
		t.Error(err)
	}
}

func TestIndex(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := netlink.Index("lo"); err != nil || n != lo.Index {
		t.Errorf("lo has the index %d, %v; want %d", n, err, lo.Index)
	}
	if n, err := netlink.Index("nonesuch"); !errors.Is(err, unix.ENODEV) {
		t.Errorf("no such device: %d, %v", n, err)
	}
	if n, err := netlink.Index(strings.Repeat("x", unix.IFNAMSIZ)); err == nil {
		t.Errorf("a name too long: %d", n)
	}
}
