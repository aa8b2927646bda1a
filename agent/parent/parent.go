// Package parent tells when the process that started this one has ended.
package parent

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrOrphan means that the parent has ended before it could be watched.
var ErrOrphan = errors.New("the process that started us has ended already")

// Watch calls ended once when the parent process has ended, from another goroutine. procd's ujail is such a parent:
// when it is killed, for example because memory is short, its child lives on and holds the lock that the next agent
// needs.
//
// A pidfd is about the process. PR_SET_PDEATHSIG is about the thread that forked, is one thread's of ours, and is
// cleared by a change of the group. Neither is inherited by the process of userspace WireGuard, which outlives us.
//
// The parent is the one at the time of the call; process 1 takes over those whose parent has ended.
func Watch(ended func()) error {
	parent := unix.Getppid()
	if parent == 1 {
		return ErrOrphan
	}
	fd, err := unix.PidfdOpen(parent, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.10, which can wait all the same
		if fd, err = unix.PidfdOpen(parent, 0); err == nil {
			err = unix.SetNonblock(fd, true)
		}
	}
	if errors.Is(err, unix.ESRCH) {
		return ErrOrphan
	}
	if err != nil {
		return fmt.Errorf("watch process %d, which started us: %w", parent, err)
	}
	// Now the number cannot be another process's: it was our parent's after the pidfd was made.
	if unix.Getppid() != parent {
		unix.Close(fd)
		return ErrOrphan
	}
	f := os.NewFile(uintptr(fd), "parent")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return fmt.Errorf("watch process %d, which started us: %w", parent, err)
	}
	go func() {
		defer f.Close()
		// The function is called again whenever the pidfd may be readable.
		err := raw.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 && err == nil
		})
		if err == nil {
			ended()
		}
	}()
	return nil
}
