package uplink

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/health"
	"wguplink/agent/hooks"
	"wguplink/agent/network"
	"wguplink/agent/peers"
	"wguplink/agent/registration"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// loop is the state of a running uplink. One goroutine owns it.
type loop struct {
	*Uplink
	parts
	cfg    config.Uplink
	engine *peerselector.Engine
	kind   network.Kind
	path   Path
	to     targets // of the path
	echo   Echo
	jobs   *jobs

	wan    wan.State
	open   bool                // the engine has been told that it may go on
	probes []peerselector.Peer // to be sent when the kernel's state is as desired
	use    use
	rest   rest
}

// parts are what has state of its own.
type parts struct {
	key          keyring
	clock        *clock.Keeper
	registration *registration.Registration
	peers        *peers.Set
	line         health.PathMTU
	counters     health.Counters
	glance       glance
	devices      devices
	store        store
	teller       *hooks.Teller
	wishes       wishes
	journal      journal
	ledger       ledger
	watchdog     watchdog
	twin         twin
	rekeying     rekeying
}

func newLoop(u *Uplink, kernel Kernel, echo Echo, traffic Traffic, jobs *jobs) *loop {
	o, now := &u.o, time.Now()
	l := &loop{Uplink: u, cfg: o.Config, kind: network.New(o.Config), echo: echo, jobs: jobs}
	l.path = o.Machine.Path(o.Config, &l.to.Targets)
	l.parts = parts{
		key:          keyring{load: o.LoadKey, log: u.log},
		clock:        clock.NewKeeper(o.Clock, clock.Options{Build: o.Build, FloorFile: o.FloorFile}, u.log),
		registration: registration.New(o.NewRegistrar, intn, u.log),
		peers:        peers.New(u.log),
		glance:       glance{traffic: traffic},
		devices:      devices{kernel: kernel, log: u.log, applied: &tunnel.Desired{}},
		store:        store{dir: o.RunDir, uplink: o.Config.Name, log: u.log},
		teller:       hooks.NewTeller(now),
		journal:      journal{log: u.log},
		ledger:       newLedger(),
		watchdog:     newWatchdog(o.FloorFile, o.Config.Name, o.Firmware, u.log),
	}
	return l
}

// run is the loop itself. The error is nil when ctx ended.
func (l *loop) run(ctx context.Context) error {
	l.begin(time.Now())
	timer := l.o.Machine.NewAlarm()
	defer timer.Stop()
	for {
		again := l.turn(ctx)
		if !again {
			timer.Set(time.Until(l.next(time.Now())))
		} else {
			timer.Set(0)
		}
		select {
		case <-ctx.Done():
			return nil
		case ev := <-l.events:
			if f, ok := ev.(done); ok {
				if ev, ok = l.jobs.take(f); !ok {
					continue
				}
			}
			if f, ok := ev.(failed); ok {
				return f.err
			}
			l.take(ev, time.Now())
		case <-timer.C():
			l.tick(time.Now())
		}
	}
}

// begin takes up the work, also that of an agent before us.
func (l *loop) begin(now time.Time) {
	l.key.update(l.cfg, now)
	l.configure()
	l.newEngine()
	l.adopt()
}

// configure tells the parts what the configuration says. It may be called again with the same value: that changes
// nothing.
func (l *loop) configure() (otherServers bool) {
	l.clock.Configure(clock.Settings{Servers: l.cfg.NTPServers, Grace: l.cfg.NTPGrace, Mark: l.cfg.FwMark,
		DNS: l.cfg.DNSServers}, l.path)
	l.peers.SetPolicy(l.policy())
	return l.registration.Configure(registration.SourceOf(l.cfg, peerselector.Key(l.key.wanted())))
}

func (l *loop) newEngine() {
	t := l.kind.Traits()
	timing := peerselector.Default()
	if t.BackoffMax != 0 {
		timing.BackoffMax = t.BackoffMax
	}
	l.engine = peerselector.New(peerselector.Config{Timing: timing, Broker: l.cfg.Protocol.Registers(),
		Standby: t.Standby, Intn: intn})
	l.open = false
	l.handle(peerselector.Rebalance{Every: l.cfg.Rebalance})
	l.handle(peerselector.Economy{ProbeEvery: l.cfg.ProbeInterval})
	l.handle(peerselector.Crowd{Nodes: l.cfg.Fleet})
	l.handle(peerselector.Static{Peers: l.kind.Candidates()})
}

// intn gives a random number below n. For a day in nanoseconds some are more likely than others by 0.001 %.
func intn(n int64) int64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0 // no randomness is no reason to stay offline
	}
	return int64(binary.NativeEndian.Uint64(b[:])>>1) % n
}

// take hands an event to the part that it concerns.
func (l *loop) take(ev event, now time.Time) {
	if r, ok := ev.(Reply); ok {
		l.replied(r)
		return
	}
	l.rest.ended = true
	switch ev := ev.(type) {
	case wanState:
		l.wanChanged(ev.State)
	case linksChanged:
		l.devices.check(now)
	case clocked:
		l.clock.Take(ev.Answer)
	case registered:
		l.registered(ev, now)
	case resolved:
		moved, failed := l.peers.Resolved(ev.lookup, ev.addrs, ev.err)
		if moved {
			l.line.Renew()
		}
		l.ledger.aimed(ev.lookup.Key, l.endpoint(ev.lookup.Key), now)
		l.handle(failed...)
	case measured:
		l.line.Measured(ev.largest, ev.err, l.engine.State() == peerselector.Connected, l.kind.MTU(), l.mtu(), l.log)
	case reload:
		l.reload(ev.cfg, now)
	case reconnect:
		l.reconnect(ev)
	case refresh:
		// The status is looked at in each turn.
	}
}

// tick is for the passing of time.
func (l *loop) tick(now time.Time) {
	if l.key.due(now) && l.key.update(l.cfg, now) {
		l.configure()
	}
	l.look(now)
	l.lookBeside(now)
	l.handle(peerselector.Tick{})
}

// turn does what follows from the state of the parts. It may be called again: that changes nothing. again says that it
// has to be, without waiting for an event.
func (l *loop) turn(ctx context.Context) (again bool) {
	now := time.Now()
	if l.resting(now) {
		l.probe()
		return false
	}
	l.admit()
	if at, ok := l.fetchDue(); ok && !now.Before(at) {
		l.registration.Ask()
	}
	if _, ok := l.engine.Current(); ok && l.kind.Traits().Standby {
		l.peers.StandBy(l.kind.Candidates(), now)
	}
	l.rekey(now)
	absent := l.devices.absent
	l.apply(ctx, now)
	l.probe()
	l.aim()
	l.jobs.want(ctx, l.work())
	l.guard(now)
	l.publish(now)
	l.tell(now)
	l.wishes.answer(l.engine) // after the kernel and the status know
	l.rest = l.settled(now)
	return l.devices.absent != absent
}

// admit lets the engine go on when all that comes before it is through: the WAN, the key, a device of another program,
// the time. A gateway that was found at work has accepted our time already.
func (l *loop) admit() {
	ready := l.wan.Up() && l.key.err == nil && !l.devices.absent
	l.clock.Update(ready)
	_, inUse := l.engine.Current()
	open := ready && (l.open || l.clock.Passed() || inUse)
	switch {
	case open && !l.open:
		l.open = true
		l.handle(peerselector.WANUp{})
	case l.open && !open:
		l.open = false
		l.handle(peerselector.WANDown{})
	}
}

// fetchDue is when to ask for a configuration that lies with a server without being told to by the engine. Without a
// gateway in use the engine knows best when to ask; but a signed configuration needs no clock, and brings one.
func (l *loop) fetchDue() (at time.Time, ok bool) {
	if !l.kind.Traits().Fetches || !l.wan.Up() || l.key.err != nil {
		return at, false
	}
	_, inUse := l.engine.Current()
	at, ok = l.registration.Due()
	return at, ok && (inUse || !l.clock.Passed())
}

// apply brings the kernel's state to the desired one: the only place that does.
func (l *loop) apply(ctx context.Context, now time.Time) {
	want, ok := l.kind.Desired(l.view())
	if l.key.err != nil || !ok && !l.devices.reached {
		l.devices.leave(now)
		return
	}
	checked := l.devices.settle(ctx, &want, now)
	alone := l.alone()
	if alone {
		l.devices.by(l.devices.at.Add(meshEvery))
	}
	if checked && !alone && l.o.Checked != nil { // while alone it is checked much more often
		l.o.Checked()
	}
}

// probe sends the probes that the engine wants. Without the allowed IPs of a new gateway they would be lost: so they
// come last.
func (l *loop) probe() {
	for _, p := range l.probes {
		l.glance.asked = true
		if err := l.echo.Send(l.kind.Device(p.PublicKey), p.LinkAddress); err != nil {
			l.log.Debug("probe failed", "err", err)
		}
	}
	l.probes = l.probes[:0]
}

// takeDown removes what we made.
func (l *loop) takeDown() error {
	want, _ := l.kind.Desired(l.view())
	if err := l.devices.kernel.Remove(want); err != nil {
		return err
	}
	if e, ok := l.teller.Down(); ok && l.o.Hook != nil {
		l.o.Hook(e)
	}
	return nil
}
