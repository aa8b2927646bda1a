package tunnel

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"wguplink/agent/testns"
)

// inMesh has a bridge stand for batman-adv's interface, and gives the devices that were to be muted, by their names.
func inMesh(t *testing.T, tun *Tunnel, d *Desired) (muted func() []string) {
	t.Helper()
	inMaster(t, d)
	var names []string
	tun.former.kind = "bridge"
	tun.former.mute = func(mesh, hard int) error {
		master, err := netlink.LinkByIndex(mesh)
		if err != nil || master.Attrs().Name != "bat0" {
			t.Errorf("muted in %v, %v", master, err)
		}
		l, err := netlink.LinkByIndex(hard)
		if err != nil || l.Attrs().MasterIndex != mesh {
			t.Fatalf("muted before it is a hard-interface: %v, %v", l, err)
		}
		names = append(names, l.Attrs().Name)
		return nil
	}
	return func() []string { return names }
}

func gone(t *testing.T, name string) {
	t.Helper()
	var none netlink.LinkNotFoundError
	if _, err := netlink.LinkByName(name); !errors.As(err, &none) {
		t.Errorf("%s is there: %v", name, err)
	}
}

// A changed id or port leaves a device that listens with the former one: with the MAC address of the new one, younger
// than that, later in the mesh, without an entry to send by, and gone in time.
func TestFormerListens(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	muted := inMesh(t, tun, &d)
	now := time.Unix(1e9, 0)
	tun.now = func() time.Time { return now }
	apply(t, tun, d)
	was := vxlanOf(t, "mesh-vpn")
	gone(t, "mesh-vpn-was")

	d.VXLAN.ID++
	if r := apply(t, tun, d); r.Again != formerTime || len(r.Warnings) != 0 {
		t.Errorf("report %+v", r)
	}
	is, beside := vxlanOf(t, "mesh-vpn"), vxlanOf(t, "mesh-vpn-was")
	if !bytes.Equal(is.HardwareAddr, was.HardwareAddr) || !bytes.Equal(beside.HardwareAddr, was.HardwareAddr) {
		t.Errorf("MAC addresses: was %s, is %s, beside %s", was.HardwareAddr, is.HardwareAddr, beside.HardwareAddr)
	}
	if beside.Index < is.Index || beside.VxlanId != was.VxlanId || beside.Port != was.Port || beside.MasterIndex == 0 ||
		beside.Alias != mark("mesh") || beside.Flags&1 == 0 || !beside.SrcAddr.Equal(was.SrcAddr) {
		t.Errorf("the one beside: %+v", beside)
	}
	if es := remotes(t, "mesh-vpn-was"); len(es) != 0 {
		t.Errorf("it sends to %+v", es)
	}
	if m := muted(); len(m) != 1 || m[0] != "mesh-vpn-was" {
		t.Errorf("muted: %q", m)
	}
	now = now.Add(15 * time.Second)
	if r := apply(t, tun, d); r.Changes != 0 || r.Again != formerTime-15*time.Second {
		t.Errorf("a second Apply: %+v", r)
	}
	now = now.Add(formerTime)
	if r := apply(t, tun, d); r.Again != 0 {
		t.Errorf("in the end: %+v", r)
	}
	gone(t, "mesh-vpn-was")
	if r := apply(t, tun, d); r.Changes != 0 || vxlanOf(t, "mesh-vpn").Index != is.Index {
		t.Errorf("after the end: %+v", r)
	}

	// Back, while the other one still listens: nothing is in the way.
	d.VXLAN.Port = 8473
	apply(t, tun, d)
	now = now.Add(remakeGap)
	d.VXLAN.Port = 8472
	apply(t, tun, d)
	if v, b := vxlanOf(t, "mesh-vpn"), vxlanOf(t, "mesh-vpn-was"); v.Port != 8472 || b.Port != 8473 {
		t.Errorf("ports %d and %d", v.Port, b.Port)
	}
	// Where the new one is deleted, the one beside must not come first.
	if err := netlink.LinkDel(vxlanOf(t, "mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	apply(t, tun, d)
	gone(t, "mesh-vpn-was")
	if v := vxlanOf(t, "mesh-vpn"); v.Port != 8472 || !bytes.Equal(v.HardwareAddr, was.HardwareAddr) {
		t.Errorf("made anew: %+v", v)
	}
}

// There is none beside where it is of no use, or cannot be made as it has to be; and the tunnel is as wanted all the
// same.
func TestNoneListens(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	inMesh(t, tun, &d)
	now := time.Unix(1e9, 0)
	tun.now = func() time.Time { return now }
	apply(t, tun, d)
	change := func(name string, f func()) {
		t.Helper()
		now = now.Add(time.Hour)
		f()
		r := apply(t, tun, d)
		v := vxlanOf(t, "mesh-vpn")
		if v.VxlanId != int(d.VXLAN.ID) || v.MasterIndex == 0 || r.Again != 0 && name != "foreign" ||
			len(r.Warnings) != 0 {
			t.Errorf("%s: %+v, report %+v", name, v, r)
		}
	}
	change("checksum: two of one id and port cannot be", func() { d.VXLAN.Checksum = false })
	gone(t, "mesh-vpn-was")
	change("no hop penalty", func() {
		d.VXLAN.ID++
		tun.former.mute = func(int, int) error { return errors.New("no hop penalty") }
	})
	gone(t, "mesh-vpn-was")
	change("a bridge", func() {
		d.VXLAN.ID++
		tun.former.kind = "batadv"
	})
	gone(t, "mesh-vpn-was")
	// Another program's device has the name.
	foreign := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "mesh-vpn-was"}}
	if err := netlink.LinkAdd(foreign); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(foreign)
	change("foreign", func() {
		d.VXLAN.ID++
		tun.former.kind = "bridge"
	})
	now = now.Add(time.Hour)
	apply(t, tun, d)
	if l, err := netlink.LinkByName("mesh-vpn-was"); err != nil || l.Type() != "bridge" {
		t.Errorf("another program's device: %v, %v", l, err)
	}
}

// The next agent takes away what listens, and has the node keep its MAC address.
func TestFormerIsLeftToTheNext(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	inMesh(t, tun, &d)
	apply(t, tun, d)
	mac := vxlanOf(t, "mesh-vpn").HardwareAddr
	d.VXLAN.ID++
	apply(t, tun, d)
	vxlanOf(t, "mesh-vpn-was")
	if err := netlink.LinkDel(vxlanOf(t, "mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	apply(t, open(t, testns.WireGuard(t)), d)
	gone(t, "mesh-vpn-was")
	if v := vxlanOf(t, "mesh-vpn"); !bytes.Equal(v.HardwareAddr, mac) {
		t.Errorf("MAC address %s, was %s", v.HardwareAddr, mac)
	}
}

func TestFormerName(t *testing.T) {
	names := map[string]string{"mesh-vpn": "mesh-vpn-was", "a": "a-was", "fifteen-letters": "fifteen-let-was"}
	for name, want := range names {
		if got := formerName(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
