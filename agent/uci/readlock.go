package uci

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// readWait is how long a reader waits for a lock. A commit takes far less. All users may open most files of
// /etc/config, and a user who can open a file can lock it for ever. A reader then goes on without the lock: a file is
// replaced as a whole, so that no reader sees half of it.
var readWait = 5 * time.Second

// givenUp has the waits for locks that no reader waits for any more, by file: a channel that is closed at the end of
// the wait. The kernel has no limit of time for flock(2), so such a wait lasts for as long as the lock is held.
var givenUp sync.Map

// lockToRead locks a file for reading until it is closed, if that can be had in time.
func lockToRead(f *os.File) error {
	if had, err := tryToRead(f); had || err != nil {
		return err
	}
	if earlier, ok := givenUp.Load(f.Name()); ok {
		select {
		case <-earlier.(chan struct{}):
			givenUp.CompareAndDelete(f.Name(), earlier)
		default:
			return nil // the lock is still held by the same one
		}
	}
	same, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	locked, over := make(chan error, 1), make(chan struct{})
	go func() {
		f := os.NewFile(uintptr(same), f.Name())
		locked <- flock(f, unix.LOCK_SH)
		f.Close() // the lock stays until the reader has closed its own
		close(over)
	}()
	timeout := time.NewTimer(readWait)
	defer timeout.Stop()
	select {
	case err := <-locked:
		return err
	case <-timeout.C:
		givenUp.Store(f.Name(), over)
		return nil
	}
}

// tryToRead locks a file for reading if that can be had at once. As in libuci, a system without such locks is no error.
func tryToRead(f *os.File) (had bool, err error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		switch {
		case err == nil, errors.Is(err, unix.ENOSYS):
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
