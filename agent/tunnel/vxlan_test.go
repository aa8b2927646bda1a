package tunnel

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"wguplink/agent/testns"
)

// inMaster puts the VXLAN into a bridge and gives a function that says how often it has left since.
func inMaster(t *testing.T, d *Desired) (left func() int) {
	t.Helper()
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bat0"}}
	if err := netlink.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(br) })
	d.VXLAN.Master = "bat0"
	sub, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	return func() (n int) {
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
				l, err := netlink.LinkDeserialize(&h, m.Data)
				switch {
				case err != nil:
				case m.Header.Type == unix.RTM_NEWLINK && l.Attrs().Name == "end":
					return n
				case m.Header.Type == unix.RTM_DELLINK && l.Attrs().Name == "mesh-vpn":
					n++
				}
			}
		}
	}
}

// A new key, a new address and a new WireGuard device leave the VXLAN in its place: it is moved.
func TestVXLANMovesInPlace(t *testing.T) {
	d := desired(t)
	left := inMaster(t, &d)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	was := vxlanOf(t, "mesh-vpn")
	left()

	d.Devices[0].PrivateKey = pointer(newKey(t))
	d.Devices[0].Addresses = []Address{{Prefix: netip.MustParsePrefix("fe80::c:d/64")}}
	apply(t, tun, d)
	if v := vxlanOf(t, "mesh-vpn"); v.Index != was.Index || v.SrcAddr.String() != "fe80::c:d" {
		t.Errorf("after a new key: number %d, was %d; local address %s", v.Index, was.Index, v.SrcAddr)
	}

	// The new device is made beside the old one, and the VXLAN moves before the old one goes.
	beside := d
	next := d.Devices[0]
	next.Interface, next.ListenPort = "wg_next", 0
	beside.Devices = []Device{d.Devices[0], next}
	apply(t, tun, beside)
	old, _ := netlink.LinkByName("wg_mesh")
	if v := vxlanOf(t, "mesh-vpn"); v.VtepDevIndex != old.Attrs().Index {
		t.Error("the VXLAN is not over the first device")
	}
	d.Devices = []Device{next}
	apply(t, tun, d)
	now, err := netlink.LinkByName("wg_next")
	if err != nil {
		t.Fatal(err)
	}
	if v := vxlanOf(t, "mesh-vpn"); v.Index != was.Index || v.VtepDevIndex != now.Attrs().Index ||
		!bytes.Equal(v.HardwareAddr, was.HardwareAddr) {
		t.Errorf("after a new device: %+v", v)
	}
	if es := remotes(t, "mesh-vpn"); len(es) != 1 || es[0].lower != now.Attrs().Index {
		t.Errorf("forwarding entries %+v", es)
	}
	if _, err := netlink.LinkByName("wg_mesh"); err == nil {
		t.Error("the old device is still there")
	}
	if n := left(); n != 0 {
		t.Errorf("the VXLAN has left its master or was deleted %d times", n)
	}
	if r := apply(t, tun, d); r.Changes != 0 {
		t.Errorf("a second Apply: %d changes", r.Changes)
	}
	// A new name with a fixed port: the old device must not keep the port.
	d.Devices[0].ListenPort = 40962
	apply(t, tun, d)
	d.Devices = []Device{d.Devices[0]}
	d.Devices[0].Interface = "wg_mesh"
	apply(t, tun, d)
	if v := vxlanOf(t, "mesh-vpn"); v.Index != was.Index {
		t.Error("made anew for a new name of the device below")
	}
}

// A device that has to be made anew keeps its MAC address; one that was deleted, or is of another agent, gets the same
// again.
func TestVXLANKeepsItsMAC(t *testing.T) {
	d := desired(t)
	now := time.Unix(1e9, 0)
	open := func(t *testing.T, s Spawner) *Tunnel {
		tun := open(t, s)
		tun.now = func() time.Time { now = now.Add(time.Hour); return now } // so that nothing waits
		return tun
	}
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	stable := vxlanOf(t, "mesh-vpn").HardwareAddr
	if stable[0]&3 != 2 {
		t.Errorf("%s is not a locally administered address of one host", stable)
	}
	if err := netlink.LinkDel(vxlanOf(t, "mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	tun = open(t, testns.WireGuard(t))
	apply(t, tun, d)
	if mac := vxlanOf(t, "mesh-vpn").HardwareAddr; !bytes.Equal(mac, stable) {
		t.Errorf("after a deletion: %s, was %s", mac, stable)
	}
	// The mesh knows the node by this address, not by the key that it came from: it stays when the key is another, also
	// when the device is made anew after that.
	d.Devices[0].PrivateKey = pointer(newKey(t))
	apply(t, tun, d)
	if err := netlink.LinkDel(vxlanOf(t, "mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	apply(t, tun, d)
	if mac := vxlanOf(t, "mesh-vpn").HardwareAddr; !bytes.Equal(mac, stable) {
		t.Errorf("after a new key and a deletion: %s, was %s", mac, stable)
	}
	// netifd's is left, and kept.
	theirs := net.HardwareAddr{2, 0, 0, 1, 2, 3}
	if err := netlink.LinkSetHardwareAddr(vxlanOf(t, "mesh-vpn"), theirs); err != nil {
		t.Fatal(err)
	}
	if r := apply(t, tun, d); r.Changes != 0 {
		t.Errorf("%d changes because of another's MAC address", r.Changes)
	}
	d.VXLAN.ID++
	apply(t, tun, d)
	if mac := vxlanOf(t, "mesh-vpn").HardwareAddr; !bytes.Equal(mac, theirs) {
		t.Errorf("after another id: %s, was %s", mac, theirs)
	}
	d.VXLAN.Name = "mesh-two"
	apply(t, tun, d)
	if mac := vxlanOf(t, "mesh-two").HardwareAddr; !bytes.Equal(mac, theirs) {
		t.Errorf("after another name: %s, was %s", mac, theirs)
	}
	if err := tun.Remove(d); err != nil {
		t.Fatal(err)
	}
	// Another link has the address already.
	d.VXLAN.Name = "mesh-vpn"
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bat0", HardwareAddr: stable}}
	if err := netlink.LinkAdd(br); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(br)
	apply(t, open(t, testns.WireGuard(t)), d)
	if mac := vxlanOf(t, "mesh-vpn").HardwareAddr; bytes.Equal(mac, stable) || mac[0]&3 != 2 {
		t.Errorf("%s, and bat0 has %s", mac, stable)
	}
}

// batman-adv loses a device that comes anew twice within 30 s: the second time waits, and says so.
func TestVXLANIsNotRemadeTwiceSoon(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	now := time.Unix(1e9, 0)
	tun.now = func() time.Time { return now }
	apply(t, tun, d)
	d.VXLAN.ID = 2
	if r := apply(t, tun, d); r.Again != 0 || vxlanOf(t, "mesh-vpn").VxlanId != 2 {
		t.Fatalf("the first time has to wait: %+v", r)
	}
	now = now.Add(10 * time.Second)
	d.VXLAN.ID, d.VXLAN.Port = 3, 8473
	r := apply(t, tun, d)
	if v := vxlanOf(t, "mesh-vpn"); v.VxlanId != 2 || r.Again != 20*time.Second || len(r.Warnings) != 1 ||
		!strings.Contains(r.Warnings[0], "id 2, not 3") {
		t.Errorf("id %d, report %+v", v.VxlanId, r)
	}
	now = now.Add(r.Again)
	if r := apply(t, tun, d); r.Again != 0 || vxlanOf(t, "mesh-vpn").VxlanId != 3 ||
		vxlanOf(t, "mesh-vpn").Port != 8473 {
		t.Errorf("after the wait: %+v", r)
	}
	// One that is gone is made at once.
	if err := netlink.LinkDel(vxlanOf(t, "mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	if r := apply(t, tun, d); r.Again != 0 {
		t.Errorf("%+v", r)
	}
	vxlanOf(t, "mesh-vpn")
	// And a change soon after that has to wait, too.
	now = now.Add(remakeGap + time.Second)
	if err := netlink.LinkDel(vxlanOf(t, "mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	apply(t, tun, d)
	now = now.Add(time.Second)
	d.VXLAN.ID = 4
	if r := apply(t, tun, d); r.Again != remakeGap-time.Second || vxlanOf(t, "mesh-vpn").VxlanId != 3 {
		t.Errorf("soon after a deletion: %+v", r)
	}
}

// New devices are without IPv6 on some systems. Ours get it.
func TestDisabledIPv6(t *testing.T) {
	const file = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(file, []byte("0"), 0) })
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	if r := apply(t, tun, d); len(r.Warnings) != 0 {
		t.Errorf("warnings %q", r.Warnings)
	}
	wg, _ := netlink.LinkByName("wg_mesh")
	addrs, err := netlink.AddrList(wg, netlink.FAMILY_ALL)
	if err != nil || len(addrs) != 1 || addrs[0].IPNet.String() != "fe80::a:b/64" {
		t.Errorf("addresses %v, %v", addrs, err)
	}
	if r := apply(t, tun, d); r.Changes != 0 {
		t.Errorf("a second Apply: %d changes", r.Changes)
	}
}

// Where IPv6 cannot be had, a device that can do without does so; one that cannot names the cause.
func TestWithoutIPv6(t *testing.T) {
	// An MTU that IPv6 does not work over has the kernel take it off the link, as if it were switched off.
	d := layer3(t, "192.0.2.1:51820", "10.0.0.0/8")
	d.Devices[0].MTU = 1000
	tun := open(t, testns.WireGuard(t))
	if err := testns.WireGuard(t)(context.Background(), "wg_mesh", mark("mesh")); err != nil {
		t.Fatal(err)
	}
	wg, _ := netlink.LinkByName("wg_mesh")
	if err := netlink.LinkSetMTU(wg, 1000); err != nil {
		t.Fatal(err)
	}
	r := apply(t, tun, d)
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "wg_mesh goes without IPv6") {
		t.Errorf("warnings %q", r.Warnings)
	}
	wantTable(t, netlink.FAMILY_V4, "10.0.0.0/8 by wg_mesh")
	if r := apply(t, tun, d); r.Changes != 0 {
		t.Errorf("a second Apply: %d changes", r.Changes)
	}
	both := &d.Devices[0].Peers[0].AllowedIPs
	*both = append(*both, netip.MustParsePrefix("fd00::/8"))
	apply(t, tun, d)
	wantTable(t, netlink.FAMILY_V4, "10.0.0.0/8 by wg_mesh")
	*both = (*both)[1:]
	if _, err := tun.Apply(context.Background(), d); err == nil ||
		!strings.Contains(err.Error(), "wg_mesh needs IPv6") {
		t.Errorf("error %v", err)
	}
}
