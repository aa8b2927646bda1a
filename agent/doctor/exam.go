package doctor

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
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

// outside is the world around an exam; tests put other functions in place of these.
type outside struct {
	wanState   func() (wan.State, error)
	resolve    func(ctx context.Context, host string) ([]netip.Addr, error)
	pathMTU    func(netip.AddrPort) (int, error)
	checkClock func(context.Context) (clock.Result, error)
	plausible  func(time.Time) error
	running    func() bool
	snapshot   func() (status.Snapshot, error)
	open       func() (kernel, error)
	linkMTU    func(name string) (int, error)          // the error is for a link that does not exist
	hasAddress func(device string, to netip.Addr) bool // whether the device has one to speak to that one from
	echo       func(ctx context.Context, device string, addrs []netip.Addr,
		within time.Duration) map[netip.Addr]time.Duration
	largest func(ctx context.Context, device string, addr netip.Addr, lo, hi int, wait time.Duration) (int, error)
}

// exam is one run.
type exam struct {
	o   Options
	cfg config.Uplink
	outside
	pace pace

	outcome map[Stage]Outcome
	to      wan.Targets // of the way out
	blocked bool        // the present stage needs one that is not through
	way     wan.State
	agent   bool // an agent runs the uplink
	says    status.Snapshot
	ident   identity.Identity
	answer  broker.Answer
	reached bool // the broker could be spoken to
	bench
	heard
}

// bench is what is looked at: the agent's device, or our own.
type bench struct {
	kern   kernel
	dev    string          // the WireGuard device to look at
	made   *tunnel.Desired // our own device, as last applied
	unlock func()          // lets another doctor have it; nil without
}

// heard is who answers.
type heard struct {
	shaken []*candidate  // with a completed handshake, best first
	live   *candidate    // answers inside the tunnel
	rtt    time.Duration // through the tunnel
}

// pace is how the handshake and tunnel stages wait.
type pace struct {
	look   time.Duration   // between two looks at the device: WireGuard has no event for a handshake
	rounds []time.Duration // how long each round of handshakes has
	others time.Duration   // how long the other gateways have once one has shaken hands
	echo   time.Duration   // for an answer inside the tunnel
	life   time.Duration   // the same, before the agent's word of its gateway is taken
}

// usual: a broker answers up to 1.05 s before its gateways know the key, so the first round may be in vain; the later
// ones are for slow lines. All rounds together stay below stageTimeout, with room for looking up names.
var usual = pace{
	look:   50 * time.Millisecond,
	rounds: []time.Duration{1200 * time.Millisecond, 2500 * time.Millisecond, 5 * time.Second},
	others: time.Second,
	echo:   5 * time.Second,
	life:   5 * time.Second,
}

func newExam(o Options) *exam {
	x := &exam{o: o, cfg: o.Uplink, outcome: map[Stage]Outcome{}, pace: usual}
	path := x.path()
	gate := clock.New(clock.Options{
		System: o.System, Servers: o.Uplink.NTPServers, Build: o.Build, FloorFile: o.FloorFile,
		Dial: path.DialContext, Resolve: path.Resolve,
	})
	x.wanState, x.resolve, x.pathMTU = path.State, path.Resolve, path.MTU
	x.checkClock, x.plausible = gate.Check, gate.Plausible
	x.running = func() bool {
		_, says := o.word()
		return says || uplink.Running(o.RunDir, o.Uplink.Name)
	}
	x.snapshot = func() (status.Snapshot, error) {
		if s, ok := o.word(); ok {
			return s, nil
		}
		return status.Read(o.RunDir, o.Uplink.Name, status.Now())
	}
	x.open = func() (kernel, error) { return tunnel.Open(o.Spawn) }
	x.linkMTU = func(name string) (int, error) {
		l, err := net.InterfaceByName(name)
		if err != nil {
			return 0, err
		}
		return l.MTU, nil
	}
	x.echo, x.largest, x.hasAddress = echo, health.Largest, hasAddress
	return x
}

// hasAddress looks for one of the same family that is link-local if, and only if, the other one is.
func hasAddress(device string, to netip.Addr) bool {
	l, err := net.InterfaceByName(device)
	if err != nil {
		return false
	}
	all, err := l.Addrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Is4() == to.Is4() && p.Addr().IsLinkLocalUnicast() == to.IsLinkLocalUnicast()
	})
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
	own := func(name string) bool { return x.cfg.Carries(name) || name == ownDevice || name == ownVXLAN }
	return wan.Path{Mark: x.cfg.FwMark, DNS: x.cfg.DNSServers, Own: own, To: &x.to}
}

// linkAddress is our own one, derived as configured, or the other way.
func (x *exam) linkAddress(other bool) netip.Addr {
	way := x.cfg.LinkLocal
	if other {
		way = way.Other()
	}
	return way.Of(peerselector.Key(x.ident.Public))
}

// echoEvery is how often to ask an address that has not answered yet.
const echoEvery = 500 * time.Millisecond

// echo sends echo requests to all addresses by the device until all have answered, or one has and the others had as
// long again (at least one interval), or the time is over. It gives the round trips of those that answered.
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
