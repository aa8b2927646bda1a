// Package cputime tells how much of the processors a process has used.
package cputime

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Of is what a process has used so far, all its threads together, without its children.
func Of(pid int) (time.Duration, error) {
	// clock_getcpuclockid(3): the clock of a process is its number, inverted, and CPUCLOCK_SCHED
	// (linux/posix-timers.h).
	const sched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|sched, &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
