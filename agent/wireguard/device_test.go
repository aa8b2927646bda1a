package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
	"wguplink/agent/testns"
)

// In these tests the library sets what we read, and reads what we set, on the same real device.

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

func key(t testing.TB) wgtypes.Key {
	t.Helper()
	k, err := wgtypes.GeneratePrivateKey()
	ok(t, err)
	return k
}

func ranges(t testing.TB, all ...string) (list []net.IPNet) {
	t.Helper()
	for _, s := range all {
		_, n, err := net.ParseCIDR(s)
		ok(t, err)
		list = append(list, *n)
	}
	return list
}

// many are n single addresses, of both families in turn.
func many(n int) (list []net.IPNet) {
	for i := range n {
		if i%2 == 0 {
			list = append(list, net.IPNet{IP: net.IP{10, 1, byte(i >> 8), byte(i)}, Mask: net.CIDRMask(32, 32)})
		} else {
			ip := append(net.ParseIP("fd00::")[:14:14], byte(i>>8), byte(i))
			list = append(list, net.IPNet{IP: ip, Mask: net.CIDRMask(128, 128)})
		}
	}
	return list
}

func up(t testing.TB, name string) {
	t.Helper()
	h, err := netlink.NewHandle()
	ok(t, err)
	defer h.Close()
	l, err := h.LinkByName(name)
	ok(t, err)
	ok(t, h.LinkSetUp(l))
}

// same ignores the order in which a device lists its peers and their allowed IPs.
var same = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b wgtypes.Peer) bool { return a.PublicKey.String() < b.PublicKey.String() }),
	cmpopts.SortSlices(func(a, b net.IPNet) bool { return a.String() < b.String() }),
}

// step is one configuration of a device, and what the device is after it.
type step struct {
	name string
	cfg  wgtypes.Config
	want func(*wgtypes.Device)
}

func steps(t *testing.T) []step {
	private, psk, a, b := key(t), key(t), key(t).PublicKey(), key(t).PublicKey()
	four := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 51820}
	six := &net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 65535}
	some := ranges(t, "10.0.0.0/8", "fe80::1/128", "192.0.2.7/32", "0.0.0.0/0", "::/0")
	const numbers = 40 // peers
	var crowd []wgtypes.PeerConfig
	for i := range numbers {
		crowd = append(crowd, wgtypes.PeerConfig{PublicKey: key(t).PublicKey(), AllowedIPs: ranges(t,
			fmt.Sprintf("172.16.%d.0/24", i)),
			Endpoint: six, PresharedKey: &psk, PersistentKeepaliveInterval: ptr(time.Second)})
	}
	return []step{
		{"the device", wgtypes.Config{PrivateKey: &private, ListenPort: ptr(40123), FirewallMark: ptr(0x77)},
			func(d *wgtypes.Device) {
				d.PrivateKey, d.PublicKey, d.ListenPort, d.FirewallMark = private, private.PublicKey(), 40123, 0x77
			}},
		{"two peers", wgtypes.Config{Peers: []wgtypes.PeerConfig{
			{PublicKey: a, Endpoint: four, PresharedKey: &psk, PersistentKeepaliveInterval: ptr(25 * time.Second),
				ReplaceAllowedIPs: true, AllowedIPs: some},
			{PublicKey: b, Endpoint: six},
		}}, func(d *wgtypes.Device) {
			d.Peers = []wgtypes.Peer{
				{PublicKey: a, Endpoint: four, PresharedKey: psk, PersistentKeepaliveInterval: 25 * time.Second,
					AllowedIPs: some, ProtocolVersion: 1},
				{PublicKey: b, Endpoint: six, ProtocolVersion: 1},
			}
		}},
		{"allowed IPs go from one to the other", wgtypes.Config{Peers: []wgtypes.PeerConfig{
			{PublicKey: b, UpdateOnly: true, ReplaceAllowedIPs: true, AllowedIPs: some[:2]},
		}}, func(d *wgtypes.Device) { d.Peers[0].AllowedIPs, d.Peers[1].AllowedIPs = some[2:], some[:2] }},
		{"more of them", wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: b, AllowedIPs: some[2:3]}}},
			func(d *wgtypes.Device) {
				d.Peers[0].AllowedIPs, d.Peers[1].AllowedIPs = some[3:], some[:3]
			}},
		{"none at all", wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: b, ReplaceAllowedIPs: true}}},
			func(d *wgtypes.Device) {
				d.Peers[1].AllowedIPs = nil
			}},
		{"another endpoint, no keepalive, no shared key", wgtypes.Config{Peers: []wgtypes.PeerConfig{
			{PublicKey: a, UpdateOnly: true, Endpoint: six, PersistentKeepaliveInterval: ptr(time.Duration(0)),
				PresharedKey: &wgtypes.Key{}},
		}}, func(d *wgtypes.Device) {
			d.Peers[0].Endpoint, d.Peers[0].PersistentKeepaliveInterval, d.Peers[0].PresharedKey = six, 0, wgtypes.Key{}
		}},
		{"an update of a peer that is not there", wgtypes.Config{Peers: []wgtypes.PeerConfig{
			{PublicKey: key(t).PublicKey(), UpdateOnly: true, AllowedIPs: some},
			{PublicKey: key(t).PublicKey(), UpdateOnly: true, Remove: true},
		}}, func(*wgtypes.Device) {}},
		{"one anew", wgtypes.Config{Peers: []wgtypes.PeerConfig{
			{PublicKey: a, Remove: true}, {PublicKey: a, Endpoint: four, AllowedIPs: some[1:2]},
		}}, func(d *wgtypes.Device) {
			d.Peers[0] = wgtypes.Peer{PublicKey: a, Endpoint: four, AllowedIPs: some[1:2], ProtocolVersion: 1}
		}},
		{"very many allowed IPs", wgtypes.Config{Peers: []wgtypes.PeerConfig{
			{PublicKey: a, ReplaceAllowedIPs: true, AllowedIPs: many(1000)}, {PublicKey: b, Remove: true},
		}}, func(d *wgtypes.Device) { d.Peers = d.Peers[:1]; d.Peers[0].AllowedIPs = many(1000) }},
		{"other peers, many", wgtypes.Config{ReplacePeers: true, FirewallMark: ptr(0), Peers: crowd},
			func(d *wgtypes.Device) {
				d.FirewallMark, d.Peers = 0, nil
				for _, p := range crowd {
					d.Peers = append(d.Peers, wgtypes.Peer{PublicKey: p.PublicKey, AllowedIPs: p.AllowedIPs,
						Endpoint:                    six,
						PresharedKey:                psk,
						PersistentKeepaliveInterval: time.Second, ProtocolVersion: 1})
				}
			}},
		{"no key, no peers", wgtypes.Config{ReplacePeers: true, PrivateKey: &wgtypes.Key{}}, func(d *wgtypes.Device) {
			d.Peers, d.PrivateKey, d.PublicKey = nil, wgtypes.Key{}, wgtypes.Key{}
		}},
	}
}

// exchange takes two fresh devices of one kind through the steps: one that we set, and one that the library sets. After
// each step both clients read both devices, and see the same.
func exchange(t *testing.T, kind wgtypes.DeviceType, ours, theirs string) {
	c, err := New()
	ok(t, err)
	defer c.Close()
	library, err := wgctrl.New()
	ok(t, err)
	defer library.Close()
	all := steps(t)
	var want wgtypes.Device
	for _, s := range all {
		ok(t, c.ConfigureDevice(ours, s.cfg))
		// Two devices cannot have one port, and the library's own batches are tested by its authors.
		other := s.cfg
		if other.ListenPort != nil {
			other.ListenPort = ptr(*other.ListenPort + 1)
		}
		ok(t, library.ConfigureDevice(theirs, other))
		s.want(&want)
		for _, name := range []string{ours, theirs} {
			want := want
			want.Name, want.Type = name, kind
			if name == theirs {
				want.ListenPort++
			}
			is, err := c.Device(name)
			ok(t, err)
			as, err := library.Device(name)
			ok(t, err)
			if (as.PrivateKey == wgtypes.Key{}) {
				as.PublicKey = wgtypes.Key{} // the library derives one also from no key
			}
			if diff := cmp.Diff(as, is, same); diff != "" {
				t.Errorf("%s: %s as the library reads it, and as we do (-library +ours):\n%s", s.name, name, diff)
			}
			if diff := cmp.Diff(&want, is, same); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", s.name, name, diff)
			}
		}
	}
	var names []string
	for _, d := range c.Devices() {
		names = append(names, d.Name)
	}
	for _, name := range []string{ours, theirs} {
		if !strings.Contains(strings.Join(names, " "), name) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	for _, name := range []string{"", "none", "lo", "../" + ours, "longer-than-a-device-can-be-called"} {
		if _, err := c.Device(name); !errors.Is(err, os.ErrNotExist) && name != "longer-than-a-device-can-be-called" ||
			err == nil {
			t.Errorf("read %q: %v", name, err)
		}
		if err := c.ConfigureDevice(name, all[0].cfg); !errors.Is(err, os.ErrNotExist) &&
			name != "longer-than-a-device-can-be-called" || err == nil {
			t.Errorf("set %q: %v", name, err)
		}
	}
	up(t, ours)
	busy, err := net.ListenUDP("udp4", &net.UDPAddr{})
	ok(t, err)
	defer busy.Close()
	port := busy.LocalAddr().(*net.UDPAddr).Port
	if err := c.ConfigureDevice(ours, wgtypes.Config{ListenPort: &port}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a port that another socket has: %v", err)
	}
}

func TestProcess(t *testing.T) {
	makeDevice := testns.WireGuard(t)
	for _, name := range []string{"wg_ours", "wg_theirs"} {
		ok(t, makeDevice(context.Background(), name, ""))
	}
	// What is no socket is no device.
	ok(t, os.WriteFile(sockets+"/none.sock", nil, 0o600))
	ok(t, os.WriteFile(sockets+"/other", nil, 0o600))
	exchange(t, wgtypes.Userspace, "wg_ours", "wg_theirs")
}

// Two devices that shake hands: what only the device knows is read as the library reads it.
func TestHandshake(t *testing.T) {
	makeDevice := testns.WireGuard(t)
	shake(t, func(name string) { ok(t, makeDevice(context.Background(), name, "")) })
}

func shake(t *testing.T, makeDevice func(name string)) {
	up(t, "lo")
	c, err := New()
	ok(t, err)
	defer c.Close()
	library, err := wgctrl.New()
	ok(t, err)
	defer library.Close()
	keys := map[string]wgtypes.Key{"wg_a": key(t), "wg_b": key(t)}
	for name, port := range map[string]int{"wg_a": 41001, "wg_b": 41002} {
		makeDevice(name)
		up(t, name)
		ok(t, c.ConfigureDevice(name, wgtypes.Config{PrivateKey: ptr(keys[name]), ListenPort: &port}))
	}
	ok(t, c.ConfigureDevice("wg_b", wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: keys["wg_a"].PublicKey()}}}))
	ok(t, c.ConfigureDevice("wg_a", wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: keys["wg_b"].PublicKey(),
		Endpoint:                    &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 41002},
		PersistentKeepaliveInterval: ptr(time.Second)}}}))
	deadline := time.Now().Add(time.Minute)
	for { // a handshake is no event
		is, err := c.Device("wg_a")
		ok(t, err)
		if p := is.Peers[0]; !p.LastHandshakeTime.IsZero() && p.ReceiveBytes > 0 && p.TransmitBytes > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no handshake within a minute: %+v", is.Peers[0])
		}
		time.Sleep(10 * time.Millisecond)
	}
	// The keepalive stops, so that the counters stay.
	ok(t, c.ConfigureDevice("wg_a", wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: keys["wg_b"].PublicKey(),
		PersistentKeepaliveInterval: ptr(time.Duration(0))}}}))
	for name := range keys {
		for {
			before, err := c.Device(name)
			ok(t, err)
			as, err := library.Device(name)
			ok(t, err)
			after, err := c.Device(name)
			ok(t, err)
			if !cmp.Equal(before, after, same) {
				continue // a packet in between
			}
			if diff := cmp.Diff(as, after, same); diff != "" {
				t.Errorf("%s (-library +ours):\n%s", name, diff)
			}
			break
		}
	}
}
