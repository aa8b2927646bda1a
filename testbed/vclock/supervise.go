package vclock

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notif is struct seccomp_notif, response struct seccomp_notif_resp
// (linux/seccomp.h).
type notif struct {
	ID    uint64
	PID   uint32 // of the thread, in our pid namespace
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

type response struct {
	ID    uint64
	Val   int64
	Error int32 // negative errno
	Flags uint32
}

const (
	notifIDValid  = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	notifSetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
)

// Supervise answers the calls of all programs under the filter behind
// listener (from Install), which it takes over. It returns at once; done is
// closed when the last of these programs is gone.
//
// The first execve on a listener is the launcher's own and is not recorded.
func (c *Clock) Supervise(listener int) (done <-chan struct{}) {
	ch := make(chan struct{})
	// Saves a test through the scheduler per call; Linux 6.6, and not needed.
	_ = unix.IoctlSetInt(listener, notifSetFlags, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	go func() {
		defer close(ch)
		defer unix.Close(listener)
		s := supervisor{clock: c, fd: listener}
		for s.next() {
		}
	}()
	return ch
}

type supervisor struct {
	clock    *Clock
	fd       int
	launched bool
}

// next answers one call and reports whether there may be more.
func (s *supervisor) next() bool {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil {
		return err == unix.EINTR
	}
	if fds[0].Revents&unix.POLLIN == 0 {
		return false // POLLHUP: no process is left under the filter
	}
	var n notif
	switch err := ioctl(s.fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err {
	case nil:
	case unix.EINTR, unix.ENOENT: // the caller was killed meanwhile
		return true
	default:
		return false
	}
	a := s.answer(&n)
	r := response{ID: n.ID, Val: a.val, Error: -int32(a.errno)}
	if a.resume {
		r.Flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	// ENOENT here means that the caller died while it waited: nothing to do.
	_ = ioctl(s.fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	if a.after != nil {
		a.after()
	}
	return true
}

func (s *supervisor) answer(n *notif) answer {
	mem := target(n.PID)
	// A thread id may be used again once its owner is dead; a call that still
	// waits proves that it is not.
	valid := func() bool {
		return ioctl(s.fd, notifIDValid, unsafe.Pointer(&n.ID)) == nil
	}
	switch n.Nr {
	case unix.SYS_EXECVE, unix.SYS_EXECVEAT:
		return s.exec(n, mem)
	case unix.SYS_CLOCK_GETTIME: // often: no look at /proc
		return s.clock.call(int(n.Nr), n.Args, int(n.PID), mem, valid)
	}
	return s.clock.call(int(n.Nr), n.Args, processOf(int(n.PID)), mem, valid)
}

func (s *supervisor) exec(n *notif, mem target) answer {
	if !s.launched {
		s.launched = true
		return answer{resume: true}
	}
	e := Exec{At: time.Now(), PID: processOf(int(n.PID))}
	path, argv := n.Args[0], n.Args[1]
	if n.Nr == unix.SYS_EXECVEAT {
		path, argv = n.Args[1], n.Args[2]
	}
	e.Path, _ = mem.str(path)
	if n.Nr == unix.SYS_EXECVEAT && e.Path == "" {
		e.Path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.PID, int32(n.Args[0])))
	}
	e.Args = mem.strs(argv, 64)
	return answer{resume: true, after: s.clock.exec(e)}
}

// processOf returns the process that thread tid belongs to.
func processOf(tid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err == nil {
		_, rest, _ := bytes.Cut(status, []byte("\nTgid:"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if pid, err := strconv.Atoi(string(bytes.TrimSpace(line))); err == nil {
			return pid
		}
	}
	return tid
}

func ioctl(fd int, req uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
