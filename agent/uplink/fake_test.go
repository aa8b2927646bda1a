//go:build go1.25

package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/alarm"
	"wguplink/agent/clock"
	"wguplink/agent/clock/clocktest"
	"wguplink/agent/config"
	"wguplink/agent/health"
	"wguplink/agent/hooks"
	"wguplink/agent/identity"
	"wguplink/agent/registration"
	"wguplink/agent/slog"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// world is a machine of its own: a kernel with WireGuard devices, gateways that answer or do not, a WAN and name
// servers. Time in it is virtual.
type world struct {
	t    *testing.T
	dir  string
	log  *safeBuffer
	sys  *clocktest.System
	opts Options

	mu        sync.Mutex
	devices   map[string]*device
	gateways  map[netip.AddrPort]*gateway // by endpoint
	applying  time.Duration               // how long Apply takes
	applyErr  error
	applied   []tunnel.Desired
	removed   []tunnel.Desired
	report    tunnel.Report
	replied   func(Reply)
	wan       wan.State
	watchers  map[chan<- wan.State]context.Context
	watchErr  error
	links     func()
	exits     bool // the links are watched with default routes
	names     map[string][]netip.Addr
	mtu       int // of the path, as the kernel knows it; 0: unknown
	mtu6      int
	local     wan.Local
	localErr  error
	largest   int // packet that passes; 0: none
	measures  atomic.Int32
	paths     []config.Uplink
	to        *wan.Targets
	hooked    []hooks.Event
	states    []status.Snapshot
	checked   int
	reads     int            // of WireGuard's counters
	probed    int            // probes sent
	foreign   []wgtypes.Peer // of another program, on each device
	uncounted bool           // the kernel does not say what devices have received
	tries     int
	registrar registrar
	asked     []registration.Source
}

// gateway is one that is at an endpoint.
type gateway struct {
	dead bool // answers nothing
	mute bool // shakes hands, and answers nothing else
	// twin is how long after each handshake with us another node with our key shakes hands; 0: there is none
	twin time.Duration
	lost bool // the session is the twin's
	// knows says whether it knows a node's private key, that is, the public half of it; nil: it knows all
	knows func(wgtypes.Key) bool
	anew  bool // WireGuard has begun to wait for an answer, and will shake hands anew
}

type device struct {
	wgtypes.Device
	generation map[wgtypes.Key]int
	move       map[wgtypes.Key]int
	packets    uint64 // received
}

// registrar answers as a test says.
type registrar func(context.Context, registration.Source) (answer, error)

const rtt = 10 * time.Millisecond

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, dir: t.TempDir(), log: &safeBuffer{}, sys: clocktest.At(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)),
		devices: map[string]*device{}, gateways: map[netip.AddrPort]*gateway{},
		watchers: map[chan<- wan.State]context.Context{},
		names:    map[string][]netip.Addr{}, wan: wan.State{V4: true, Dev4: "wan", MTU4: 1500}, largest: 65535,
		report: tunnel.Report{Backend: tunnel.Kernel},
	}
	w.sys.SetSynchronised(true, nil)
	w.opts = Options{
		Log:    slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		RunDir: filepath.Join(w.dir, "run"), Machine: w.machine(),
		LoadKey: func(u config.Uplink) (identity.Identity, error) {
			return identity.Load(nil, identity.Options{KeyFile: u.KeyFile})
		},
		Changed: func(s status.Snapshot) { w.with(func() { w.states = append(w.states, s) }) },
		Checked: func() { w.with(func() { w.checked++ }) },
		Tries:   func() { w.with(func() { w.tries++ }) },
		Hook:    func(e hooks.Event) { w.with(func() { w.hooked = append(w.hooked, e) }) },
		NewRegistrar: func(s registration.Source) (registration.Registrar, error) {
			if w.registrar == nil {
				return nil, errors.New("no registrar in this test")
			}
			return asking{w, s}, nil
		},
	}
	return w
}

func (w *world) with(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// uplink is a configuration with these gateways, which answer.
func (w *world) uplink(gateways ...peerselector.Peer) config.Uplink {
	u := config.Uplink{
		Name: "mesh", Enabled: true, Interface: "wg_mesh", Mode: config.ModeVXLAN, LinkPrefix: 64,
		Keepalive: 25 * time.Second, FwMark: 1,
		VXLAN: config.VXLAN{Name: "mesh-vpn", ID: 7, Port: 8472}, KeyFile: filepath.Join(w.dir, "key"),
		NTPGrace: 15 * time.Second, Gateways: gateways,
	}
	for _, g := range gateways {
		w.at(g.Endpoints[0])
	}
	return u
}

// peer is gateway number n.
func peer(n byte) peerselector.Peer {
	return peerselector.Peer{
		Name: fmt.Sprintf("gw%d", n), PublicKey: peerselector.Key{n},
		Endpoints:   []string{fmt.Sprintf("192.0.2.%d:51820", n)},
		LinkAddress: netip.MustParseAddr(fmt.Sprintf("fe80::%d", n)),
		AllowedIPs:  []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("fe80::%d/128", n))},
	}
}

// at gives the gateway at an endpoint; it is made if need be.
func (w *world) at(endpoint string) *gateway {
	a, err := netip.ParseAddrPort(endpoint)
	if err != nil {
		return nil // a name
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gateways[a] == nil {
		w.gateways[a] = &gateway{}
	}
	return w.gateways[a]
}

func (w *world) kill(p peerselector.Peer, dead bool) {
	g := w.at(p.Endpoints[0])
	w.with(func() { g.dead = dead })
}

// applications says how often the tunnel was applied since the list was cleared.
func (w *world) applications() (n int) {
	w.with(func() { n = len(w.applied) })
	return n
}

// run starts an uplink in the bubble; stop ends it, and gives its error.
func (w *world) run(cfg config.Uplink) (u *Uplink, stop func() error) {
	u, end := w.runUntil(cfg)
	return u, func() error { return end(context.Canceled) }
}

// runUntil is run with a cause for the end.
func (w *world) runUntil(cfg config.Uplink) (u *Uplink, end func(cause error) error) {
	o := w.opts
	o.Config, o.Clock = cfg, clock.Watch(w.sys)
	u = New(o)
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	return u, func(cause error) error { cancel(cause); return <-ended }
}

// simulate runs f in virtual time with a running uplink, and checks that it ends well.
func simulate(t *testing.T, prepare func(*world) config.Uplink, f func(*world, *Uplink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		u, stop := w.run(prepare(w))
		f(w, u)
		if err := stop(); err != nil {
			t.Errorf("at the end: %v", err)
		}
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
}

func (w *world) machine() Machine {
	return Machine{
		Open:       func() (Kernel, error) { return w, nil },
		NewEcho:    func(replied func(Reply)) Echo { w.replied = replied; return echo{w} },
		NewAlarm:   alarm.Plain,
		NewTraffic: func() Traffic { return traffic{w} },
		Path: func(u config.Uplink, to *wan.Targets) Path {
			w.with(func() { w.paths, w.to = append(w.paths, u), to })
			return fakePath{w}
		},
		WatchLinks: func(ctx context.Context, _ func(string) bool, exits bool, changed func()) error {
			w.with(func() { w.links, w.exits = changed, exits })
			<-ctx.Done()
			return nil
		},
		Measure: func(ctx context.Context, m health.Measurement) (int, error) {
			time.Sleep(rtt)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.measures.Add(1)
			if w.largest == 0 {
				return 0, health.ErrSilent
			}
			return min(w.largest, m.MTU), nil
		},
	}
}

// Apply implements Kernel.
func (w *world) Apply(_ context.Context, d tunnel.Desired) (tunnel.Report, error) {
	time.Sleep(w.applying)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.applyErr != nil {
		return tunnel.Report{}, w.applyErr
	}
	w.applied = append(w.applied, d)
	for _, want := range d.Devices {
		if slices.Contains(w.report.Failed, want.Interface) {
			delete(w.devices, want.Interface)
			continue
		}
		have := w.devices[want.Interface]
		if have == nil {
			if want.Borrowed {
				return tunnel.Report{}, fmt.Errorf("device %s: %w", want.Interface, os.ErrNotExist)
			}
			have = newDevice(want.Interface)
			w.devices[want.Interface] = have
		}
		if !want.Borrowed {
			have.PrivateKey = wgtypes.Key{}
			if want.PrivateKey != nil {
				have.PrivateKey = *want.PrivateKey
			}
		}
		w.setPeers(have, want.Peers)
	}
	return w.report, nil
}

func newDevice(name string) *device {
	return &device{Device: wgtypes.Device{Name: name}, generation: map[wgtypes.Key]int{}, move: map[wgtypes.Key]int{}}
}

func (w *world) setPeers(d *device, want []tunnel.Peer) {
	var peers []wgtypes.Peer
	for _, p := range want {
		var is wgtypes.Peer
		known := false
		for _, have := range d.Peers {
			if have.PublicKey == p.PublicKey && (d.generation[p.PublicKey] == p.Generation ||
				d.generation[p.PublicKey] == 0) {
				is, known = have, true
			}
		}
		if !known {
			is = wgtypes.Peer{PublicKey: p.PublicKey}
			time.AfterFunc(rtt, func() { w.shake(d, p.PublicKey) })
		}
		if !known || d.move[p.PublicKey] != p.Move {
			is.Endpoint = net.UDPAddrFromAddrPort(p.Endpoint)
		}
		is.AllowedIPs = nil
		for _, a := range p.AllowedIPs {
			is.AllowedIPs = append(is.AllowedIPs, net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(),
				a.Addr().BitLen())})
		}
		d.generation[p.PublicKey], d.move[p.PublicKey] = p.Generation, p.Move
		peers = append(peers, is)
	}
	d.Peers = peers
}

// shake completes a handshake, if the gateway answers.
func (w *world) shake(d *device, k wgtypes.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range d.Peers {
		p := &d.Peers[i]
		if p.PublicKey != k || p.Endpoint == nil {
			continue
		}
		if g := w.gateways[p.Endpoint.AddrPort()]; g != nil && !g.dead && w.wan.Up() &&
			(g.knows == nil || g.knows(d.PrivateKey)) {
			p.LastHandshakeTime = time.Now()
			p.ReceiveBytes += 92
			g.lost, g.anew = false, false
			if g.twin != 0 {
				time.AfterFunc(g.twin, func() { w.with(func() { g.lost = g.twin != 0 }) })
			}
		}
	}
}

// Remove implements Kernel.
func (w *world) Remove(d tunnel.Desired) error {
	w.with(func() { w.removed = append(w.removed, d) })
	return nil
}

// Status implements Kernel.
func (w *world) Status(name string) (*wgtypes.Device, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	d := w.devices[name]
	if d == nil {
		return nil, fmt.Errorf("device %s: %w", name, os.ErrNotExist)
	}
	out := d.Device
	out.Peers = append(append([]wgtypes.Peer(nil), d.Peers...), w.foreign...)
	return &out, nil
}

// Close implements Kernel.
func (w *world) Close() {}

type echo struct{ w *world }

func (echo) Close() {}

// Send is answered by a gateway that has its allowed IPs on the device.
func (e echo) Send(name string, to netip.Addr) error {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probed++
	d := w.devices[name]
	if d == nil {
		return os.ErrNotExist
	}
	for i := range d.Peers {
		p := &d.Peers[i]
		g := w.gateways[p.Endpoint.AddrPort()]
		if g != nil && g.lost && !g.anew {
			g.anew = true // after KEEPALIVE_TIMEOUT and REKEY_TIMEOUT
			time.AfterFunc(15*time.Second, func() { w.shake(d, p.PublicKey) })
		}
		if g == nil || g.dead || g.mute || g.lost || !w.wan.Up() || len(p.AllowedIPs) == 0 ||
			p.LastHandshakeTime.IsZero() ||
			!p.AllowedIPs[0].Contains(to.AsSlice()) {
			continue
		}
		time.AfterFunc(rtt, func() {
			w.with(func() {
				for i := range d.Peers {
					d.Peers[i].ReceiveBytes += 100
				}
				d.packets++
			})
			w.replied(Reply{to, rtt})
		})
	}
	return nil
}

type traffic struct{ w *world }

func (traffic) Close() {}

// Received counts as a process's device does.
func (f traffic) Received(devices []string) (packets uint64, ok bool) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	for _, name := range devices {
		d := f.w.devices[name]
		if d == nil {
			return 0, false
		}
		packets += d.packets
	}
	return packets, !f.w.uncounted
}

type fakePath struct{ w *world }

func (fakePath) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("no network here")
}

func (p fakePath) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	p.w.mu.Lock()
	addrs, ok := p.w.names[host]
	p.w.mu.Unlock()
	if !ok {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("resolve %s: no such host", host)
	}
	return addrs, nil
}

func (p fakePath) Watch(ctx context.Context, states chan<- wan.State) error {
	p.w.mu.Lock()
	p.w.watchers[states] = ctx
	s, err := p.w.wan, p.w.watchErr
	p.w.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case states <- s:
	case <-ctx.Done():
	}
	<-ctx.Done()
	p.w.with(func() { delete(p.w.watchers, states) })
	return nil
}

func (p fakePath) MTU(netip.AddrPort) (int, error) {
	if p.w.mtu == 0 {
		return 0, errors.New("no route")
	}
	return p.w.mtu, nil
}

func (p fakePath) MTU6(string) (int, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.mtu6, nil
}

func (p fakePath) Local(...string) (wan.Local, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.local, p.w.localErr
}

// reload gives the uplink another configuration, and waits until it has been taken.
func (w *world) reload(u *Uplink, cfg config.Uplink) {
	u.Reload(context.Background(), cfg)
	synctest.Wait()
}

// setWAN changes the WAN and waits until the uplink has taken it.
func (w *world) setWAN(s wan.State) {
	w.mu.Lock()
	w.wan = s
	watchers := map[chan<- wan.State]context.Context{}
	for c, ctx := range w.watchers {
		watchers[c] = ctx
	}
	w.mu.Unlock()
	for c, ctx := range watchers {
		select {
		case c <- s:
		case <-ctx.Done():
		}
	}
	synctest.Wait()
}

// touch tells of a change of links, and waits until the uplink knows.
func (w *world) touch() {
	synctest.Wait() // Until the uplink watches.
	w.mu.Lock()
	changed := w.links
	w.mu.Unlock()
	changed()
	synctest.Wait()
}

// published says how many states the uplink has published.
func (w *world) published() (n int) {
	w.with(func() { n = len(w.states) })
	return n
}

// last is the desired state that was applied last.
func (w *world) last() tunnel.Desired {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.applied) == 0 {
		return tunnel.Desired{}
	}
	return w.applied[len(w.applied)-1]
}

// wait lets time pass until ok, at most that long.
func wait(t *testing.T, most time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("not within %v: %s", most, what)
			return
		}
	}
}

// expect waits for a state, and gives it.
func expect(t *testing.T, u *Uplink, most time.Duration, state status.State, cause status.Cause) status.Snapshot {
	t.Helper()
	wait(t, most, fmt.Sprintf("%s %s; it is %+v", state, cause, u.Snapshot()), func() bool {
		s := u.Snapshot()
		return s.State == state && s.Cause == cause
	})
	return u.Snapshot()
}

// connected waits until a gateway is in use, and gives its name.
func connected(t *testing.T, u *Uplink, most time.Duration) string {
	t.Helper()
	if s := expect(t, u, most, status.Connected, status.None); s.Gateway != nil {
		return s.Gateway.Name
	}
	return ""
}

// logged says that a line of the log has all of these.
func (w *world) logged(parts ...string) bool {
	for _, line := range strings.Split(w.log.String(), "\n") {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
