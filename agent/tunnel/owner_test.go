package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/testns"
)

// A WireGuard device that is neither ours nor lent to us is refused, and nothing on it changes.
func TestWireGuardOfOthersIsRefused(t *testing.T) {
	d := desired(t)
	for name, c := range map[string]struct {
		private wgtypes.Key
		alias   string
		want    string
	}{
		"another key":    {newKey(t), "", "another key (public key "},
		"no key":         {wgtypes.Key{}, "", "without a key"},
		"our key":        {*d.Devices[0].PrivateKey, "", "this node's key"},
		"another uplink": {*d.Devices[0].PrivateKey, mark("other"), "the device of the uplink other"},
	} {
		t.Run(name, func(t *testing.T) {
			tun := open(t, testns.WireGuard(t))
			if err := testns.WireGuard(t)(context.Background(), "wg_mesh", c.alias); err != nil {
				t.Fatal(err)
			}
			theirs, fw := newKey(t).PublicKey(), 77
			cfg := wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: theirs}}, FirewallMark: &fw}
			if (c.private != wgtypes.Key{}) {
				cfg.PrivateKey = &c.private
			}
			if err := tun.wg.ConfigureDevice("wg_mesh", cfg); err != nil {
				t.Fatal(err)
			}
			r, err := tun.Apply(context.Background(), d)
			var foreign *ForeignError
			if !errors.As(err, &foreign) || foreign.Device != "wg_mesh" || foreign.Option != "interface" ||
				!strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			if r.Changes != 0 {
				t.Errorf("%d changes", r.Changes)
			}
			if err := tun.Remove(d); err != nil {
				t.Fatal(err)
			}
			dev, err := tun.Status("wg_mesh")
			if err != nil || dev.PrivateKey != c.private || dev.FirewallMark != fw || len(dev.Peers) != 1 ||
				dev.Peers[0].PublicKey != theirs {
				t.Errorf("%v, %+v", err, dev)
			}
			link, _ := netlink.LinkByName("wg_mesh")
			if link.Attrs().Alias != c.alias {
				t.Errorf("alias %q", link.Attrs().Alias)
			}
		})
	}
}

// A VXLAN device of another program is refused even where it is just as we would make it: its forwarding entries are
// the owner's.
func TestVXLANOfOthersIsRefused(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	v := vxlanOf(t, "mesh-vpn")
	if err := netlink.LinkSetAlias(v, "theirs"); err != nil {
		t.Fatal(err)
	}
	before := remotes(t, "mesh-vpn")
	d.VXLAN.Remote = netip.MustParseAddr("fe80::2")
	_, err := tun.Apply(context.Background(), d)
	var foreign *ForeignError
	if !errors.As(err, &foreign) || foreign.Option != "vxlan_interface" {
		t.Fatalf("error %v", err)
	}
	if after := remotes(t, "mesh-vpn"); len(after) != 1 || after[0] != before[0] {
		t.Errorf("forwarding entries %v, were %v", after, before)
	}
	if err := netlink.LinkSetAlias(v, mark("mesh")); err != nil {
		t.Fatal(err)
	}
}

// A crash between making a device and marking it leaves one that the next agent knows: by the group that the kernel
// takes with the making.
func TestUnfinishedIsOurs(t *testing.T) {
	d := desired(t)
	before := open(t, testns.WireGuard(t))
	apply(t, before, d)
	v := vxlanOf(t, "mesh-vpn")
	if g := v.LinkAttrs.Group; g != 0 {
		t.Errorf("group %#x after the mark, want the default one", g)
	}
	if err := netlink.LinkDel(v); err != nil {
		t.Fatal(err)
	}
	wg, _ := netlink.LinkByName("wg_mesh")
	left := &netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: "mesh-vpn", Group: making}, VxlanId: 1906606,
		VtepDevIndex: wg.Attrs().Index, Port: 8472}
	if err := netlink.LinkAdd(left); err != nil {
		t.Fatal(err)
	}
	after := open(t, testns.WireGuard(t))
	apply(t, after, d)
	if v := vxlanOf(t, "mesh-vpn"); v.Alias != mark("mesh") || v.LinkAttrs.Group != 0 {
		t.Errorf("alias %q, group %#x", v.Alias, v.LinkAttrs.Group)
	}
}

// What an uplink that has left the configuration, or a crash, has left goes at the start; nothing else does.
func TestRemoveUnknown(t *testing.T) {
	make := func(name, alias string, group uint32) {
		t.Helper()
		l := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, Group: group}}
		if err := netlink.LinkAdd(l); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { netlink.LinkDel(l) })
		if alias != "" {
			if err := netlink.LinkSetAlias(l, alias); err != nil {
				t.Fatal(err)
			}
		}
	}
	make("old", mark("old"), 0)
	make("half", "", making)
	make("kept", mark("mesh"), 0)
	make("theirs", "", 0)
	make("named", "my uplink", making)
	tun := open(t, nil)
	gone, err := tun.RemoveUnknown(func(u string) bool { return u == "mesh" })
	if err != nil || len(gone) != 1 || gone[0] != "old" {
		t.Errorf("%v, %v", gone, err)
	}
	for name, want := range map[string]bool{"old": false, "half": false, "kept": true, "theirs": true, "named": true} {
		if _, err := netlink.LinkByName(name); (err == nil) != want {
			t.Errorf("%s is there: %v", name, err == nil)
		}
	}
}

// A device beside that cannot be made does not keep the VXLAN from being there.
func TestDeviceBesideCannotBeMade(t *testing.T) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "wg_mesh-new"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(bridge) })
	tun := open(t, testns.WireGuard(t))
	d := desired(t)
	d.Devices = append(d.Devices, Device{Interface: "wg_mesh-new", PrivateKey: pointer(newKey(t)), MTU: 1420,
		Unrouted: true, Peers: []Peer{
			{PublicKey: d.Devices[0].Peers[0].PublicKey, Endpoint: d.Devices[0].Peers[0].Endpoint,
				Keepalive: 25 * time.Second},
		}})
	r := apply(t, tun, d)
	if len(r.Failed) != 1 || r.Failed[0] != "wg_mesh-new" {
		t.Errorf("report %+v", r)
	}
	if _, err := netlink.LinkByName("mesh-vpn"); err != nil {
		t.Error(err)
	}

	// One that can be made has neither addresses nor routes, and goes without a trace.
	netlink.LinkDel(bridge)
	if r := apply(t, tun, d); len(r.Failed) != 0 {
		t.Errorf("report %+v", r)
	}
	link, err := netlink.LinkByName("wg_mesh-new")
	if err != nil {
		t.Fatal(err)
	}
	if addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL); err != nil || len(addrs) != 0 {
		t.Errorf("addresses %v, %v", addrs, err)
	}
	d.Devices = d.Devices[:1]
	apply(t, tun, d)
	if _, err := netlink.LinkByName("wg_mesh-new"); err == nil {
		t.Error("it is still there")
	}
	if _, err := netlink.LinkByName("mesh-vpn"); err != nil {
		t.Error(err)
	}
}

// One of several devices that cannot be made does not take the others down.
func TestOneOfSeveralCannotBeMade(t *testing.T) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "wg_c2"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(bridge) })
	tun := open(t, testns.WireGuard(t))
	d := several(t, 1, 2, 3)
	r := apply(t, tun, by(d, 3))
	if len(r.Failed) != 1 || r.Failed[0] != "wg_c2" || len(r.Warnings) != 1 ||
		!strings.Contains(r.Warnings[0], "wg_c2 exists and is a bridge") {
		t.Errorf("report %+v", r)
	}
	wantRoutes(t, "10.0.1.3 by wg_c3 proto 23", "fe80::3 by wg_c3 proto 23")
	for _, name := range []string{"wg_c1", "wg_c3"} {
		if dev, err := tun.Status(name); err != nil || len(dev.Peers) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := apply(t, tun, by(d, 3)); r.Changes != 0 {
		t.Errorf("a second Apply: %d changes", r.Changes)
	}
	apply(t, tun, by(d, 2)) // in use, but not there: no default route rather than one into nothing
	wantRoutes(t)
	only := d
	only.Devices = d.Devices[1:2]
	only.Exit = &Exit{}
	if _, err := tun.Apply(context.Background(), only); err == nil {
		t.Error("no error although no device can be made")
	}
}

// A device of ours that has become something else is made anew.
func TestOursOfAnotherKind(t *testing.T) {
	d := desired(t)
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "wg_mesh"}}
	if err := netlink.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetAlias(br, mark("mesh")); err != nil {
		t.Fatal(err)
	}
	apply(t, open(t, testns.WireGuard(t)), d)
	if l, err := netlink.LinkByName("wg_mesh"); err != nil || l.Type() == "bridge" {
		t.Errorf("%v, %v", l, err)
	}
}

// line makes a link that stands in for a line, with addresses.
func line(t *testing.T, name string, addresses ...string) netlink.Link {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name},
		PeerName: name + "-far"}); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) })
	far, err := netlink.LinkByName(name + "-far")
	if err = errors.Join(err, netlink.LinkSetUp(link), netlink.LinkSetUp(far)); err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		addr := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(a))}
		if addr.IP.To4() == nil {
			addr.Flags = 2 // IFA_F_NODAD
		}
		if err := netlink.AddrReplace(link, addr); err != nil {
			t.Fatal(err)
		}
	}
	return link
}

func addRoute(t *testing.T, link netlink.Link, dst, via string, metric int) *netlink.Route {
	t.Helper()
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(dst)),
		Priority: metric, Protocol: 4}
	if via != "" {
		r.Gw = net.ParseIP(via)
	}
	if err := netlink.RouteAdd(r); err != nil {
		t.Fatal(err)
	}
	return r
}
