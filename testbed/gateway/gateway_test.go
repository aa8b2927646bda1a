package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	vxlanID    = 1906606
	listenPort = 40011
)

var gatewayAddr = netip.MustParseAddr("fe80::1")

func private(t *testing.T) wgtypes.Key {
	t.Helper()
	k, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func config(ns *namespace, key wgtypes.Key) Config {
	return Config{
		Name: "gw1", Do: ns.do, PrivateKey: key, ListenPort: listenPort, LinkAddress: gatewayAddr,
		VXLAN: VXLAN{ID: vxlanID, Addrs: []netip.Prefix{netip.MustParsePrefix("fd00::1/64")}},
	}
}

func equal(a, b netip.Prefix) bool { return a == b }

// mustGateway returns a gateway that is not started.
func mustGateway(t *testing.T, ns *namespace, key wgtypes.Key) *Gateway {
	t.Helper()
	g, err := New(config(ns, key))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// start returns a running gateway that ends with the test.
func start(t *testing.T, c Config) *Gateway {
	t.Helper()
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A node reaches the gateway's layer 2 through VXLAN over WireGuard, over both address families; loses it by death and
// gets it back.
func TestNode(t *testing.T) {
	gwNS, nodeNS := newNamespace(t), newNamespace(t)
	join(t, gwNS, nodeNS)
	var events []string
	c := config(gwNS, private(t))
	c.OnEvent = func(e Event) { events = append(events, e.Kind.String()) }
	g := start(t, c)
	if b := g.Backend(); b != Userspace && b != Kernel {
		t.Errorf("backend %v", b)
	}
	n := newNode(t, nodeNS, private(t), "fd00::2/64")

	check(t, g.AddKey(n.key))
	n.reach(t, g.PublicKey(), "198.51.100.1:40011", "fd00::2", "fd00::1")

	stats, err := g.Stats()
	check(t, err)
	s := stats[n.key]
	if len(stats) != 1 || s.LinkAddress != n.addr || s.Endpoint.String() != "198.51.100.2:40000" ||
		s.RX == 0 || s.TX == 0 ||
		time.Since(s.LastHandshake).Abs() > time.Minute {
		t.Errorf("stats %+v", stats)
	}
	if at, err := g.Handshakes(); err != nil || len(at) != 1 || at[n.key] != s.LastHandshake {
		t.Errorf("handshakes %v, %v", at, err)
	}
	if port, key, link := g.Data(); port != listenPort || key != g.PublicKey() || link == "" {
		t.Errorf("data: port %d, key %v, link address %q", port, key, link)
	}

	check(t, g.AddAddr(netip.MustParsePrefix("fd00::11/64")))
	n.reach(t, g.PublicKey(), "[2001:db8::1]:40011", "fd00::2", "fd00::11")

	check(t, g.Kill())
	gwNS.must(t, func() error {
		for _, name := range []string{DefaultInterface, DefaultVXLANInterface} {
			if _, err := netlink.LinkByName(name); !errors.As(err, &netlink.LinkNotFoundError{}) {
				return fmt.Errorf("%s after Kill: %w", name, err)
			}
		}
		pc, err := net.ListenPacket("udp", fmt.Sprint(":", listenPort)) // fails while the gateway has its socket
		if err != nil {
			return err
		}
		return pc.Close()
	})
	if _, err := g.Stats(); !errors.Is(err, ErrDown) {
		t.Errorf("stats of a dead gateway: %v", err)
	}
	if err := g.AddKey(n.key); !errors.Is(err, ErrDown) {
		t.Errorf("key for a dead gateway: %v", err)
	}

	check(t, g.Restart(false))
	if stats, err := g.Stats(); err != nil || len(stats) != 0 {
		t.Errorf("after a restart: %v, %v", stats, err)
	}
	check(t, g.AddKey(n.key))
	n.reach(t, g.PublicKey(), "198.51.100.1:40011", "fd00::2", "fd00::11")

	check(t, g.Restart(true))
	n.reach(t, g.PublicKey(), "198.51.100.1:40011", "fd00::2", "fd00::1")

	want := "started, key added, killed, started, key added, killed, started, key added"
	if got := strings.Join(events, ", "); got != want {
		t.Errorf("events %s\nwant %s", got, want)
	}
}

// state is all that the worker changes, read back from the kernel and from WireGuard.
type state struct {
	Peers  []peerselector.Key
	Routes []string
	Flood  []fdbEntry
}

func readState(t *testing.T, g *Gateway, ns *namespace) state {
	t.Helper()
	var s state
	stats, err := g.Stats()
	check(t, err)
	for key := range stats {
		s.Peers = append(s.Peers, key)
	}
	sort.Slice(s.Peers, func(i, j int) bool { return s.Peers[i].String() < s.Peers[j].String() })
	ns.must(t, func() error {
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6,
			&netlink.Route{LinkIndex: g.wgIdx, Protocol: unix.RTPROT_STATIC},
			netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return err
		}
		for _, r := range routes {
			s.Routes = append(s.Routes, r.Dst.String())
		}
		s.Flood, err = fdb(g.vxIdx)
		return err
	})
	sort.Strings(s.Routes)
	sort.Slice(s.Flood, func(i, j int) bool { return s.Flood[i].Dst.Less(s.Flood[j].Dst) })
	return s
}

// The worker's peers, routes and forwarding entries, with link addresses published by Freifunk Munich.
func TestWorker(t *testing.T) {
	ns := newNamespace(t)
	g := start(t, config(ns, private(t)))
	key := func(s string) peerselector.Key {
		k, err := wgtypes.ParseKey(s)
		check(t, err)
		return peerselector.Key(k)
	}
	k1, a1 := key("PcKkakZcTEx3LKh+G06Opb8/esg08aWK33A5/Ff1YXE="), "fe80::23b:d2ff:fe95:967f"
	k2, a2 := key("TszFS3oFRdhsJP3K0VOlklGMGYZy+oFCtlaghXJqW2g="), "fe80::27c:16ff:fec0:6c74"
	flood := func(addrs ...string) (list []fdbEntry) {
		for _, a := range addrs {
			list = append(list, fdbEntry{MAC: "00:00:00:00:00:00", Dst: netip.MustParseAddr(a), Via: g.wgIdx})
		}
		return list
	}

	steps := []struct {
		name string
		do   func() error
		want state
	}{
		{"nothing", func() error { return nil }, state{}},
		{"one", func() error { return g.AddKey(k1) }, state{[]peerselector.Key{k1}, []string{a1 + "/128"}, flood(a1)}},
		{"again", func() error { return g.AddKey(k1) },
			state{[]peerselector.Key{k1}, []string{a1 + "/128"}, flood(a1)}},
		{"two", func() error { return g.AddKey(k2) },
			state{[]peerselector.Key{k1, k2}, []string{a1 + "/128", a2 + "/128"}, flood(a1, a2)}},
		{"one removed", func() error { return g.RemoveKey(k1) },
			state{[]peerselector.Key{k2}, []string{a2 + "/128"}, flood(a2)}},
		{"one back", func() error { return g.AddKey(k1) },
			state{[]peerselector.Key{k1, k2}, []string{a1 + "/128", a2 + "/128"}, flood(a1, a2)}},
		{"all forgotten", g.ForgetKeys, state{}},
	}
	for _, step := range steps {
		check(t, step.do())
		if diff := cmp.Diff(step.want, readState(t, g, ns),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
	if err := g.RemoveKey(k1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("removing an unknown key: %v", err)
	}

	// The allowed IP is the link address and nothing else.
	check(t, g.AddKey(k1))
	stats, err := g.Stats()
	check(t, err)
	if diff := cmp.Diff([]netip.Prefix{netip.MustParsePrefix(a1 + "/128")}, stats[k1].AllowedIPs,
		cmp.Comparer(equal)); diff != "" {
		t.Errorf("allowed IPs: %s", diff)
	}
}

func TestDevices(t *testing.T) {
	ns := newNamespace(t)
	c := config(ns, private(t))
	c.MTU, c.VXLAN.MTU, c.VXLAN.ZeroChecksum, c.VXLAN.Port = 1420, 1300, true, 4789
	g := start(t, c)
	ns.must(t, func() error {
		wg, err := netlink.LinkByName(DefaultInterface)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(wg, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		if len(addrs) != 1 || addrs[0].IPNet.String() != "fe80::1/64" || wg.Attrs().MTU != 1420 {
			t.Errorf("WireGuard device has %v, MTU %d", addrs, wg.Attrs().MTU)
		}
		link, err := netlink.LinkByName(DefaultVXLANInterface)
		if err != nil {
			return err
		}
		vx := link.(*netlink.Vxlan)
		if vx.VxlanId != vxlanID || vx.Port != 4789 || vx.VtepDevIndex != wg.Attrs().Index ||
			vx.Learning || vx.MTU != 1300 ||
			vx.HardwareAddr.String() != g.mac().String() || !vx.SrcAddr.Equal(net.ParseIP("fe80::1")) ||
			vx.Group != nil || !vx.UDP6ZeroCSumTx || !vx.UDP6ZeroCSumRx {
			t.Errorf("VXLAN device %+v", vx)
		}
		return nil
	})

	if err := g.Start(); err == nil {
		t.Error("started twice")
	}
	other, err := New(c)
	check(t, err)
	if err := other.Start(); err == nil {
		t.Error("started beside another of the same name")
		check(t, other.Kill())
	}
	c.VXLAN.ID, c.Interface, c.ListenPort = 0, "wg-bare", 40012
	bare := start(t, c)
	if err := bare.AddAddr(netip.MustParsePrefix("fd00::1/64")); err == nil {
		t.Error("an address without a VXLAN device")
	}
	check(t, bare.AddKey(peerselector.Key{1}))
	check(t, bare.RemoveKey(peerselector.Key{1}))
}

// A start that fails half way leaves nothing behind.
func TestStartFails(t *testing.T) {
	ns := newNamespace(t)
	taken := config(ns, private(t))
	taken.VXLAN.Interface = "lo"
	taken.ListenPort++
	port := config(ns, private(t))
	pc := net.PacketConn(nil)
	ns.must(t, func() (err error) {
		pc, err = net.ListenPacket("udp", fmt.Sprint(":", listenPort))
		return err
	})
	for name, c := range map[string]Config{"VXLAN name taken": taken, "port taken": port} {
		g, err := New(c)
		check(t, err)
		if err := g.Start(); err == nil {
			t.Errorf("%s: no error", name)
		}
		ns.must(t, func() error {
			if _, err := netlink.LinkByName(DefaultInterface); err == nil {
				t.Errorf("%s: the WireGuard device was left behind", name)
			}
			return nil
		})
		check(t, g.Kill())
	}
	// What was in the way is gone: the same gateway starts.
	pc.Close()
	start(t, port)
}

func TestNew(t *testing.T) {
	good := config(&namespace{}, private(t))
	for want, spoil := range map[string]func(*Config){
		"no function Do":       func(c *Config) { c.Do = nil },
		"no private key":       func(c *Config) { c.PrivateKey = wgtypes.Key{} },
		"no listen port":       func(c *Config) { c.ListenPort = 0 },
		"not in fe80::/10":     func(c *Config) { c.LinkAddress = netip.MustParseAddr("2001:db8::1") },
		"over 16777215":        func(c *Config) { c.VXLAN.ID = 1 << 24 },
		"has over 15 letters":  func(c *Config) { c.Interface = "abcdefghijklmnop" },
		`"abcdefghijklmnop" h`: func(c *Config) { c.VXLAN.Interface = "abcdefghijklmnop" },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), `"gw1"`) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Keys that arrive while the gateway dies and comes back are added or refused, nothing else.
func TestConcurrent(t *testing.T) {
	ns := newNamespace(t)
	g := start(t, config(ns, private(t)))
	errs := make(chan error)
	const workers, keys = 4, 25
	for w := range workers {
		go func() {
			for k := range keys {
				errs <- g.AddKey(peerselector.Key{byte(w + 1), byte(k)})
			}
		}()
	}
	for i := range workers * keys {
		if i%30 == 10 {
			check(t, g.Restart(false))
		}
		if err := <-errs; err != nil && !errors.Is(err, ErrDown) {
			t.Error(err)
		}
	}
	stats, err := g.Stats()
	check(t, err)
	if len(stats) != len(g.Keys()) {
		t.Errorf("WireGuard has %d peers, the gateway %d keys", len(stats), len(g.Keys()))
	}
}
