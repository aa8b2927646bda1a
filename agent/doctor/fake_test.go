package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/clock/clocktest"
	"wguplink/agent/config"
	"wguplink/agent/health"
	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// today is when the tests play; the program is a month older.
var today = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// fakeKernel is a device whose peers shake hands as told.
type fakeKernel struct {
	mu       sync.Mutex
	applyErr error
	statErr  error
	shakes   map[wgtypes.Key]int // peers that answer, in which generation at the earliest
	unsent   bool                // nothing leaves
	agents   func(look int) []wgtypes.Peer
	looks    int
	looked   func(n int) // nil, or called with how often by now
	applied  []tunnel.Desired
	removed  []tunnel.Desired
	closed   bool
}

func (k *fakeKernel) Apply(_ context.Context, d tunnel.Desired) (tunnel.Report, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d.Devices = slices.Clone(d.Devices)
	d.Devices[0].Peers = slices.Clone(d.Devices[0].Peers)
	k.applied = append(k.applied, d)
	return tunnel.Report{Backend: tunnel.Kernel}, k.applyErr
}

func (k *fakeKernel) Remove(d tunnel.Desired) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.removed = append(k.removed, d)
	return nil
}

func (k *fakeKernel) Status(string) (*wgtypes.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.looks++; k.looked != nil {
		k.looked(k.looks)
	}
	dev := &wgtypes.Device{}
	if k.agents != nil {
		dev.Peers = k.agents(k.looks)
	} else if n := len(k.applied); n > 0 {
		for _, p := range k.applied[n-1].Devices[0].Peers {
			is := wgtypes.Peer{PublicKey: p.PublicKey}
			if !k.unsent {
				is.TransmitBytes = 148
			}
			if gen, ok := k.shakes[p.PublicKey]; ok && p.Generation >= gen {
				is.LastHandshakeTime = today
			}
			dev.Peers = append(dev.Peers, is)
		}
	}
	return dev, k.statErr
}

func (k *fakeKernel) Close() { k.closed = true }

// registrar is a broker that always says the same.
type registrar struct {
	answer broker.Answer
	err    error
	asked  *int
}

func (r registrar) Register(context.Context, peerselector.Key) (broker.Answer, error) {
	*r.asked++
	return r.answer, r.err
}

// bed is an exam in a world where all is well, with what a test may change.
type bed struct {
	*exam
	kernel   *fakeKernel
	system   *clocktest.System
	time     clock.Result
	key      wgtypes.Key // private; zero: none
	broker   registrar
	asked    int
	names    map[string][]netip.Addr
	links    map[string]int
	answers  map[netip.Addr]time.Duration // inside the tunnel
	derived  netip.Addr                   // the own address that they answer to; zero: any
	deaf     int                          // how many times nothing is heard at first
	passes   int
	state    wan.State
	isAgent  bool
	snap     status.Snapshot
	pathSize int
	address  bool   // the device has one like the gateway's
	after    func() // nil, or called in the end
}

func gateway(n byte) peerselector.Peer {
	return peerselector.Peer{
		Name: fmt.Sprint("gw", n), PublicKey: peerselector.Key{31: n},
		Endpoints:   []string{fmt.Sprintf("gw%d.example.org:51820", n)},
		LinkAddress: netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: n}),
		AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("::/0")},
	}
}

func wgKey(n byte) wgtypes.Key { return wgtypes.Key(gateway(n).PublicKey) }

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{
		kernel: &fakeKernel{shakes: map[wgtypes.Key]int{wgKey(1): 1, wgKey(2): 1}},
		system: clocktest.At(today), time: clock.Result{Source: clock.FromKernel, Floor: today.AddDate(0, -1, 0)},
		key: wgtypes.Key{1},
		broker: registrar{answer: broker.Answer{Broker: "https://broker.example.org", API: "v2",
			Peers: []peerselector.Peer{gateway(2)}}},
		names: map[string][]netip.Addr{},
		links: map[string]int{ownDevice: 1420},
		answers: map[netip.Addr]time.Duration{gateway(1).LinkAddress: time.Millisecond,
			gateway(2).LinkAddress: 2 * time.Millisecond},
		passes: 2000, pathSize: 1500,
		state: wan.State{V4: true, Dev4: "eth0", V6: true, Dev6: "eth0", MTU4: 1500, MTU6: 1500},
	}
	for i, n := range []string{"broker.example.org", "gw1.example.org", "gw2.example.org"} {
		b.names[n] = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
	}
	b.broker.asked = &b.asked
	o := Options{
		Uplink: config.Uplink{
			Name: "mesh", Enabled: true, Protocol: config.WGKex,
			Brokers: []*url.URL{{Scheme: "https", Host: "broker.example.org"}},
			Domain:  "ffxx_city", Interface: "wg_mesh", FwMark: 1, LinkPrefix: 64, Mode: config.ModeVXLAN,
			VXLAN: config.VXLAN{Name: "mesh-vpn", ID: 7, Port: 8472}, Gateways: []peerselector.Peer{gateway(1)},
		},
		System: b.system, Build: today.AddDate(0, -1, 0), RunDir: t.TempDir(),
		PublicKey: func(config.Uplink) (wgtypes.Key, error) {
			if b.key == (wgtypes.Key{}) {
				return wgtypes.Key{}, fmt.Errorf("no private key stored yet: %w", os.ErrNotExist)
			}
			return b.key.PublicKey(), nil
		},
		LoadKey: func(config.Uplink) (identity.Identity, error) {
			return identity.Identity{Public: b.key.PublicKey(), Origin: "uci wguplink.mesh.private_key"}, nil
		},
		NewRegistrar: func(config.Uplink, wan.Path, netip.Addr) (Registrar, error) { return b.broker, nil },
	}
	x := newExam(o)
	x.pace = pace{look: time.Millisecond, rounds: []time.Duration{20 * time.Millisecond, 20 * time.Millisecond,
		20 * time.Millisecond}, others: 10 * time.Millisecond, echo: time.Millisecond, life: time.Millisecond}
	x.wanState = func() (wan.State, error) { return b.state, nil }
	x.resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
		if a, ok := b.names[host]; ok {
			return a, nil
		}
		return nil, fmt.Errorf("lookup %s on 127.0.0.1:54: no such host", host)
	}
	x.pathMTU = func(netip.AddrPort) (int, error) { return b.pathSize, nil }
	x.checkClock = func(context.Context) (clock.Result, error) { return b.time, nil }
	x.plausible = func(t time.Time) error {
		return clock.Bounds{From: b.time.Floor, To: today.AddDate(15, 0, 0)}.Check(t)
	}
	x.hasAddress = func(string, netip.Addr) bool { return b.address }
	x.running = func() bool { return b.isAgent }
	x.snapshot = func() (status.Snapshot, error) { return b.snap, nil }
	x.open = func() (kernel, error) { return b.kernel, nil }
	x.linkMTU = func(name string) (int, error) {
		if n, ok := b.links[name]; ok {
			return n, nil
		}
		return 0, errors.New("no such network interface")
	}
	x.echo = func(_ context.Context, _ string, addrs []netip.Addr, _ time.Duration) map[netip.Addr]time.Duration {
		got := map[netip.Addr]time.Duration{}
		if b.deaf > 0 {
			b.deaf--
			return got
		}
		for _, a := range addrs {
			rtt, ok := b.answers[a]
			if ok && (!b.derived.IsValid() || b.derived == x.made.Devices[0].Addresses[0].Prefix.Addr()) {
				got[a] = rtt
			}
		}
		return got
	}
	x.largest = func(_ context.Context, _ string, _ netip.Addr, lo, hi int, _ time.Duration) (int, error) {
		if b.passes < lo {
			return 0, fmt.Errorf("measure: %w", health.ErrSilent)
		}
		return min(hi, b.passes), nil
	}
	b.exam = x
	return b
}

// layer3 has one static gateway with an address of its own choice inside the tunnel.
func (b *bed) layer3() {
	g := gateway(1)
	g.LinkAddress = netip.MustParseAddr("10.99.0.1")
	b.cfg.Protocol, b.cfg.Mode, b.cfg.VXLAN, b.cfg.Gateways = config.Static, config.ModeLayer3, config.VXLAN{},
		[]peerselector.Peer{g}
}

// withAgent lets an agent run, connected to gw1.
func (b *bed) withAgent() {
	b.isAgent = true
	b.links = map[string]int{"wg_mesh": 1420, "mesh-vpn": 1350}
	b.snap = status.Snapshot{Uplink: "mesh", State: status.Connected, Backend: "kernel",
		PublicKey: b.key.PublicKey().String(), Gateway: &status.Gateway{
			Name: "gw1", PublicKey: gateway(1).PublicKey.String(), Endpoint: "192.0.2.1:51820",
			LinkAddress: gateway(1).LinkAddress.String(),
			HandshakeAt: 5, HandshakeAge: 35,
		}}
	b.kernel.agents = func(int) []wgtypes.Peer {
		return []wgtypes.Peer{{PublicKey: wgKey(1), Endpoint: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 51820},
			TransmitBytes: 148}}
	}
}
