package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/testns"
)

func open(t *testing.T, s Spawner) *Tunnel {
	t.Helper()
	tun, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tun.Close)
	return tun
}

func newKey(t *testing.T) wgtypes.Key {
	t.Helper()
	k, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func desired(t *testing.T) Desired {
	return Desired{
		Name: "mesh",
		Devices: []Device{{Interface: "wg_mesh", PrivateKey: pointer(newKey(t)), FwMark: 1, MTU: 1420,
			Addresses: []Address{{Prefix: netip.MustParsePrefix("fe80::a:b/64")}},
			Peers: []Peer{{PublicKey: newKey(t).PublicKey(), Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"),
				AllowedIPs: []netip.Prefix{netip.MustParsePrefix("fe80::1/128")}, Keepalive: 25 * time.Second,
				Generation: 1}}}},
		VXLAN: &VXLAN{Name: "mesh-vpn", ID: 1906606, Port: 8472, Remote: netip.MustParseAddr("fe80::1"),
			MTU: 1350, Checksum: true},
	}
}

// apply applies d and removes everything at the end of the test.
func apply(t *testing.T, tun *Tunnel, d Desired) Report {
	t.Helper()
	r, err := tun.Apply(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Remove(d) })
	return r
}

func vxlanOf(t *testing.T, name string) *netlink.Vxlan {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	v, ok := l.(*netlink.Vxlan)
	if !ok {
		t.Fatalf("%s is a %s", name, l.Type())
	}
	return v
}

func remotes(t *testing.T, link string) []entry {
	t.Helper()
	es, err := open(t, nil).entries(vxlanOf(t, link).Index)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func TestApplyMakesAll(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	r := apply(t, tun, d)
	wg, err := netlink.LinkByName("wg_mesh")
	if err != nil {
		t.Fatal(err)
	}
	want := Userspace
	if wg.Type() == "wireguard" { // on a kernel that has it
		want = Kernel
	}
	if r.Backend != want || len(r.Warnings) != 0 {
		t.Errorf("report %+v, want backend %v", r, want)
	}
	dev, err := tun.Status("wg_mesh")
	if err != nil {
		t.Fatal(err)
	}
	if dev.PrivateKey != *d.Devices[0].PrivateKey || dev.FirewallMark != 1 || len(dev.Peers) != 1 {
		t.Fatalf("mark %d, %d peers, key as wanted: %v", dev.FirewallMark, len(dev.Peers),
			dev.PrivateKey == *d.Devices[0].PrivateKey)
	}
	p := dev.Peers[0]
	if p.Endpoint.String() != "192.0.2.1:51820" || p.PersistentKeepaliveInterval != 25*time.Second ||
		len(p.AllowedIPs) != 1 {
		t.Errorf("peer %+v", p)
	}
	if wg.Attrs().MTU != 1420 || wg.Attrs().Flags&net.FlagUp == 0 {
		t.Errorf("link %+v", wg.Attrs())
	}
	addrs, _ := netlink.AddrList(wg, netlink.FAMILY_ALL)
	if len(addrs) != 1 || addrs[0].IPNet.String() != "fe80::a:b/64" {
		t.Errorf("addresses %v", addrs)
	}
	routes, _ := netlink.RouteListFiltered(netlink.FAMILY_V6,
		&netlink.Route{LinkIndex: wg.Attrs().Index, Protocol: routeProtocol},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if len(routes) != 1 || routes[0].Dst.String() != "fe80::1/128" {
		t.Errorf("routes %v", routes)
	}
	v := vxlanOf(t, "mesh-vpn")
	if v.VxlanId != 1906606 || v.Port != 8472 || v.VtepDevIndex != wg.Attrs().Index ||
		v.SrcAddr.String() != "fe80::a:b" ||
		v.Learning || v.UDP6ZeroCSumTx || !v.UDP6ZeroCSumRx || v.MTU != 1350 || v.Flags&net.FlagUp == 0 {
		t.Errorf("vxlan %+v", v)
	}
	if diff := cmp.Diff([]entry{{netip.MustParseAddr("fe80::1"), wg.Attrs().Index}}, remotes(t, "mesh-vpn"),
		cmp.AllowUnexported(entry{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("forwarding entries (-want +got):\n%s", diff)
	}
}

// An address that was ours goes, one of others stays.
func TestAddressGone(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	ours, next := netip.MustParsePrefix("10.9.1.7/32"), netip.MustParsePrefix("10.9.1.8/32")
	own := d.Devices[0].Addresses
	d.Devices[0].Addresses = append(slices.Clone(own), Address{Prefix: ours})
	apply(t, tun, d)
	wg, err := netlink.LinkByName("wg_mesh")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(wg, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.5.0.1/32"))}); err != nil {
		t.Fatal(err)
	}
	d.Devices[0].Addresses = append(slices.Clone(own), Address{Prefix: next})
	d.Devices[0].Gone = []netip.Prefix{ours, next}
	apply(t, tun, d)
	addrs, err := netlink.AddrList(wg, netlink.FAMILY_V4)
	var have []string
	for _, a := range addrs {
		have = append(have, a.IPNet.String())
	}
	slices.Sort(have)
	if err != nil || !slices.Equal(have, []string{"10.5.0.1/32", "10.9.1.8/32"}) {
		t.Errorf("addresses %v, %v", have, err)
	}
}

// The kernel itself is asked whether the second Apply changed anything.
func TestSecondApplyIsSilent(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	made, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if r := apply(t, tun, d); r.Changes == 0 {
		t.Fatal("the first Apply counted no change: the count is worth nothing")
	}
	wg, _ := netlink.LinkByName("wg_mesh")
	// The kernel announces the new address from a work queue of its own, maybe after Apply has returned.
	awaitAddress(t, made, wg.Attrs().Index)
	vxlan := vxlanOf(t, "mesh-vpn").Index
	sub, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for range 3 {
		r, err := tun.Apply(context.Background(), d)
		if err != nil || r.Changes != 0 {
			t.Fatalf("%d changes, %v", r.Changes, err)
		}
	}
	// An agent that comes after a crash finds all as it should be, too.
	again := open(t, testns.WireGuard(t))
	if r, err := again.Apply(context.Background(), d); err != nil || r.Changes != 0 {
		t.Fatalf("new agent: %d changes, %v", r.Changes, err)
	}
	// A change of ours, as the end mark of what the kernel has to report.
	end := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "end"}}
	if err := netlink.LinkAdd(end); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(end)
	for {
		msgs, _, err := sub.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			h := unix.NlMsghdr(m.Header)
			if l, err := netlink.LinkDeserialize(&h, m.Data); m.Header.Type == unix.RTM_NEWLINK && err == nil &&
				l.Attrs().Name == "end" {
				return
			}
			if isOurs(m, wg.Attrs().Index, vxlan) {
				t.Errorf("the kernel reports a change: message type %d", m.Header.Type)
			}
		}
	}
}

func awaitAddress(t *testing.T, sub *nl.NetlinkSocket, link int) {
	t.Helper()
	for {
		msgs, _, err := sub.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			if m.Header.Type == unix.RTM_NEWADDR && int(binary.NativeEndian.Uint32(m.Data[4:8])) == link {
				return
			}
		}
	}
}

// isOurs leaves out what the kernel does by itself in the meantime: neighbour discovery, and the VXLAN's own address.
func isOurs(m syscall.NetlinkMessage, wg, vxlan int) bool {
	switch m.Header.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return m.Data[0] == unix.AF_BRIDGE && int(binary.NativeEndian.Uint32(m.Data[4:8])) == vxlan
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return int(binary.NativeEndian.Uint32(m.Data[4:8])) == wg
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return m.Data[5] == routeProtocol
	}
	return true
}

func TestSwitchMakesBeforeBreak(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	before := vxlanOf(t, "mesh-vpn").Index
	next := Peer{PublicKey: newKey(t).PublicKey(), Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"),
		Keepalive: 25 * time.Second, Generation: 7}
	first := d.Devices[0].Peers[0]
	d.Devices[0].Peers = []Peer{first, next}
	apply(t, tun, d)
	if dev, _ := tun.Status("wg_mesh"); len(dev.Peers) != 2 {
		t.Fatalf("%d peers", len(dev.Peers))
	}
	next.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("fe80::2/128")}
	d.Devices[0].Peers = []Peer{next}
	d.VXLAN.Remote = netip.MustParseAddr("fe80::2")
	apply(t, tun, d)
	dev, _ := tun.Status("wg_mesh")
	if len(dev.Peers) != 1 || dev.Peers[0].PublicKey != next.PublicKey || len(dev.Peers[0].AllowedIPs) != 1 {
		t.Errorf("peers %+v", dev.Peers)
	}
	if es := remotes(t, "mesh-vpn"); len(es) != 1 || es[0].remote.String() != "fe80::2" {
		t.Errorf("forwarding entries %v", es)
	}
	if vxlanOf(t, "mesh-vpn").Index != before {
		t.Error("the VXLAN device was made anew")
	}
}

func TestMoveAndGeneration(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	d.Devices[0].Peers[0].Endpoint = netip.MustParseAddrPort("[2001:db8::1]:51820")
	if r := apply(t, tun, d); r.Changes != 0 {
		t.Errorf("an endpoint alone was changed: the gateway may have roamed")
	}
	d.Devices[0].Peers[0].Move++
	if r := apply(t, tun, d); r.Changes != 1 {
		t.Errorf("%d changes for a moved endpoint", r.Changes)
	}
	if dev, _ := tun.Status("wg_mesh"); dev.Peers[0].Endpoint.String() != "[2001:db8::1]:51820" ||
		len(dev.Peers[0].AllowedIPs) != 1 {
		t.Errorf("after the move: %+v", dev.Peers[0])
	}
	d.Devices[0].Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.9:51820")
	d.Devices[0].Peers[0].Generation++
	apply(t, tun, d)
	if dev, _ := tun.Status("wg_mesh"); len(dev.Peers) != 1 || dev.Peers[0].Endpoint.String() != "192.0.2.9:51820" {
		t.Errorf("peers %+v", dev.Peers)
	}
}

func TestRepairsWhatWasChanged(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	wg, _ := netlink.LinkByName("wg_mesh")
	a, _ := netlink.ParseAddr("fe80::a:b/64")
	if err := netlink.AddrDel(wg, a); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(vxlanOf(t, "mesh-vpn"), 1280); err != nil {
		t.Fatal(err)
	}
	if err := tun.neigh(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_APPEND, vxlanOf(t, "mesh-vpn").Index,
		entry{netip.MustParseAddr("fe80::bad"), wg.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	apply(t, tun, d)
	if es := remotes(t, "mesh-vpn"); len(es) != 1 || es[0].remote.String() != "fe80::1" {
		t.Errorf("forwarding entries %v", es)
	}
	if r := apply(t, tun, d); r.Changes != 0 || vxlanOf(t, "mesh-vpn").MTU != 1350 {
		t.Errorf("not repaired: %d changes, MTU %d", r.Changes, vxlanOf(t, "mesh-vpn").MTU)
	}
	if err := netlink.LinkDel(vxlanOf(t, "mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	apply(t, tun, d)
	vxlanOf(t, "mesh-vpn")
}

func TestOneIncompatibleChangeRecreates(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	v := *d.VXLAN
	d.VXLAN = &v
	v.ID = 4711
	apply(t, tun, d)
	if got := vxlanOf(t, "mesh-vpn").VxlanId; got != 4711 {
		t.Errorf("id %d", got)
	}
	d.VXLAN.Name = "other"
	apply(t, tun, d)
	if _, err := netlink.LinkByName("mesh-vpn"); err == nil {
		t.Error("the device under its old name is still there")
	}
}

func TestMaster(t *testing.T) {
	d := desired(t)
	d.VXLAN.Master = "bat0"
	tun := open(t, testns.WireGuard(t))
	if r := apply(t, tun, d); len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "bat0") {
		t.Errorf("warnings %q", r.Warnings)
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bat0"}}
	if err := netlink.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(br)
	if r := apply(t, tun, d); len(r.Warnings) != 0 || vxlanOf(t, "mesh-vpn").MasterIndex != br.Index {
		t.Errorf("warnings %q, master %d", r.Warnings, vxlanOf(t, "mesh-vpn").MasterIndex)
	}
}

func TestForeignDevicesStay(t *testing.T) {
	d := desired(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "wg_mesh"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	tun := open(t, testns.WireGuard(t))
	if _, err := tun.Apply(context.Background(), d); err == nil || !strings.Contains(err.Error(), "wg_mesh") {
		t.Errorf("error %v", err)
	}
	if err := tun.Remove(d); err != nil {
		t.Error(err)
	}
	if err := netlink.LinkDel(bridge); err != nil {
		t.Fatalf("the bridge of another program is gone: %v", err)
	}
}

func TestRemoveTakesOursOnly(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	if err := tun.Remove(d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"wg_mesh", "mesh-vpn"} {
		if _, err := netlink.LinkByName(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if err := tun.Remove(d); err != nil {
		t.Errorf("a second Remove: %v", err)
	}
}

func TestNoBackend(t *testing.T) {
	// This passes on a kernel with WireGuard as well: there the device is made.
	d := desired(t)
	tun := open(t, nil)
	_, err := tun.Apply(context.Background(), d)
	defer tun.Remove(d)
	if err != nil && !errors.Is(err, ErrNoWireGuard) {
		t.Errorf("error %v", err)
	}
	d.Devices[0].Backend = Userspace
	d.Devices[0].Interface = "wg_user"
	if _, err := tun.Apply(context.Background(), d); err == nil || !strings.Contains(err.Error(), "userspace variant") {
		t.Errorf("error %v", err)
	}
}

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	changed := make(chan struct{}, 1)
	done := make(chan error)
	go func() { done <- Watch(ctx, func(name string) bool { return name == "watched" }, false, changed) }()
	// The subscription may come after a first change; so make changes until one is seen.
	deadline := time.After(10 * time.Second)
	for i, seen := 0, false; !seen; i++ {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "watched"}}
		if err := netlink.LinkAdd(br); err != nil {
			t.Fatal(err)
		}
		netlink.LinkDel(br)
		select {
		case <-changed:
			seen = true
		case <-deadline:
			t.Fatal("nothing seen")
		default:
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func pointer[T any](v T) *T { return &v }
