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
	u.log.Info("key ready", "public_key", id.Public, "origin", id.Origin)
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
	u.log.Info("key ready", "public_key", id.Public, "origin", id.Origin)
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
	gate := clock.New(clock.Options{
		System: system, Servers: u.cfg.NTPServers, Grace: u.cfg.NTPGrace, Build: u.o.Build, FloorFile: u.o.FloorFile,
		Dial: u.path.DialContext, Resolve: u.path.Resolve,
	})
	u.work(ctx, func(ctx context.Context) func() {
		res, err := gate.Ensure(ctx)
		if ctx.Err() != nil {
			return nil
		}
		return func() { u.clockChecked(ctx, gate, res, err) }
	})
}

// jump is by how much the wall clock must leave the monotonic one to count as set by somebody.
const jump = 2 * time.Second

// born is a moment to count from on the monotonic clock.
var born = time.Now()

// wallClock is how far the wall clock is ahead of a monotonic one.
func wallClock() time.Duration {
	now := time.Now()
	return time.Duration(now.UnixNano()) - now.Sub(born)
}

// watchClock asks for the time anew when somebody has set the clock. WireGuard puts the wall clock into its handshakes, and
// a gateway ignores what is older than the last: a step back would cost the tunnel when its keys are renewed.
func (u *Uplink) watchClock() {
	now := wallClock()
	by := now - u.wall
	u.wall = now
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

func (u *Uplink) clockChecked(ctx context.Context, gate *clock.Gate, res clock.Result, err error) {
	u.clockDone = true
	u.wall = wallClock() // it may have been set by us
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
		u.work(ctx, func(ctx context.Context) func() {
			res, err := gate.Retry(ctx)
			if ctx.Err() != nil {
				return nil
			}
			return func() { u.clockChecked(ctx, gate, res, err) }
		})
	}
	u.proceed()
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
	}
	why := "no NTP server configured"
	if len(res.Refused) > 0 {
		why = res.Refused[0].String()
	}
	return "not verified: " + why
}

// ask registers with the broker in a worker.
func (u *Uplink) ask() {
	if u.registrar == nil {
		r, err := u.newRegistrar()
		if err != nil {
			u.work(u.ctx, func(context.Context) func() { return func() { u.asked(broker.Answer{}, err) } })
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
	u.brokerErr = err
	if err == nil {
		u.brokerSays = a.Broker + " (" + a.API + ")"
		if len(a.Peers) == 0 && len(u.cfg.Gateways) == 0 {
			u.brokerErr = nobody(a)
		}
		if a.Fallback != nil {
			u.log.Warn("not the first choice of broker", "why", a.Fallback)
		}
		u.log.Info("registered", "broker", a.Broker, "api", a.API, "gateways", len(a.Peers))
		u.handle(peerselector.BrokerAnswered{Peers: a.Peers})
		return
	}
	ev := peerselector.BrokerFailed{}
	if e := (*broker.Error)(nil); errors.As(err, &e) {
		ev.RetryAfter = e.RetryAfter
	}
	u.brokerSays = err.Error()
	if before == nil || before.Error() != err.Error() {
		u.log.Warn("registration failed; trying again, ever more seldom", "err", err)
	}
	u.handle(ev)
}

// nobody says that a broker took the key, and that there is nobody to connect to all the same.
func nobody(a broker.Answer) error {
	const text = "broker %s took the key, but names no gateway (%s), and there is no section `config gateway`"
	if a.Fallback == nil {
		return fmt.Errorf(text, a.Broker, a.API)
	}
	return fmt.Errorf(text+": %w", a.Broker, a.API, a.Fallback)
}
