// Package alarm wakes a goroutine at a time. It is for one that waits most of its life: a timer of Go's has the
// runtime's monitor thread wake up as well, and both once more when it was put off.
package alarm

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/nowait"
)

// Alarm goes off once each time it was set, and may go off once more right after it was set anew. Its methods are for
// one goroutine.
type Alarm struct {
	c     chan time.Time
	fd    int
	file  *os.File // of fd
	ended chan struct{}
	plain *time.Timer // in place of the kernel's
}

// New makes an Alarm that is not set.
func New() *Alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return Plain() // a kernel without CONFIG_TIMERFD
	}
	a := &Alarm{c: make(chan time.Time, 1), fd: fd, file: os.NewFile(uintptr(fd), "timer"), ended: make(chan struct{})}
	go a.wait()
	return a
}

// Plain makes one of a timer of Go's, which keeps the virtual time of tests.
func Plain() *Alarm {
	a := &Alarm{plain: time.NewTimer(time.Hour)}
	a.plain.Stop()
	return a
}

// C gives the moment when it has gone off. It is to be asked for after each Set.
func (a *Alarm) C() <-chan time.Time {
	if a.plain != nil {
		return a.plain.C
	}
	return a.c
}

// Set has it go off after that time, and not when it was set to go off before.
func (a *Alarm) Set(after time.Duration) {
	if a.plain == nil {
		select { // what it was set to before; after SetTimer this could be the new end already
		case <-a.c:
		default:
		}
		if nowait.SetTimer(a.fd, after) == nil {
			return
		}
		a.Stop()
		a.plain = time.NewTimer(after)
	}
	a.plain.Reset(after)
}

// Stop ends it: it does not go off any more.
func (a *Alarm) Stop() {
	if a.plain != nil {
		a.plain.Stop()
		return
	}
	a.file.Close()
	<-a.ended
}

// wait tells of each end of the kernel's timer.
func (a *Alarm) wait() {
	defer close(a.ended)
	raw, err := a.file.SyscallConn()
	if err != nil {
		return // stopped
	}
	times := make([]byte, 8) // how often it has ended
	raw.Read(func(fd uintptr) bool {
		if _, err := nowait.Read(int(fd), times); err == nil {
			select {
			case a.c <- time.Now():
			default:
			}
		}
		return false // it is called again after the next end, until the file is closed
	})
}
