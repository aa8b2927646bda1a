package concentrator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/netlab"
	"wguplink/testbed/parker"
	"wguplink/testbed/wgdevice"
)

func TestMain(m *testing.M) { netlab.Main(m.Run) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// street is a concentrator and a node's host on one wire, and the store.
type street struct {
	*Concentrator
	t       *testing.T
	ctx     context.Context
	node    *netlab.Host
	network parker.Network
	private wgtypes.Key // of the node
}

func newStreet(t *testing.T) *street {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	store, err := parker.OpenFile(t.TempDir() + "/nodes.json")
	check(t, err)
	s := &street{t: t, ctx: ctx, network: parker.Network{Store: store}}
	check(t, s.network.Seed(ctx))
	lab := netlab.New()
	t.Cleanup(func() { check(t, lab.Close(context.Background())) })
	host, err := lab.Host("concentrator")
	check(t, err)
	s.node, err = lab.Host("node")
	check(t, err)
	check(t, lab.Wire(host, "eth0", s.node, "eth0"))
	check(t, errors.Join(host.Addr("eth0", netip.MustParsePrefix("198.51.100.1/24")),
		s.node.Addr("eth0", netip.MustParsePrefix("198.51.100.2/24"))))
	s.Concentrator, err = New(Config{
		Name: "c1", Do: host.Do, Network: s.network, PrivateKey: private(t), ListenPort: 10001,
		Address4: netip.MustParseAddr("10.0.0.1"), Address6: netip.MustParseAddr("2001:bf7:381::1"),
	})
	check(t, err)
	check(t, s.Start())
	t.Cleanup(func() { check(t, s.Kill()) })
	s.private = private(t)
	return s
}

func private(t *testing.T) wgtypes.Key {
	t.Helper()
	k, err := wgtypes.GeneratePrivateKey()
	check(t, err)
	return k
}

func (s *street) key() peerselector.Key { return peerselector.Key(s.private.PublicKey()) }

// register has the configuration service register the node, as its request would.
func (s *street) register() parker.Node {
	s.t.Helper()
	key, err := parker.GenerateKey()
	check(s.t, err)
	server, err := parker.New(parker.Options{Store: s.network.Store, Key: key})
	check(s.t, err)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequest("GET", server.Path()+"?nonce=aa&pubkey="+url.QueryEscape(s.key().String()),
		nil))
	node, err := s.network.Node(s.ctx, s.key())
	if err != nil {
		s.t.Fatalf("%v: %s", err, w.Body)
	}
	return node
}

// tunnel gives the node a WireGuard device with the addresses that it was told, and the concentrator as its peer.
func (s *street) tunnel(n parker.Node) (connect func()) {
	s.t.Helper()
	var dev wgdevice.Device
	check(s.t, s.node.Do(func() (err error) {
		if dev, err = wgdevice.Open("wg_c1", DefaultMTU, s.private, 40000, wgdevice.Userspace); err != nil {
			return err
		}
		_, err = wgdevice.LinkUp("wg_c1", netip.PrefixFrom(n.Address4, 32), netip.PrefixFrom(n.Address6, 128))
		return err
	}))
	s.t.Cleanup(func() { check(s.t, dev.Close(s.node.Do)) })
	for _, p := range []string{"10.0.0.1/32", "2001:bf7:381::1/128"} {
		check(s.t, s.node.Route(netlab.Route{Dst: netip.MustParsePrefix(p), Dev: "wg_c1"}))
	}
	return func() {
		s.t.Helper()
		check(s.t, s.node.Do(func() error {
			return dev.Connect(s.PublicKey(), netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), s.Port()),
				netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
		}))
	}
}

// ping sends echo requests from the node, one after the other, until one is answered or the context ends.
func (s *street) ping(ctx context.Context, from, to netip.Addr) error {
	network, typ, proto := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), 1
	reply := icmp.Type(ipv4.ICMPTypeEchoReply)
	if to.Is6() {
		network, typ, proto, reply = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, 58, ipv6.ICMPTypeEchoReply
	}
	pc, err := s.node.ListenPacket(ctx, network, from.String())
	if err != nil {
		return err
	}
	defer pc.Close()
	buf := make([]byte, 1500)
	for seq := 1; ctx.Err() == nil; seq++ {
		req, err := (&icmp.Message{Type: typ, Body: &icmp.Echo{ID: 7, Seq: seq, Data: []byte("ping")}}).Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := pc.WriteTo(req, &net.IPAddr{IP: to.AsSlice()}); err != nil {
			return err
		}
		if err := pc.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return err
		}
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				break // time for another
			}
			if m, err := icmp.ParseMessage(proto, buf[:n]); err == nil && m.Type == reply &&
				from.String() == to.String() {
				return nil
			}
		}
	}
	return fmt.Errorf("no answer from %v: %w", to, context.Cause(ctx))
}

func (s *street) mustPing(n parker.Node) {
	s.t.Helper()
	check(s.t, s.ping(s.ctx, n.Address4, netip.MustParseAddr("10.0.0.1")))
	check(s.t, s.ping(s.ctx, n.Address6, netip.MustParseAddr("2001:bf7:381::1")))
}

func (s *street) handshake() time.Time {
	s.t.Helper()
	stats, err := s.Stats()
	check(s.t, err)
	return stats[s.key()].LastHandshake
}

// A node that has registered reaches the concentrator, through all that can happen to it.
func TestNode(t *testing.T) {
	s := newStreet(t)
	if b := s.Backend(); b != wgdevice.Kernel && b != wgdevice.Userspace {
		t.Errorf("backend %v", b)
	}
	node := s.register()
	check(t, s.AwaitNode(s.ctx, s.key()))
	stats, err := s.Stats()
	check(t, err)
	var allowed []string
	for _, p := range stats[s.key()].AllowedIPs {
		allowed = append(allowed, p.String())
	}
	slices.Sort(allowed)
	if got := strings.Join(allowed, " "); got != "10.0.4.0/22 10.0.4.1/32 2001:bf7:381:1::/64 2001:bf7:381:1::1/128" {
		t.Errorf("allowed IPs %s", got)
	}
	connect := s.tunnel(node)
	connect()
	s.mustPing(node)
	if s.handshake().IsZero() {
		t.Error("no handshake")
	}

	check(t, s.Kill())
	if _, err := s.Stats(); !errors.Is(err, ErrDown) {
		t.Errorf("dead, and %v", err)
	}
	short, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	if s.ping(short, node.Address4, netip.MustParseAddr("10.0.0.1")) == nil {
		t.Error("a dead concentrator answers")
	}

	before := s.PublicKey()
	for name, do := range map[string]func() error{
		"restart": s.Restart,
		"re-key":  func() error { return s.ReKey(private(t)) },
		"move":    func() error { return s.Move(10002) },
	} {
		check(t, do())
		check(t, s.AwaitNode(s.ctx, s.key()))
		connect()
		s.mustPing(node)
		if same := s.PublicKey() == before; same && name == "re-key" {
			t.Errorf("after the %s: key %v", name, s.PublicKey())
		}
		before = s.PublicKey()
	}
}

// What is changed in the store is changed in WireGuard and in the routes; a changed node keeps its session.
func TestLearning(t *testing.T) {
	s := newStreet(t)
	node := s.register()
	check(t, s.AwaitNode(s.ctx, s.key()))
	connect := s.tunnel(node)
	connect()
	s.mustPing(node)
	at := s.handshake()

	check(t, s.network.SetNode(s.ctx, s.key(), "range4", "10.99.0.0/16"))
	check(t, s.network.SetNode(s.ctx, s.key(), "xlat_range6", "2001:db8:f::/64"))
	check(t, s.Await(s.ctx,
		func(nodes map[peerselector.Key]parker.Node) bool { return nodes[s.key()].XlatRange6.IsValid() }))
	want := "10.0.4.1/32 10.99.0.0/16 2001:bf7:381:1::/64 2001:db8:f::/64"
	if got := s.routes(); got != want {
		t.Errorf("routes %s, want %s", got, want)
	}
	if !s.handshake().Equal(at) {
		t.Error("the session is new")
	}
	s.mustPing(node)

	// A node that cannot be read harms no other.
	check(t, s.network.Store.Put(s.ctx, map[string]string{"/config/nonsense/id": "9", "/config/AAAA/id": "x"}))
	check(t, s.network.SetNode(s.ctx, peerselector.Key{1}, "id", "8"))
	check(t, s.AwaitNode(s.ctx, peerselector.Key{1}))

	check(t, s.network.DeleteNode(s.ctx, s.key()))
	check(t, s.Await(s.ctx, func(nodes map[peerselector.Key]parker.Node) bool { _, ok := nodes[s.key()]; return !ok }))
	if got := s.routes(); got != "" {
		t.Errorf("routes %s", got)
	}
	stats, err := s.Stats()
	check(t, err)
	if _, ok := stats[s.key()]; ok || len(stats) != 1 || len(s.Nodes()) != 1 {
		t.Errorf("peers %v", stats)
	}
}

// routes gives the static routes by the WireGuard device.
func (s *street) routes() string {
	s.t.Helper()
	var all []string
	check(s.t, s.c.Do(func() error {
		routes, err := routeList(s.index)
		for _, r := range routes {
			if r.Protocol == unix.RTPROT_STATIC {
				all = append(all, r.Dst.String())
			}
		}
		return err
	}))
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestNew(t *testing.T) {
	good := Config{
		Name: "c1", Do: func(f func() error) error { return f() },
		Network: parker.Network{Store: new(parker.FileStore)}, PrivateKey: private(t),
		ListenPort: 1, Address4: netip.MustParseAddr("10.0.0.1"), Address6: netip.MustParseAddr("fe80::1"),
	}
	for want, spoil := range map[string]func(*Config){
		"Do":          func(c *Config) { c.Do = nil },
		"store":       func(c *Config) { c.Network.Store = nil },
		"private key": func(c *Config) { c.PrivateKey = wgtypes.Key{} },
		"listen port": func(c *Config) { c.ListenPort = 0 },
		"family":      func(c *Config) { c.Address4 = c.Address6 },
		"letters":     func(c *Config) { c.Interface = "0123456789abcdef" },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), `"c1"`) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}
