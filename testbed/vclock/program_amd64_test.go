package vclock_test

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oldTime reads the clock by time(2), in both its forms.
func (r *report) oldTime() error {
	var stored int64
	got, _, errno := unix.Syscall(unix.SYS_TIME, uintptr(unsafe.Pointer(&stored)), 0, 0)
	if errno != 0 || int64(got) != stored {
		return fmt.Errorf("time: %d, stored %d: %w", got, stored, errno)
	}
	r.Times["time"] = time.Unix(stored, 0).UTC()
	got, _, errno = unix.Syscall(unix.SYS_TIME, 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("time: %w", errno)
	}
	r.Times["time without a place"] = time.Unix(int64(got), 0).UTC()
	return nil
}
