package tunnel

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/testns"
)

// lentPort is set, for otherwise WireGuard in userspace takes one a moment after the device is up.
const lentPort = 40961

// lend makes a WireGuard device as its owner would: with a key, an address and a peer of its own.
func lend(t *testing.T, tun *Tunnel, private wgtypes.Key, peers ...wgtypes.Key) netlink.Link {
	t.Helper()
	if err := testns.WireGuard(t)(context.Background(), "wg_mesh", ""); err != nil {
		t.Fatal(err)
	}
	port := lentPort
	cfg := wgtypes.Config{PrivateKey: &private, ListenPort: &port}
	for _, p := range peers {
		cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: p})
	}
	if err := tun.wg.ConfigureDevice("wg_mesh", cfg); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName("wg_mesh")
	if err != nil {
		t.Fatal(err)
	}
	own := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("fe80::5/128"))}
	if err := errors.Join(netlink.AddrReplace(link, own), netlink.LinkSetMTU(link, 1406),
		netlink.LinkSetUp(link)); err != nil {
		t.Fatal(err)
	}
	return link
}

func ourRoutes(t *testing.T, link netlink.Link) (dst []string) {
	t.Helper()
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: link.Attrs().Index, Protocol: routeProtocol},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		dst = append(dst, r.Dst.String())
	}
	return dst
}

// On a device of another program only our peers and their routes change, also after it was made anew.
func TestBorrowed(t *testing.T) {
	private, theirs, leftover := newKey(t), newKey(t).PublicKey(), newKey(t).PublicKey()
	ours := Peer{PublicKey: newKey(t).PublicKey(), Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"),
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("fe80::1/128")}, Keepalive: 25 * time.Second, Generation: 1}
	d := Desired{Name: "wgpeerselector.wg_mesh",
		Devices: []Device{{Interface: "wg_mesh", Borrowed: true, FwMark: 7, MTU: 1280,
			Addresses: []Address{{Prefix: netip.MustParsePrefix("fe80::a:b/64")}}, PortTurn: 3, Peers: []Peer{ours},
			Leftovers: []wgtypes.Key{leftover, ours.PublicKey}}}}
	tun := open(t, testns.WireGuard(t))
	if _, err := tun.Apply(context.Background(), d); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no device yet: %v", err)
	}
	if _, err := netlink.LinkByName("wg_mesh"); err == nil {
		t.Fatal("made a device that is another program's to make")
	}
	for range 2 { // as when netifd makes its interface anew
		link := lend(t, tun, private, theirs, leftover)
		if _, err := tun.Apply(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		dev, err := tun.Status("wg_mesh")
		if err != nil {
			t.Fatal(err)
		}
		have := map[wgtypes.Key]int{}
		for _, p := range dev.Peers {
			have[p.PublicKey] = len(p.AllowedIPs)
		}
		if diff := cmp.Diff(map[wgtypes.Key]int{theirs: 0, ours.PublicKey: 1}, have); diff != "" {
			t.Errorf("peers and their allowed IPs (-want +got):\n%s", diff)
		}
		if dev.PrivateKey != private || dev.ListenPort != lentPort || dev.FirewallMark != 0 {
			t.Error("the device itself was changed")
		}
		now, _ := netlink.LinkByName("wg_mesh")
		addrs, _ := netlink.AddrList(now, netlink.FAMILY_V6)
		found := false
		for _, a := range addrs {
			found = found || a.IPNet.String() == "fe80::5/128"
			if a.IP.Equal(d.Devices[0].Addresses[0].Prefix.Addr().AsSlice()) {
				t.Error("added an address")
			}
		}
		if !found || now.Attrs().MTU != 1406 || now.Attrs().Alias != "" {
			t.Errorf("addresses %v, link %+v", addrs, now.Attrs())
		}
		if diff := cmp.Diff([]string{"fe80::1/128"}, ourRoutes(t, link)); diff != "" {
			t.Errorf("routes (-want +got):\n%s", diff)
		}
		if r, err := tun.Apply(context.Background(), d); err != nil || r.Changes != 0 {
			t.Errorf("a second Apply: %d changes, %v", r.Changes, err)
		}
		if err := tun.Remove(d); err != nil {
			t.Fatal(err)
		}
		dev, err = tun.Status("wg_mesh")
		if err != nil || len(dev.Peers) != 1 || dev.Peers[0].PublicKey != theirs {
			t.Errorf("after Remove: %v, %+v", err, dev)
		}
		if left := ourRoutes(t, link); len(left) != 0 {
			t.Errorf("routes left behind: %v", left)
		}
		if err := netlink.LinkDel(link); err != nil {
			t.Fatal(err)
		}
	}
}

// bound waits until WireGuard has its port, which in userspace it takes a moment after the device is up; there is no
// event for it.
func bound(t *testing.T, tun *Tunnel) *wgtypes.Device {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		dev, err := tun.Status("wg_mesh")
		if err != nil {
			t.Fatal(err)
		}
		if dev.ListenPort != 0 {
			return dev
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("WireGuard takes no port")
		}
	}
}

// A turn of the port chooses another one, and keeps everything else.
func TestPortTurn(t *testing.T) {
	d := desired(t)
	tun := open(t, testns.WireGuard(t))
	apply(t, tun, d)
	before := bound(t, tun)
	d.Devices[0].PortTurn++
	apply(t, tun, d)
	after := bound(t, tun)
	if after.ListenPort == before.ListenPort || len(after.Peers) != 1 {
		t.Errorf("port %d, then %d, %d peers", before.ListenPort, after.ListenPort, len(after.Peers))
	}
	if r, err := tun.Apply(context.Background(), d); err != nil || r.Changes != 0 {
		t.Errorf("a second Apply: %d changes, %v", r.Changes, err)
	}
	d.Devices[0].ListenPort = 45678
	apply(t, tun, d)
	d.Devices[0].PortTurn++
	if r := apply(t, tun, d); r.Changes != 0 {
		t.Error("a configured port was given up")
	}
}

// A control socket without a device behind it is the end of an earlier process, and tells nothing.
func TestStatusWithoutDevice(t *testing.T) {
	tun := open(t, testns.WireGuard(t))
	lend(t, tun, newKey(t))
	if _, err := tun.Status("wg_mesh"); err != nil {
		t.Fatal(err)
	}
	// The process goes on under the name that it knows.
	link, err := netlink.LinkByName("wg_mesh")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.LinkSetDown(link), netlink.LinkSetName(link, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) })
	if _, err := tun.wg.Device("wg_mesh"); err != nil {
		t.Fatalf("the test is worth nothing: the process does not answer: %v", err)
	}
	if dev, err := tun.Status("wg_mesh"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%+v, %v", dev, err)
	}
}
