//go:build linux && (386 || arm || mips || mipsle)

package clock

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func now() time.Time {
	if t, ok := gettime64(); ok {
		return t
	}
	return time.Now().Round(0)
}

// gettime64 reads the clock as 64 bits; it is not there before Linux 5.1.
func gettime64() (time.Time, bool) {
	var ts struct{ sec, nsec int64 } // struct __kernel_timespec, linux/time_types.h
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME64, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Unix(ts.sec, ts.nsec), errno == 0
}
