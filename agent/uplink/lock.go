package uplink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lock takes the uplink for this process. The kernel lets go of it when the process ends, however that happens.
func lock(runDir, name string) (unlock func(), err error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return nil, fmt.Errorf("uplink %s: make the run directory: %w", name, err)
	}
	path := filepath.Join(runDir, name+".lock")
	// Only root may open the file: a user who can open it can lock it, and keep us from running.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case err == nil:
		if err = f.Chmod(0o600); err != nil { // one of an earlier version
			f.Close()
		}
	case errors.Is(err, unix.EROFS): // one that is there can be locked all the same
		if old, oerr := os.Open(path); oerr == nil {
			f, err = old, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("uplink %s: %w", name, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("uplink %s: lock %s: %w", name, path, err)
		}
		who, _ := os.ReadFile(path)
		return nil, fmt.Errorf("uplink %s: %w: process %s holds %s", name, ErrLocked, strings.TrimSpace(string(who)),
			path)
	}
	if err := f.Truncate(0); err == nil {
		f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return func() { f.Close() }, nil
}

// NoRoom says that an error is that of a file system which is full or read-only. The tunnel does not need what could
// not be written.
func NoRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// Await takes the uplink for this process as soon as no other has it. The error is ErrLocked when ctx has ended before.
func Await(ctx context.Context, runDir, name string) (unlock func(), err error) {
	try := time.NewTicker(50 * time.Millisecond) // a lock has no event that a deadline could end
	defer try.Stop()
	for {
		unlock, err = lock(runDir, name)
		switch {
		case NoRoom(err):
			return func() {}, nil // there is no lock, and so no other has it
		case !errors.Is(err, ErrLocked):
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-try.C:
		}
	}
}

// Running says whether a process holds the uplink at this moment.
func Running(runDir, name string) bool {
	f, err := os.Open(filepath.Join(runDir, name+".lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
