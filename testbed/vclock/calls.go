package vclock

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// answer is what a filtered call returns to its program.
type answer struct {
	val    int64
	errno  unix.Errno
	resume bool   // let the kernel carry the call out
	after  func() // to be done once the program has its answer
}

func failed(err error) answer {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		errno = unix.EFAULT
	}
	return answer{errno: errno}
}

// timeMax is the largest second that the kernel lets a clock be set to:
// KTIME_SEC_MAX less 30 years of uptime (linux/time64.h).
const timeMax = 9223372036 - 30*365*24*3600

// staReadOnly are the status bits that only the kernel sets, STA_RONLY of
// linux/timex.h.
const staReadOnly = 0xff00

// call answers one filtered call of process pid, whose memory is mem. valid
// tells whether the call is still waiting, which must hold before its memory
// is written or the clock moved.
func (c *Clock) call(nr int, args [6]uint64, pid int, mem target, valid func() bool) answer {
	switch nr {
	case unix.SYS_CLOCK_GETTIME:
		now := c.Now()
		return put(mem, args[1], &[2]int64{now.Unix(), int64(now.Nanosecond())}, valid)
	case unix.SYS_GETTIMEOFDAY:
		return c.gettimeofday(args, mem, valid)
	case sysTime:
		now := c.Now().Unix()
		if args[0] == 0 {
			return answer{val: now}
		}
		a := put(mem, args[0], &now, valid)
		a.val = now
		return a
	case unix.SYS_CLOCK_SETTIME:
		if uint32(args[0]) != unix.CLOCK_REALTIME {
			return answer{errno: unix.EINVAL}
		}
		return c.settime("clock_settime", args[1], 1, pid, mem, valid)
	case unix.SYS_SETTIMEOFDAY:
		if args[0] == 0 { // a time zone alone: never the kernel's business here
			return answer{}
		}
		return c.settime("settimeofday", args[0], 1000, pid, mem, valid)
	case unix.SYS_ADJTIMEX:
		return c.adjtime("adjtimex", args[0], pid, mem, valid)
	case unix.SYS_CLOCK_ADJTIME:
		if uint32(args[0]) != unix.CLOCK_REALTIME {
			return answer{errno: unix.EINVAL}
		}
		return c.adjtime("clock_adjtime", args[1], pid, mem, valid)
	}
	return answer{errno: unix.ENOSYS}
}

func (c *Clock) gettimeofday(args [6]uint64, mem target, valid func() bool) answer {
	if args[0] != 0 {
		now := c.Now()
		a := put(mem, args[0], &[2]int64{now.Unix(), int64(now.Nanosecond() / 1000)}, valid)
		if a.errno != 0 {
			return a
		}
	}
	if args[1] != 0 { // struct timezone: UTC
		return put(mem, args[1], new([2]int32), valid)
	}
	return answer{}
}

// settime reads a pair of seconds and fractions, each of unit nanoseconds.
func (c *Clock) settime(name string, addr uint64, unit int64, pid int, mem target, valid func() bool) answer {
	var ts [2]int64
	if err := mem.read(addr, bytesOf(&ts)); err != nil {
		return failed(err)
	}
	if ts[0] < 0 || ts[0] >= timeMax || ts[1] < 0 || ts[1] >= int64(time.Second)/unit {
		return answer{errno: unix.EINVAL}
	}
	if !valid() {
		return answer{errno: unix.EINTR}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != 0 {
		return answer{errno: c.refuse}
	}
	after := c.step(pid, name, time.Unix(ts[0], ts[1]*unit).Sub(c.now()))
	c.unsync()
	return answer{after: after}
}

// adjtime is the kernel's do_adjtimex, less the steering: modes are kept and
// reported, and only ADJ_SETOFFSET moves the clock.
func (c *Clock) adjtime(name string, addr uint64, pid int, mem target, valid func() bool) answer {
	var tx unix.Timex
	if err := mem.read(addr, bytesOf(&tx)); err != nil {
		return failed(err)
	}
	unit := int64(1000)
	if tx.Modes&unix.ADJ_NANO != 0 {
		unit = 1
	}
	single := tx.Modes&0x8000 != 0 // ADJ_ADJTIME, the old adjtime(3): no mode bits to keep
	setOffset := !single && tx.Modes&unix.ADJ_SETOFFSET != 0
	if setOffset && (tx.Time.Usec < 0 || tx.Time.Usec >= int64(time.Second)/unit) {
		return answer{errno: unix.EINVAL}
	}
	if !valid() {
		return answer{errno: unix.EINTR}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != 0 && tx.Modes != 0 {
		return answer{errno: c.refuse}
	}
	var after func()
	if !single {
		c.keep(&tx)
	}
	if setOffset {
		after = c.step(pid, name, time.Duration(tx.Time.Sec)*time.Second+time.Duration(tx.Time.Usec*unit))
		c.unsync()
	}
	modes, now := tx.Modes, c.now()
	tx = c.state
	tx.Modes = modes
	tx.Time.Sec = now.Unix()
	tx.Time.Usec = int64(now.Nanosecond())
	if tx.Status&unix.STA_NANO == 0 {
		tx.Time.Usec /= 1000
	}
	a := answer{after: after}
	if err := mem.write(addr, bytesOf(&tx)); err != nil {
		a.errno = failed(err).errno
	} else if tx.Status&(unix.STA_UNSYNC|unix.STA_CLOCKERR) != 0 {
		a.val = unix.TIME_ERROR
	}
	return a
}

// keep stores what the modes of tx say. The caller holds c.mu.
func (c *Clock) keep(tx *unix.Timex) {
	if tx.Modes&unix.ADJ_STATUS != 0 {
		c.state.Status = c.state.Status&staReadOnly | tx.Status&^staReadOnly
	}
	if tx.Modes&unix.ADJ_NANO != 0 {
		c.state.Status |= unix.STA_NANO
	}
	if tx.Modes&unix.ADJ_MICRO != 0 {
		c.state.Status &^= unix.STA_NANO
	}
	for _, f := range []struct {
		mode uint32
		dst  *int64
		src  int64
	}{
		{unix.ADJ_FREQUENCY, &c.state.Freq, tx.Freq},
		{unix.ADJ_MAXERROR, &c.state.Maxerror, tx.Maxerror},
		{unix.ADJ_ESTERROR, &c.state.Esterror, tx.Esterror},
		{unix.ADJ_TICK, &c.state.Tick, tx.Tick},
	} {
		if tx.Modes&f.mode != 0 {
			*f.dst = f.src
		}
	}
	switch {
	case tx.Modes&unix.ADJ_TAI != 0: // shares its value's field with the next
		c.state.Tai = int32(tx.Constant)
	case tx.Modes&unix.ADJ_TIMECONST != 0:
		c.state.Constant = tx.Constant
	}
}

// put writes v to the program's memory and answers 0.
func put[T int64 | [2]int64 | [2]int32](mem target, addr uint64, v *T, valid func() bool) answer {
	if !valid() {
		return answer{errno: unix.EINTR}
	}
	if err := mem.write(addr, bytesOf(v)); err != nil {
		return failed(err)
	}
	return answer{}
}
