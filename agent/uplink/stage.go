package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/derive"
	"wguplink/agent/identity"
	"wguplink/peerselector"
)

// loadKey loads or makes the private key. Without one the uplink waits for a better configuration.
func (u *Uplink) loadKey() {
	if u.cfg.Borrowed {
		return // the key is the device owner's
	}
	id, err := u.o.LoadKey(u.cfg)
	u.keyErr = err
	if err != nil {
		return
	}
	u.key = id
	u.keyReady(id)
}

func (u *Uplink) keyReady(id identity.Identity) {
	u.log.Info("key ready", "public_key", id.Public, "origin", id.Origin)
	if id.PublicFileErr != nil {
		u.log.Warn("the key is good, but others cannot read its public half", "err", id.PublicFileErr)
	}
}

// reloadKey looks whether there is another key now. A stored key that cannot be used any more does not take the old one's
// place: the tunnel works, and the file may be the operator's slip.
func (u *Uplink) reloadKey() (changed bool) {
	if u.cfg.Borrowed {
		return false
	}
	id, err := u.o.LoadKey(u.cfg)
	if err != nil {
		if u.keyErr == nil {
			u.log.Error("the stored key cannot be used; going on with the one in use", "err", err)
		} else {
			u.keyErr = err
		}
		return false
	}
	if u.keyErr == nil && id.Public == u.key.Public {
		return false
	}
	u.key, u.keyErr = id, nil
	u.keyReady(id)
	return true
}

// askClock sees to the clock in a worker, once.
func (u *Uplink) askClock() {
	if u.clockStop == nil {
		u.ensureClock(u.o.System)
	}
}

func (u *Uplink) ensureClock(system clock.System) {
	ctx, cancel := context.WithCancel(u.ctx)
	u.clockStop = cancel
	gate := u.gate(system)
	u.work(ctx, func(ctx context.Context) func() {
		res, err := gate.Ensure(ctx)
		if ctx.Err() != nil {
			return nil
		}
		return func() { u.clockChecked(ctx, gate, res, err) }
	})
}

func (u *Uplink) gate(system clock.System) *clock.Gate {
	return clock.New(clock.Options{
		System: system, Servers: u.cfg.NTPServers, Grace: u.cfg.NTPGrace, Build: u.o.Build, FloorFile: u.o.FloorFile,
		Dial: u.path.DialContext, Resolve: u.path.Resolve,
	})
}

// jump is by how much the wall clock must leave the monotonic one to count as set by somebody.
const jump = 2 * time.Second

// watchClock asks for the time anew when somebody has set the clock. WireGuard puts the wall clock into its handshakes, and
// a gateway ignores what is older than the last: a step back would cost the tunnel when its keys are renewed.
func (u *Uplink) watchClock() {
	now := u.o.System.Foreign()
	by := now - u.foreign
	u.foreign = now
	if by.Abs() >= jump && u.clockDone {
		u.log.Warn("somebody has set the clock; asking for the time", "by", by.Round(time.Millisecond))
		u.clockDoubt = true
	}
	u.doubtClock()
}

// doubtClock asks for the time after a step that was not ours, as soon as there is a way out. What the kernel says of its
// clock dates from before the step.
func (u *Uplink) doubtClock() {
	if !u.clockDoubt || !u.wan.Up() {
		return
	}
	u.clockDoubt = false
	if u.clockStop != nil {
		u.clockStop()
	}
	u.ensureClock(doubted{u.o.System})
}

// doubted is a clock whose word about itself counts for nothing.
type doubted struct{ clock.System }

func (doubted) Synchronised() (bool, error) { return false, nil }

// signedTime offers the time of a signed configuration, for want of a better one.
func (u *Uplink) signedTime(t time.Time, server string) {
	if t.IsZero() || u.clockGood {
		return
	}
	res, err := u.gate(u.o.System).Offer(t, server)
	if err != nil || res.Source == clock.Unverified {
		u.log.Warn("the time of the signed configuration is not used", "why", describe(res, err))
		return
	}
	u.clockDone, u.clockGood = true, true
	u.clockSays = describe(res, nil)
	u.log.Info("clock checked", "source", res.Source, "server", res.Server, "offset", res.Offset.Round(time.Millisecond), "stepped", res.Stepped)
	if res.FloorErr != nil {
		u.log.Warn("the time cannot be kept for the next start", "err", res.FloorErr)
	}
}

func (u *Uplink) clockChecked(ctx context.Context, gate *clock.Gate, res clock.Result, err error) {
	if u.clockGood && res.Source == clock.Unverified {
		// A signed configuration has told the time meanwhile; those that are more exact are still asked.
		u.retryClock(ctx, gate)
		return
	}
	u.clockDone = true
	u.clockGood = err == nil && res.Source != clock.Unverified
	u.clockSays = describe(res, err)
	switch {
	case err != nil:
		u.log.Error("the clock cannot be set", "err", err)
	case res.Source == clock.Unverified:
		u.log.Warn("clock not verified, going on", "why", u.clockSays)
	default:
		u.log.Info("clock checked", "source", res.Source, "server", res.Server, "offset", res.Offset.Round(time.Millisecond), "stepped", res.Stepped)
	}
	for _, r := range res.Refused {
		u.log.Warn("time source refused", "why", r.String())
	}
	if res.FloorErr != nil {
		u.log.Warn("the time cannot be kept for the next start", "err", res.FloorErr)
	}
	if res.Source == clock.Unverified {
		u.retryClock(ctx, gate)
	}
	u.proceed()
}

// retryClock goes on asking in a worker.
func (u *Uplink) retryClock(ctx context.Context, gate *clock.Gate) {
	u.work(ctx, func(ctx context.Context) func() {
		res, err := gate.Retry(ctx, func(res clock.Result) { u.post(ctx, func() { u.clockDoubtful(res) }) })
		if ctx.Err() != nil {
			return nil
		}
		return func() { u.clockChecked(ctx, gate, res, err) }
	})
}

// clockDoubtful keeps the status true: what is wrong with the servers may change.
func (u *Uplink) clockDoubtful(res clock.Result) {
	if !u.clockGood {
		u.clockSays = describe(res, nil)
	}
}

func describe(res clock.Result, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case res.Source == clock.FromNTP && res.Stepped:
		return fmt.Sprintf("set by %v, from %s", res.Offset.Round(time.Millisecond), res.Server)
	case res.Source == clock.FromNTP:
		return fmt.Sprintf("right within %v, says %s", res.Offset.Abs().Round(time.Millisecond), res.Server)
	case res.Source == clock.FromKernel:
		return "synchronised, says the kernel"
	case res.Source == clock.FromSigned && res.Stepped:
		return fmt.Sprintf("set by %v, from the signed configuration of %s", res.Offset.Round(time.Second), res.Server)
	case res.Source == clock.FromSigned:
		return "right within a minute, says the signed configuration of " + res.Server
	}
	why := "no NTP server configured"
	if len(res.Refused) > 0 {
		why = res.Refused[0].String()
	}
	return "not verified: " + why
}

// ask registers with the broker in a worker. When one is at work already, its answer is for whoever asked.
func (u *Uplink) ask() {
	if u.asking {
		return
	}
	u.asking = true
	if u.registrar == nil {
		r, err := u.newRegistrar()
		if err != nil {
			u.work(u.ctx, func(context.Context) func() { return func() { u.asking = false; u.asked(broker.Answer{}, err) } })
			return
		}
		u.registrar = r
	}
	r, key := u.registrar, peerselector.Key(u.key.Public)
	u.work(u.ctx, func(ctx context.Context) func() {
		a, err := r.Register(ctx, key)
		if ctx.Err() != nil {
			return nil
		}
		return func() {
			u.asking = false
			switch {
			case u.registrar == r:
				u.asked(a, err)
			case u.registrar == nil && u.engine.Asking():
				u.ask() // the configuration changed meanwhile: the answer counts from the new brokers only
			}
		}
	})
}

func (u *Uplink) newRegistrar() (Registrar, error) {
	if u.o.NewRegistrar == nil {
		return nil, errors.New("this build has no broker support")
	}
	return u.o.NewRegistrar(u.cfg, u.path, derive.LinkLocal(peerselector.Key(u.key.Public), u.cfg.LinkLocal == config.KeyNewline))
}

func (u *Uplink) asked(a broker.Answer, err error) {
	before := u.brokerErr
	if err == nil && a.Network != nil {
		if bad := u.checked(a.Network); bad != nil {
			err = &broker.Error{Kind: broker.Malformed, Broker: a.Broker, Err: bad}
		}
	}
	u.brokerErr = err
	if err == nil {
		u.brokerSays = a.Broker + " (" + a.API + ")"
		if a.Fallback != nil {
			u.log.Warn("not the first choice of broker", "why", a.Fallback)
		}
		gateways := len(a.Peers)
		if n := a.Network; n != nil {
			gateways = len(n.Concentrators)
			u.signedTime(n.Time, a.Broker)
			u.takeNetwork(n)
			u.saveNetwork()
		} else {
			u.log.Info("registered", "broker", a.Broker, "api", a.API, "gateways", gateways)
		}
		if gateways+len(u.cfg.Gateways) == 0 {
			u.brokerErr = nobody(a)
		}
		u.handle(peerselector.BrokerAnswered{Peers: a.Peers})
		if a.Network != nil {
			u.proceed() // its time may be what was waited for
		}
		return
	}
	ev := peerselector.BrokerFailed{}
	if e := (*broker.Error)(nil); errors.As(err, &e) {
		ev.RetryAfter = e.RetryAfter
	}
	u.fetchLater(ev.RetryAfter)
	u.brokerSays = err.Error()
	if before == nil || before.Error() != err.Error() {
		u.log.Warn("registration failed; trying again, ever more seldom", "err", err)
	}
	u.handle(ev)
}

// nobody says that a broker took the key, and that there is nobody to connect to all the same.
func nobody(a broker.Answer) error {
	if a.Network != nil {
		return fmt.Errorf("the configuration from %s names no concentrator", a.Broker)
	}
	const text = "broker %s took the key, but names no gateway (%s), and there is no section `config gateway`"
	if a.Fallback == nil {
		return fmt.Errorf(text, a.Broker, a.API)
	}
	return fmt.Errorf(text+": %w", a.Broker, a.API, a.Fallback)
}
