package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Kernel is the System that the program runs on.
type Kernel struct{}

// Now is the wall clock, without Go's monotonic reading.
func (Kernel) Now() time.Time { return time.Now().Round(0) }

// Synchronised asks adjtimex(2). A kernel whose clock was merely set, by us or by hand, says no.
func (Kernel) Synchronised() (bool, error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil {
		return false, fmt.Errorf("adjtimex: %w", err)
	}
	return state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0, nil
}

// Step sets the wall clock; it needs CAP_SYS_TIME.
func (Kernel) Step(t time.Time) error {
	// On 32 bit this fails from 2038 on, as does Go's own clock there.
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return fmt.Errorf("%s does not fit the kernel's clock: %w", stamp(t), err)
	}
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("clock_settime: %w", err)
	}
	return nil
}
