package vclock

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is a virtual CLOCK_REALTIME: the machine's time plus an offset. It is
// safe for concurrent use and outlives the programs that it serves, as a
// machine's clock does.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
	state  unix.Timex // what adjtimex reports, without the time
	refuse unix.Errno // what a program that sets the clock gets; 0: the clock is set
	steps  []Step
	execs  []Exec
	onStep []func(Step)
	onExec []func(Exec)
}

// Step is one change of the clock made by a program.
type Step struct {
	At   time.Time // the machine's time, with its monotonic reading
	From time.Time // virtual time before
	To   time.Time // virtual time after
	PID  int       // process that asked
	Call string    // "clock_settime", "settimeofday", "adjtimex" or "clock_adjtime"
}

// Exec is one call of execve or execveat made by a program, whether or not it
// succeeded.
type Exec struct {
	At   time.Time // the machine's time, with its monotonic reading
	PID  int       // process that called
	Path string    // as passed by the program; "" when its memory could not be read
	Args []string  // argument vector, cut after 64 strings
}

// The values of a kernel that never heard of an NTP server, and of one that
// did, in the units of struct timex (linux/timex.h, kernel/time/ntp.c).
const (
	unsyncedError = 16_000_000 // µs, NTP_PHASE_LIMIT
	syncedError   = 5_000      // µs
	tolerance     = 500 << 16  // scaled ppm, MAXFREQ_SCALED
)

// New returns a clock that is offset away from the machine's and, like any
// clock after a boot, not synchronised.
func New(offset time.Duration) *Clock {
	c := &Clock{offset: offset}
	c.state.Tick = 10_000
	c.state.Constant = 2
	c.state.Precision = 1
	c.state.Tolerance = tolerance
	c.unsync()
	return c
}

// Now returns the virtual time, without a monotonic reading.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

// Offset returns how far the clock is ahead of the machine's.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// Set makes the virtual time t. The lab's own changes are not recorded as
// steps and leave the synchronised status alone.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = t.Round(0).Sub(time.Now().Round(0))
}

// Jump moves the virtual time by d.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// SetSynchronised chooses what adjtimex says from now on. A program that sets
// the clock makes it unsynchronised again, as the kernel does.
func (c *Clock) SetSynchronised(synchronised bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !synchronised {
		c.unsync()
		return
	}
	c.state.Status = c.state.Status&^unix.STA_UNSYNC | unix.STA_PLL
	c.state.Maxerror = syncedError
	c.state.Esterror = syncedError
}

// Refuse has each program that sets the clock fail with that error, such as EPERM; 0 lets them set it again.
func (c *Clock) Refuse(errno unix.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = errno
}

// Synchronised reports what adjtimex says.
func (c *Clock) Synchronised() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Status&unix.STA_UNSYNC == 0
}

// Steps returns the changes that programs made, oldest first.
func (c *Clock) Steps() []Step {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.steps)
}

// Execs returns the calls of execve that programs made, oldest first. The
// lab's own start of a program is not among them.
func (c *Clock) Execs() []Exec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.execs)
}

// OnStep has f called after each step, once the program has its answer. f runs
// on the supervisor's goroutine: while it lasts, the program's next call waits.
func (c *Clock) OnStep(f func(Step)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onStep = append(c.onStep, f)
}

// OnExec has f called after each execve is let through; see OnStep.
func (c *Clock) OnExec(f func(Exec)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onExec = append(c.onExec, f)
}

func (c *Clock) now() time.Time { return time.Now().Round(0).Add(c.offset) }

func (c *Clock) unsync() {
	c.state.Status |= unix.STA_UNSYNC
	c.state.Maxerror = unsyncedError
	c.state.Esterror = unsyncedError
}

// step moves the clock on behalf of a program and returns what there is left
// to do once the program has its answer. The caller holds c.mu.
func (c *Clock) step(pid int, call string, d time.Duration) (after func()) {
	from := c.now()
	s := Step{At: time.Now(), From: from, To: from.Add(d), PID: pid, Call: call}
	c.offset += d
	c.steps = append(c.steps, s)
	hooks := slices.Clone(c.onStep)
	return func() {
		for _, f := range hooks {
			f(s)
		}
	}
}

func (c *Clock) exec(e Exec) (after func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.execs = append(c.execs, e)
	hooks := slices.Clone(c.onExec)
	return func() {
		for _, f := range hooks {
			f(e)
		}
	}
}
