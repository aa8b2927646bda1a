// Package clock is the gate before the tunnel: is the time right, and if not, what is it?
//
// A router without a battery-backed clock boots in the past, and a WireGuard gateway that has seen a later timestamp
// from it ignores its handshakes. So the kernel is asked whether its clock is synchronised, else NTP servers are asked
// through the WAN, their answers are checked against what is possible and against each other, and the clock is stepped.
// No answer is never fatal: a tunnel that may not come up is better than one that is not tried.
package clock

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// System is the clock of the machine.
type System interface {
	Now() time.Time
	// Synchronised tells whether somebody else, such as an NTP daemon, keeps the clock right.
	Synchronised() (bool, error)
	// Step sets the clock at once.
	Step(time.Time) error
}

// Defaults and limits.
const (
	// StepThreshold is how wrong the clock may be without being set. WireGuard minds seconds backwards, not the
	// uncertainty of one exchange over a slow line.
	StepThreshold = time.Second
)

// Options of a Gate. The zero value of each field but System is usable.
type Options struct {
	System System
	// Servers are "host", "host:port" or "[v6]:port"; the port is 123 when not given.
	Servers []string
	// Grace is how long Ensure waits for a good answer; zero means that it goes on at once.
	Grace time.Duration
	// Build is the program's build date. Nothing that happens can be earlier.
	Build time.Time
	// FloorFile keeps the last time that was known to be right; empty means that none is kept. Should a lying server
	// ever get a time years ahead into it, the true time is refused from then on, until the file is removed.
	FloorFile string
	// Dial opens a UDP socket, through the WAN. nil means net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve looks up a host's addresses, through the WAN. nil means net.DefaultResolver's.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Source says on whose word the clock is taken to be right.
type Source string

// The sources.
const (
	FromKernel Source = "kernel"     // the kernel says that it is synchronised
	FromNTP    Source = "ntp"        // a server was asked, and believed
	FromSigned Source = "signed"     // see Offer
	Unverified Source = "unverified" // nobody vouches for the clock
)

// Result is what became of the clock.
type Result struct {
	Source Source
	// Server is the one whose time was taken, as configured, and Address where it answered. NTP only.
	Server  string
	Address netip.AddrPort
	// Offset is what was added to the clock, or would have to be: by NTP, or to reach the floor.
	Offset time.Duration
	// Stepped tells whether the clock was set.
	Stepped bool
	// Floor is the time that it surely is later than.
	Floor time.Time
	// Refused names everybody who was asked and not believed, and why.
	Refused []Refusal
	// FloorErr tells why a good time could not be kept for the next start. The clock is right nevertheless.
	FloorErr error
}

// Refusal is one source of time that was not believed, or could not be had.
type Refusal struct {
	From   string // the server as configured, with the address when it is a name; a path; or "kernel"
	Reason string
	Value  string // what it said, may be empty
}

// String is one line.
func (r Refusal) String() string {
	if r.Value == "" {
		return r.From + ": " + r.Reason
	}
	return r.From + ": " + r.Reason + ": " + r.Value
}

// Gate keeps the clock right. Its methods may be called from several goroutines.
type Gate struct {
	o Options
	// patience is how long a server has in the nth round.
	patience func(n int) time.Duration
	// linger is how long a round waits for the rest once there is a majority.
	linger time.Duration

	mu sync.Mutex
	// quiet holds the addresses that asked to be left alone, and until when (on the monotonic clock).
	quiet map[netip.AddrPort]time.Time
}

// New makes a Gate. It asks nobody yet.
func New(o Options) *Gate {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &Gate{o: o, patience: patience, linger: linger, quiet: map[netip.AddrPort]time.Time{}}
}

// Ensure makes the clock right if it can within the grace period, and else sees that it is at least past the floor.
// Servers that do not answer are no error: Result says Unverified and why, and Retry goes on trying. The error is for
// a clock that cannot be set, beside a Result that is valid, and for a context that ended.
func (g *Gate) Ensure(ctx context.Context) (Result, error) {
	grace, cancel := context.WithTimeout(ctx, g.o.Grace)
	defer cancel()
	res, good, err := g.keepTrying(grace, backoff{first: 250 * time.Millisecond, most: 4 * time.Second}, len(g.o.Servers) > 0, func(Result) {})
	if good || err != nil {
		return res, err
	}
	if ctx.Err() != nil {
		return res, fmt.Errorf("clock: %w", context.Cause(ctx))
	}
	// As OpenWrt's sysfixtime does at boot with the newest file: wrong, but less so.
	if now := g.o.System.Now(); now.Before(res.Floor) {
		res.Offset = res.Floor.Sub(now)
		if err := g.step(&res, res.Floor); err != nil {
			return res, err
		}
	}
	return res, nil
}

// Retry asks again and again, ever more rarely down to once in five minutes, until somebody vouches for the time; if
// the clock turns out to be off it is stepped. After each round in which nobody did, tell gets its result. Its errors are those
// of Ensure.
func (g *Gate) Retry(ctx context.Context, tell func(Result)) (Result, error) {
	res, good, err := g.keepTrying(ctx, backoff{first: 2 * time.Second, most: 5 * time.Minute}, true, tell)
	if !good && err == nil {
		err = fmt.Errorf("clock: %w", context.Cause(ctx))
	}
	return res, err
}

// Check asks everybody once and changes nothing, neither the clock nor a file: Result says what Ensure would do.
// The error is for a context that ended.
func (g *Gate) Check(ctx context.Context) (Result, error) {
	res, _, err := g.attempt(ctx, 0, false)
	if err == nil && ctx.Err() != nil && res.Source == Unverified {
		err = fmt.Errorf("clock: %w", context.Cause(ctx))
	}
	return res, err
}

// Plausible tells whether a time from any source can be right; if not, the error says why in one line.
func (g *Gate) Plausible(t time.Time) error {
	floor, _, _ := g.floor()
	return BoundsFrom(floor).Check(t)
}

// keepTrying attempts until one is good, the context ends, or, if so told, after the first. It tells of each that is in vain.
func (g *Gate) keepTrying(ctx context.Context, b backoff, again bool, tell func(Result)) (res Result, good bool, err error) {
	for n := 0; ; n++ {
		last := res
		res, good, err = g.attempt(ctx, n, true)
		if good || err != nil {
			return res, good, err
		}
		if n > 0 && ctx.Err() != nil {
			// This attempt was cut short; the one before knows better what is wrong.
			last.Floor = res.Floor
			return last, false, nil
		}
		if !again {
			return res, false, nil
		}
		tell(res)
		wait := time.NewTimer(b.delay(n))
		select {
		case <-ctx.Done():
			wait.Stop()
			return res, false, nil
		case <-wait.C:
		}
	}
}

// attempt asks the kernel, then every server once. With act it steps the clock and keeps the time. The error is for a
// clock that cannot be set.
func (g *Gate) attempt(ctx context.Context, n int, act bool) (Result, bool, error) {
	floor, kept, refused := g.floor()
	res := Result{Source: Unverified, Floor: floor, Refused: refused}
	bounds := BoundsFrom(floor)

	synchronised, err := g.o.System.Synchronised()
	now := g.o.System.Now()
	switch {
	case err != nil:
		res.refuse("kernel", "cannot tell whether its clock is synchronised", oneLine(err))
	case synchronised && now.Before(floor):
		res.refuse("kernel", "its clock is synchronised, yet "+beforeFloor(floor), stamp(now))
	case synchronised:
		res.Source = FromKernel
		if err := bounds.Check(now); err != nil {
			// Believed, for somebody set it so; but not kept, for from then on nothing earlier would be believed.
			res.refuse("kernel", "not kept as the last known time", oneLine(err))
		} else if act {
			res.FloorErr = g.keep(now, kept)
		}
		return res, true, nil
	}

	best, refusals := g.ask(ctx, bounds, n)
	res.Refused = append(res.Refused, refusals...)
	if best == nil {
		return res, false, nil
	}
	res.Server, res.Address = best.server, best.addr
	right := best.now()
	res.Offset = right.Sub(g.o.System.Now())
	if res.Offset.Abs() > StepThreshold && act {
		if err := g.step(&res, right); err != nil {
			return res, false, err
		}
	}
	res.Source = FromNTP
	if act {
		res.FloorErr = g.keep(right, kept)
	}
	return res, true, nil
}

func (g *Gate) step(res *Result, to time.Time) error {
	if err := g.o.System.Step(to); err != nil {
		return fmt.Errorf("clock: cannot be set to %s (setting it needs CAP_SYS_TIME): %w", stamp(to), err)
	}
	res.Stepped = true
	return nil
}

func (r *Result) refuse(from, reason, value string) {
	r.Refused = append(r.Refused, Refusal{From: from, Reason: reason, Value: value})
}

// backoff doubles from first to most. The jitter keeps a town's routers apart when the power is back.
type backoff struct{ first, most time.Duration }

func (b backoff) delay(n int) time.Duration {
	d := b.most
	if n < 16 && b.first<<n < b.most {
		d = b.first << n
	}
	return d/2 + rand.N(d/2+1)
}
