package uci

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// protectWait is how long Protect waits for a lock. A commit takes far less.
const protectWait = 5 * time.Second

// others is what a mode allows those who are neither the owner nor of the group.
const others fs.FileMode = 0o007

// Exposed says that the file at path may be opened by all users. No file is no error.
func Exposed(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&others != 0
}

// Protect takes the rights of other users to the file at path away: a user who can open the file can read the private
// key in it, and hold the lock that each reading and each commit waits for. changed says that there were such rights. A
// file whose lock is held for longer than a commit takes is replaced by a copy.
func Protect(path string) (changed bool, err error) {
	if !Exposed(path) {
		return false, nil
	}
	if path, err = follow(path); err == nil {
		err = protect(path, protectWait)
	}
	if err != nil {
		return false, fmt.Errorf("cannot take the rights of all users to %s away: %w", path, err)
	}
	return true, nil
}

func protect(path string, wait time.Duration) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	// A user who has not opened it by now cannot lock it from here on.
	if err := f.Chmod(info.Mode() &^ others); err != nil {
		f.Close()
		return err
	}
	locked := make(chan error, 1)
	go func() {
		defer f.Close()
		locked <- flock(f, unix.LOCK_SH)
	}()
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case err := <-locked:
		return err
	case <-timeout.C:
	}
	return renew(path, info.Mode()&^others)
}

// renew puts a copy in the place of a file, without its lock.
func renew(path string, mode fs.FileMode) error {
	old, err := os.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	text, err := io.ReadAll(old)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), tempPrefix(filepath.Base(path))+"*")
	if err != nil {
		return err
	}
	defer tmp.Close()
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}
