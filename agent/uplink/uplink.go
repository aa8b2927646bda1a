// Package uplink turns one configured uplink into a working one. It has the order of things and their wiring, and
// nothing else: what has state is a part of its own, see docs/architecture.md.
//
// An uplink is one goroutine, its loop. Each turn of the loop takes one event, hands it to the part that it concerns,
// carries out what the selector wants, applies the kernel state that follows from all parts once, and runs the jobs
// that the parts want. What takes time (names, brokers, NTP, measurements) is a job beside the loop, and its result is
// an event.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/identity"
	"wguplink/agent/registration"
	"wguplink/agent/slog"
	"wguplink/agent/status"
)

// Options are what an Uplink needs from outside.
type Options struct {
	Config    config.Uplink
	Log       *slog.Logger
	RunDir    string // lock, status and the gateway in use; in RAM
	FloorFile string // the last time known to be right; on flash
	// Firmware names the firmware that runs, for option update_watchdog; "" when that is not known.
	Firmware string
	Build    time.Time
	Clock    *clock.Watched // one for all uplinks
	Machine  Machine
	LoadKey  func(config.Uplink) (identity.Identity, error)
	// NewRegistrar is nil in a build without brokers.
	NewRegistrar func(registration.Source) (registration.Registrar, error)
	// Changed is called by the loop with each new state, cause or gateway; it must not block. nil: that is not wanted.
	Changed func(status.Snapshot)
	// Checked is called by the loop when the kernel's state has been compared with the desired one, about once a
	// minute; it must not block. nil: that is not wanted.
	Checked func()
	// Tries is called by the loop when a gateway is to be tried; it must not block. nil: that is not wanted.
	Tries func()
	// Hook is called by the loop with what the hooks are to hear; it must not block. nil: there are none.
	Hook func(hooks.Event)
	// Hooked gives how the hooks ended for that uplink; nil: there are none. Group.Refresh tells of a change.
	Hooked func(uplink string) []hooks.Result
}

// Uplink is one tunnel under the agent's care. Its methods but Run may be called from several goroutines.
type Uplink struct {
	o      Options
	log    *slog.Logger
	events chan event
	status *status.Publisher
}

// New makes an Uplink; Run starts it.
func New(o Options) *Uplink {
	log := o.Log.With("uplink", o.Config.Name)
	return &Uplink{
		o: o, log: log, events: make(chan event),
		status: &status.Publisher{RunDir: o.RunDir, Log: log, Changed: o.Changed},
	}
}

// Reload makes a new configuration of the same uplink the valid one. Only what differs is touched. It returns when the
// loop has taken it, or ctx ended.
func (u *Uplink) Reload(ctx context.Context, cfg config.Uplink) { u.post(ctx, reload{cfg}) }

// Reconnect switches to the gateway with that name or public key, with "" to any other one. The present one is left
// only when the new one has answered. Reconnect returns when that is decided, and done in kernel and status, or when
// ctx ends; the attempt goes on in that case.
func (u *Uplink) Reconnect(ctx context.Context, gateway string) (Outcome, error) {
	done := make(chan result, 1)
	u.post(ctx, reconnect{gateway, done, ctx.Done()})
	select {
	case r := <-done:
		return r.Outcome, r.err
	case <-ctx.Done():
		return Outcome{}, fmt.Errorf("reconnect: not decided yet: %w", context.Cause(ctx))
	}
}

// Snapshot is the last published state.
func (u *Uplink) Snapshot() status.Snapshot {
	if s, ok := u.status.Last(); ok {
		return s
	}
	return status.Snapshot{Uplink: u.o.Config.Name, State: status.Starting, Interface: u.o.Config.Interface}
}

// post hands an event to the loop.
func (u *Uplink) post(ctx context.Context, ev event) {
	select {
	case u.events <- ev:
	case <-ctx.Done():
	}
}

// ErrLocked says that another process runs the uplink.
var ErrLocked = errors.New("another wguplink runs this uplink")

// Run keeps the uplink up until ctx ends; then it removes what it made, unless the cause is ErrLeave. The error is
// ErrLocked when another process runs this uplink. After any other error the tunnel is left as it is, for the next
// process to go on with.
func (u *Uplink) Run(ctx context.Context) error {
	unlock, err := lock(u.o.RunDir, u.o.Config.Name)
	if NoRoom(err) {
		u.log.Warn("there is no room for the lock: nothing keeps another wguplink from the uplink", "err", err)
		unlock, err = func() {}, nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	kernel, err := u.o.Machine.Open()
	if err != nil {
		return fmt.Errorf("uplink %s: %w", u.o.Config.Name, err)
	}
	defer kernel.Close()
	inner, cancel := context.WithCancel(ctx)
	jobs := newJobs(u.events)
	defer jobs.wait()
	defer cancel()
	echo := u.o.Machine.NewEcho(func(r Reply) { u.post(inner, r) })
	defer echo.Close()
	traffic := u.o.Machine.NewTraffic()
	defer traffic.Close()

	l := newLoop(u, kernel, echo, traffic, jobs)
	if err := l.run(inner); err != nil {
		return fmt.Errorf("uplink %s: %w", l.cfg.Name, err)
	}
	os.Remove(status.File(u.o.RunDir, u.o.Config.Name))
	cause := context.Cause(ctx)
	if errors.Is(cause, errAbort) || errors.Is(cause, ErrLeave) && !l.kind.Traits().Borrowed {
		u.log.Info("stopped", "tunnel", "kept")
		return nil
	}
	if err := l.takeDown(); err != nil {
		return fmt.Errorf("uplink %s: clean up: %w", l.cfg.Name, err)
	}
	u.log.Info("stopped", "tunnel", "removed")
	return nil
}
