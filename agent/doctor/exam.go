package doctor

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/derive"
	"wguplink/agent/health"
	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/uplink"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// kernel is what the doctor needs of package tunnel.
type kernel interface {
	Apply(ctx context.Context, d tunnel.Desired) (tunnel.Report, error)
	Remove(d tunnel.Desired) error
	Status(ifname string) (*wgtypes.Device, error)
	Close()
}

// exam is one run. The functions are the world outside; tests put others in their place.
type exam struct {
	o   Options
	cfg config.Uplink

	wanState   func() (wan.State, error)
	resolve    func(ctx context.Context, host string) ([]netip.Addr, error)
	pathMTU    func(netip.AddrPort) (int, error)
	checkClock func(context.Context) (clock.Result, error)
	running    func() bool
	snapshot   func() (status.Snapshot, error)
	open       func() (kernel, error)
	linkMTU    func(name string) (int, error) // the error is for a link that does not exist
	echo       func(ctx context.Context, device string, addrs []netip.Addr, within time.Duration) map[netip.Addr]time.Duration
	largest    func(ctx context.Context, device string, addr netip.Addr, lo, hi int, wait time.Duration) (int, error)
	pace       pace

	outcome map[Stage]Outcome
	to      wan.Targets // of the way out
	way     wan.State
	agent   bool // an agent runs the uplink
	says    status.Snapshot
	ident   identity.Identity
	answer  broker.Answer
	reached bool // the broker could be spoken to
	kern    kernel
	dev     string          // the WireGuard device to look at
	made    *tunnel.Desired // our own device, as last applied
	unlock  func()          // lets another doctor have it; nil without
	shaken  []*candidate    // with a completed handshake, best first
	rtt     time.Duration   // through the tunnel
	live    *candidate      // answers inside the tunnel
}

// pace is how the handshake and tunnel stages wait.
type pace struct {
	look   time.Duration   // between two looks at the device: WireGuard has no event for a handshake
	rounds []time.Duration // how long each round of handshakes has
	others time.Duration   // how long the other gateways have once one has shaken hands
	echo   time.Duration   // for an answer inside the tunnel
}

// usual: a broker answers up to 1.05 s before its gateways know the key, so the first round may be in vain; the later ones
// are for slow lines. All rounds together stay below stageTimeout, with room for looking up names.
var usual = pace{
	look:   50 * time.Millisecond,
	rounds: []time.Duration{1200 * time.Millisecond, 2500 * time.Millisecond, 5 * time.Second},
	others: time.Second,
	echo:   5 * time.Second,
}

func newExam(o Options) *exam {
	x := &exam{o: o, cfg: o.Uplink, outcome: map[Stage]Outcome{}, pace: usual}
	path := x.path()
	gate := clock.New(clock.Options{
		System: o.System, Servers: o.Uplink.NTPServers, Build: o.Build, FloorFile: o.FloorFile,
		Dial: path.DialContext, Resolve: path.Resolve,
	})
	x.wanState, x.resolve, x.pathMTU, x.checkClock = path.State, path.Resolve, path.MTU, gate.Check
	x.running = func() bool { return uplink.Running(o.RunDir, o.Uplink.Name) }
	x.snapshot = func() (status.Snapshot, error) { return status.Read(o.RunDir, o.Uplink.Name, status.Now()) }
	x.open = func() (kernel, error) { return tunnel.Open(o.Spawn) }
	x.linkMTU = func(name string) (int, error) {
		l, err := net.InterfaceByName(name)
		if err != nil {
			return 0, err
		}
		return l.MTU, nil
	}
	x.echo, x.largest = echo, health.Largest
	return x
}

// close takes our own device away.
func (x *exam) close() {
	if x.kern == nil {
		return
	}
	if x.made != nil {
		x.kern.Remove(*x.made)
	}
	x.kern.Close()
	if x.unlock != nil {
		x.unlock()
	}
}

func (x *exam) path() wan.Path {
	ours := uplink.OwnDevices(x.cfg)
	own := func(name string) bool { return ours(name) || name == ownDevice || name == ownVXLAN }
	return wan.Path{Mark: x.cfg.FwMark, DNS: x.cfg.DNSServers, Own: own, To: &x.to}
}

// linkAddress is our own one, derived as configured, or the other way.
func (x *exam) linkAddress(other bool) netip.Addr {
	return derive.LinkLocal(peerselector.Key(x.ident.Public), (x.cfg.LinkLocal == config.KeyNewline) != other)
}

// echoEvery is how often to ask an address that has not answered yet.
const echoEvery = 500 * time.Millisecond

// echo sends echo requests to all addresses by the device until all have answered, or one has and the others had as long
// again (at least one interval), or the time is over. It gives the round trips of those that answered.
func echo(ctx context.Context, device string, addrs []netip.Addr, within time.Duration) map[netip.Addr]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	type reply struct {
		from netip.Addr
		rtt  time.Duration
	}
	replies := make(chan reply)
	e := health.NewEcho(func(from netip.Addr, rtt time.Duration) {
		select {
		case replies <- reply{from, rtt}:
		case <-ctx.Done():
		}
	})
	defer e.Close()
	defer cancel() // before Close, which waits for the receiver
	got := map[netip.Addr]time.Duration{}
	again := time.NewTicker(echoEvery)
	defer again.Stop()
	var enough <-chan time.Time
	began := time.Now()
	for {
		for _, a := range addrs {
			if _, ok := got[a]; !ok {
				e.Send(device, a) // an error now, as of a full queue, may be none the next time
			}
		}
		for wait := true; wait; {
			select {
			case r := <-replies:
				if _, ok := got[r.from]; ok {
					continue
				}
				got[r.from] = r.rtt
				if len(got) == len(addrs) {
					return got
				}
				if enough == nil {
					enough = time.After(max(echoEvery, time.Since(began)))
				}
			case <-enough:
				return got
			case <-ctx.Done():
				return got
			case <-again.C:
				wait = false
			}
		}
	}
}
