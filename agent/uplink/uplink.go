// Package uplink turns one configured uplink into a working one: it waits for the WAN, sees to the clock and the key,
// registers, lets the selector choose a gateway, and keeps the tunnel as the selector wants it.
//
// Everything that belongs to an uplink is owned by one goroutine, its loop. What takes time (names, brokers, NTP) runs in
// workers that hand their result to the loop as a function to call. The loop waits for events only; the one thing it has
// to look for by itself are WireGuard's handshakes and counters, for which there is no event.
package uplink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/health"
	"wguplink/agent/hooks"
	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// Registrar makes our key known and says which gateways to use.
type Registrar interface {
	Register(ctx context.Context, key peerselector.Key) (broker.Answer, error)
}

// Options are what an Uplink needs from outside.
type Options struct {
	Config    config.Uplink
	Log       *slog.Logger
	RunDir    string // lock, status and the gateway in use; in RAM
	FloorFile string // the last time known to be right; on flash
	Build     time.Time
	System    *clock.Watched // one for all uplinks
	Spawn     tunnel.Spawner // nil: no userspace WireGuard in this build
	LoadKey   func(config.Uplink) (identity.Identity, error)
	// NewRegistrar is nil in a build without brokers.
	NewRegistrar func(u config.Uplink, p wan.Path, ownLink netip.Addr) (Registrar, error)
	// Changed is called by the loop with each new state, cause or gateway; it must not block. nil: nobody wants to know.
	Changed func(status.Snapshot)
	// Checked is called by the loop when the kernel's state has been compared with the desired one, about once a minute; it must not
	// block. nil: nobody wants to know.
	Checked func()
	// Hook is called by the loop with what the hooks are to hear; it must not block. nil: there are none.
	Hook func(hooks.Event)
	// Hooked gives how the hooks ended for that uplink; nil: there are none. Group.Refresh tells of a change.
	Hooked func(uplink string) []hooks.Result
}

// Uplink is one tunnel under the agent's care.
type Uplink struct {
	o     Options
	log   *slog.Logger
	posts chan func() // results of workers, to be called by the loop

	// Below: owned by the loop.
	cfg     config.Uplink
	path    wan.Path
	wan     wan.State
	key     identity.Identity
	keyErr  error
	tun     *tunnel.Tunnel
	echo    *health.Echo
	counter health.Counters
	engine  *peerselector.Engine
	peers   map[peerselector.Key]*installed
	gen     int

	clockDone  bool
	clockStop  context.CancelFunc // ends the clock worker; nil when none runs
	clockSays  string
	clockGood  bool // somebody vouches for it
	clockDoubt bool // somebody has set the clock since

	registrar  Registrar
	asking     bool // a registrar is at work
	brokerErr  error
	resolveErr error
	brokerSays string

	network    *broker.Network                 // Parker only; nil until there is one
	standby    map[peerselector.Key]*installed // Parker only: with a session, but not in use
	standbyAt  time.Time                       // when to bring up those of which that is not so
	fetchAt    time.Time                       // when to ask for the configuration again
	fetchFails int                             // in a row

	foreign    time.Duration // what others have set the clock by, when last looked at
	line       pathMTU
	portTurn   int // how often another source port was chosen
	waiting    []waiter
	shown      atomic.Pointer[status.Snapshot] // the last, for other goroutines
	absent     bool                            // the device, which is somebody else's, does not exist
	applyErr   error
	appliedAt  time.Time
	applyAt    time.Time // when to look after the kernel's state again
	applyWait  time.Duration
	report     tunnel.Report
	applied    tunnel.Desired
	prefer6    bool // the family that worked last
	watchStop  context.CancelFunc
	linksStop  context.CancelFunc
	wanStates  chan wan.State
	links      chan struct{}
	fatal      chan error
	workers    sync.WaitGroup
	ctx        context.Context
	handshake  status.Uptime // of the gateway in use
	connected  status.Uptime
	switches   int
	began      time.Time    // the loop
	told       *hooks.Event // the last one; nil before the first
	last       status.Snapshot
	lastLogged string
}

// installed is a peer on the device, or on its way there.
type installed struct {
	peer     peerselector.Peer
	addrs    []netip.AddrPort // where to try; nil while names are being resolved
	attempt  int
	gen      int
	move     int
	endpoint netip.AddrPort
	promoted bool
	// handshake is when the latest was seen.
	handshake status.Uptime
	reaiming  bool // names are being looked up for another address
}

// New makes an Uplink; Run starts it.
func New(o Options) *Uplink {
	return &Uplink{
		o: o, log: o.Log.With("uplink", o.Config.Name),
		posts: make(chan func()),
		cfg:   o.Config, peers: map[peerselector.Key]*installed{}, standby: map[peerselector.Key]*installed{}, prefer6: true,
		wanStates: make(chan wan.State), links: make(chan struct{}, 1), fatal: make(chan error, 1),
	}
}

// Reload makes a new configuration of the same uplink the valid one. Only what differs is touched. It returns when the
// loop has taken it, or ctx ended.
func (u *Uplink) Reload(ctx context.Context, cfg config.Uplink) {
	u.post(ctx, func() { u.reconfigure(cfg) })
}

// post hands f to the loop.
func (u *Uplink) post(ctx context.Context, f func()) {
	select {
	case u.posts <- f:
	case <-ctx.Done():
	}
}

// Run keeps the uplink up until ctx ends; then it removes what it made. The error is ErrLocked when another process runs
// this uplink. After any other error the tunnel is left as it is, for the next process to go on with.
func (u *Uplink) Run(ctx context.Context) error {
	unlock, err := lock(u.o.RunDir, u.cfg.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if u.tun, err = tunnel.Open(u.o.Spawn); err != nil {
		return fmt.Errorf("uplink %s: %w", u.cfg.Name, err)
	}
	defer u.tun.Close()
	loop, cancel := context.WithCancel(ctx)
	u.ctx = loop
	defer u.workers.Wait()
	defer cancel()
	u.echo = health.NewEcho(func(from netip.Addr, rtt time.Duration) { u.post(loop, func() { u.replied(from, rtt) }) })
	defer u.echo.Close()
	u.path = u.wayOut()
	u.foreign, u.began = u.o.System.Foreign(), time.Now()
	u.newEngine()
	u.loadKey()
	u.goOn()
	u.apply()
	u.watchWAN()
	u.watchLinks()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		u.settle()
		u.tell()
		timer.Reset(u.untilNext())
		select {
		case <-ctx.Done():
			cancel()
			if errors.Is(context.Cause(ctx), errAbort) {
				return nil
			}
			return u.shutdown()
		case err := <-u.fatal:
			return fmt.Errorf("uplink %s: %w", u.cfg.Name, err)
		case f := <-u.posts:
			f()
		case s := <-u.wanStates:
			u.wanChanged(s)
		case <-u.links:
			u.applySoon()
		case <-timer.C:
			u.tick()
		}
	}
}

// work runs f beside the loop. What f returns is called by the loop; nil is nothing.
func (u *Uplink) work(ctx context.Context, f func(context.Context) func()) {
	u.workers.Add(1)
	go func() {
		defer u.workers.Done()
		if done := f(ctx); done != nil {
			u.post(ctx, done)
		}
	}()
}

func (u *Uplink) watchWAN() {
	if u.watchStop != nil {
		u.watchStop()
	}
	ctx, cancel := context.WithCancel(u.ctx)
	u.watchStop = cancel
	path := u.path
	u.work(ctx, func(ctx context.Context) func() {
		if err := path.Watch(ctx, u.wanStates); err != nil {
			u.fail(err)
		}
		return nil
	})
}

func (u *Uplink) watchLinks() {
	if u.linksStop != nil {
		u.linksStop()
	}
	ctx, cancel := context.WithCancel(u.ctx)
	u.linksStop = cancel
	cfg := u.cfg
	mine := func(name string) bool {
		return cfg.Owns(name) || cfg.Mode == config.ModeVXLAN && name == cfg.VXLAN.Name || name == cfg.Batman
	}
	u.work(ctx, func(ctx context.Context) func() {
		if err := tunnel.Watch(ctx, mine, cfg.Protocol == config.Parker, u.links); err != nil {
			u.fail(err)
		}
		return nil
	})
}

func (u *Uplink) fail(err error) {
	select {
	case u.fatal <- err:
	default:
	}
}

func (u *Uplink) wayOut() wan.Path {
	cfg := u.cfg
	return wan.Path{Mark: cfg.FwMark, DNS: cfg.DNSServers, Own: cfg.Owns}
}

func (u *Uplink) newEngine() {
	timing := peerselector.Default()
	if u.cfg.Protocol == config.Parker {
		timing.BackoffMax = checkMost
	}
	u.engine = peerselector.New(peerselector.Config{Timing: timing, Broker: u.cfg.Protocol.Registers(), Standby: u.cfg.Protocol == config.Parker, Intn: intn})
	u.handle(peerselector.Rebalance{Every: u.cfg.Rebalance})
	u.handle(peerselector.Economy{ProbeEvery: u.cfg.ProbeInterval})
	u.handle(peerselector.Static{Peers: u.cfg.Gateways})
}

func intn(n int64) int64 {
	v, err := rand.Int(rand.Reader, big.NewInt(n))
	if err != nil {
		return 0 // no randomness is no reason to stay offline
	}
	return v.Int64()
}

func (u *Uplink) wanChanged(s wan.State) {
	was := u.wan
	u.wan = s
	if !s.Up() {
		if u.clockStop != nil && !u.clockDone {
			u.clockStop() // the grace period begins anew with the next way out
			u.clockStop = nil
		}
		u.handle(peerselector.WANDown{})
		return
	}
	if was.MTU != s.MTU || was.Dev4 != s.Dev4 || was.Dev6 != s.Dev6 {
		u.line = pathMTU{} // another line
		u.apply()
	}
	u.proceed()
}

// proceed goes on with the stages in their order as far as they are through.
func (u *Uplink) proceed() {
	if !u.wan.Up() || u.keyErr != nil || u.absent {
		return
	}
	if !u.clockDone {
		u.askClock()
		u.fetch() // a signed configuration needs no clock, and brings one
		// A gateway that was found at work has accepted our time already.
		if _, ok := u.engine.Current(); !ok {
			return
		}
	}
	u.watchClock()
	u.handle(peerselector.WANUp{})
}

// shutdown takes down what we made.
func (u *Uplink) shutdown() error {
	os.Remove(status.File(u.o.RunDir, u.cfg.Name))
	if err := u.tun.Remove(u.desired()); err != nil {
		return fmt.Errorf("uplink %s: clean up: %w", u.cfg.Name, err)
	}
	u.tellDown()
	u.log.Info("stopped")
	return nil
}

// ErrLocked says that another process runs the uplink.
var ErrLocked = errors.New("another wguplink runs this uplink")
