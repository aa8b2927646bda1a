package clock

import (
	"context"
	"errors"
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
	// Synchronised tells whether another program, such as an NTP daemon, keeps the clock right.
	Synchronised() (bool, error)
	// Step sets the clock at once.
	Step(time.Time) error
}

// StepThreshold is how wrong the clock may be without being set. WireGuard minds seconds backwards, not the uncertainty
// of one exchange over a slow line.
const StepThreshold = time.Second

// Options of a Gate. The zero value of each field but System is usable.
type Options struct {
	System System
	// Servers are "host", "host:port" or "[v6]:port"; the port is 123 when not given.
	Servers []string
	// Grace is how long Ensure waits for a good answer. Zero means not at all: Ensure looks at the kernel's word and at
	// the floor, and the servers are left to Retry.
	Grace time.Duration
	// Build is the program's build date, which is as good as the clock of the machine that built it.
	Build time.Time
	// FloorFile keeps the last time that was known to be right; empty means that none is kept.
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
	Unverified Source = "unverified" // no time source confirms the clock
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
	// Refused names each source that was asked and not believed, and why.
	Refused []Refusal
	// FloorErr tells why a good time could not be kept for the next start. The clock is right nevertheless.
	FloorErr error
}

// Refusal is one source of time that was not believed, or could not be had.
type Refusal struct {
	From   string // the server as configured, with the address when it is a name; a path; or "kernel"
	Reason string
	Value  string // what it said, may be empty
	// Away says that there is no way to it from here, such as by IPv6 on a node without: that tells nothing of the
	// server.
	Away bool
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
	// patience is how long a server has in the nth round.
	patience func(n int) time.Duration
	// linger is how long a round waits for the rest once there is a majority.
	linger time.Duration

	mu sync.Mutex
	o  Options
	// valid ends when o is replaced.
	valid   context.Context
	replace context.CancelFunc
	// quiet holds the addresses that asked to be left alone, and until when (on the monotonic clock).
	quiet map[netip.AddrPort]time.Time
	// claims are what doubtful sources said of late, as far as they agree.
	claims []claim
	// unset is how often in a row the clock could not be set.
	unset int
}

// New makes a Gate. It asks no server yet.
func New(o Options) *Gate {
	g := &Gate{patience: patience, linger: linger, quiet: map[netip.AddrPort]time.Time{}}
	g.set(o)
	return g
}

// Replace gives the gate other options, such as corrected servers or another way to them. What is being asked by the
// old ones is dropped, and an Ensure or Retry at work asks anew at once. What doubtful sources said, and who asked to
// be left alone, is kept.
func (g *Gate) Replace(o Options) {
	g.mu.Lock()
	old := g.replace
	g.mu.Unlock()
	g.set(o)
	old()
}

func (g *Gate) set(o Options) {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.o = o
	g.valid, g.replace = context.WithCancel(context.Background())
}

func (g *Gate) options() Options {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.o
}

func (g *Gate) validity() context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.valid
}

// Ensure makes the clock right if it can within the grace period, and else sees that it is plausible. Servers that do
// not answer are no error: Result says Unverified and why, and Retry goes on trying. The error is a *SetError, beside a
// Result that is valid, or that of a context that ended.
func (g *Gate) Ensure(ctx context.Context) (Result, error) {
	o := g.options()
	var res Result
	var good bool
	var err error
	if o.Grace > 0 {
		grace, cancel := context.WithTimeout(ctx, o.Grace)
		defer cancel()
		res, good, err = g.keepTrying(grace,
			trying{backoff: backoff{first: 250 * time.Millisecond, most: 4 * time.Second}, once: len(o.Servers) == 0})
	} else {
		res, good, err = g.attempt(ctx, unasked, true)
	}
	if good || err == nil && ctx.Err() != nil {
		return res, g.ended(ctx, good)
	}
	if e := g.restore(&res); e != nil && err == nil {
		g.settable(e)
		err = e
	}
	return res, err
}

func (g *Gate) ended(ctx context.Context, good bool) error {
	if good {
		return nil
	}
	return fmt.Errorf("clock: %w", context.Cause(ctx))
}

// Retry asks again and again, ever more rarely down to once in five minutes, until a server vouches for the time; if
// the clock turns out to be off it is stepped. After each round in vain, tell gets its result. While the clock cannot
// be set it is asked for once a minute, and ever more rarely down to once an hour. The error is for a context that
// ended.
func (g *Gate) Retry(ctx context.Context, tell func(Result)) (Result, error) {
	if n := g.unsettable(); n > 0 && !g.sleep(ctx, g.validity(), slow.delay(n-1)) {
		return Result{Source: Unverified}, g.ended(ctx, false)
	}
	res, good, _ := g.keepTrying(ctx, trying{backoff: backoff{first: 2 * time.Second, most: 5 * time.Minute},
		forever: true, tell: tell})
	return res, g.ended(ctx, good)
}

// Check asks each source once and changes neither the clock nor a file: Result says what Ensure would do at first. The
// error is for a context that ended.
func (g *Gate) Check(ctx context.Context) (Result, error) {
	res, _, _ := g.attempt(ctx, 0, false)
	if ctx.Err() != nil && res.Source == Unverified {
		return res, g.ended(ctx, false)
	}
	return res, nil
}

// Plausible tells whether a time from any source can be right; if not, the error says why in one line.
func (g *Gate) Plausible(t time.Time) error {
	l, _ := g.options().limits()
	return l.plausible.Check(t)
}

// trying is how often to ask.
type trying struct {
	backoff backoff
	once    bool         // not again
	forever bool         // a clock that cannot be set is no end
	tell    func(Result) // is told of each round in vain; may be nil
}

// slow is how often to ask while the clock cannot be set: what may set it, or the right to do so, is not there soon.
var slow = backoff{first: time.Minute, most: time.Hour}

// keepTrying attempts until one is good or the context ends.
func (g *Gate) keepTrying(ctx context.Context, t trying) (res Result, good bool, err error) {
	for n := 0; ; n++ {
		last := res
		valid := g.validity()
		round, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(valid, cancel)
		res, good, err = g.attempt(round, n, true)
		stop()
		cancel()
		g.settable(err)
		switch {
		case good || err != nil && !t.forever:
			return res, good, err
		case n > 0 && ctx.Err() != nil:
			// This attempt was cut short; the one before knows better what is wrong.
			last.Floor = res.Floor
			return last, false, nil
		case t.once:
			return res, false, nil
		case valid.Err() != nil && ctx.Err() == nil:
			n = -1 // the result is that of servers that count no more
			continue
		}
		wait := t.backoff.delay(n)
		if err != nil {
			wait = slow.delay(g.unsettable() - 1)
			why := Refusal{From: "clock", Reason: "cannot be set", Value: oneLine(errors.Unwrap(err))}
			res.Refused = append([]Refusal{why}, res.Refused...)
		}
		if t.tell != nil {
			t.tell(res)
		}
		if !g.sleep(ctx, valid, wait) {
			return res, false, nil
		}
		if valid.Err() != nil {
			n = -1
		}
	}
}

// sleep waits, but no longer than until the options are replaced. It tells whether ctx goes on.
func (g *Gate) sleep(ctx, valid context.Context, d time.Duration) bool {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-valid.Done():
	case <-wait.C:
	}
	return true
}

// settable notes what came of an attempt to set the clock.
func (g *Gate) settable(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.unset = 0
	} else {
		g.unset++
	}
}

func (g *Gate) unsettable() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.unset
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
