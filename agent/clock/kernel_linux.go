package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Kernel is the System that the program runs on.
type Kernel struct{}

// Now is the wall clock, without Go's monotonic reading. On 32 bit Go's own begins anew in 1901 after January 2038;
// this one does not where the kernel has a call for it, which is since Linux 5.1.
func (Kernel) Now() time.Time { return now() }

// Synchronised asks adjtimex(2). A kernel whose clock was merely set, by us or by hand, says no.
func (Kernel) Synchronised() (bool, error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil {
		return false, fmt.Errorf("adjtimex: %w", err)
	}
	return state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0, nil
}

// Step sets the wall clock; it needs CAP_SYS_TIME. On 32 bit it refuses what is after January 2038 (ERANGE), though the
// kernel might take it: Go's own clock, and that of most programs there, would show 1901.
func (Kernel) Step(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return fmt.Errorf("%s does not fit the kernel's clock: %w", stamp(t), err)
	}
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("clock_settime: %w", err)
	}
	return nil
}
