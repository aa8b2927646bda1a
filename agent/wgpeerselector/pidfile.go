package wgpeerselector

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPIDFile is how much of a PID file is read, in bytes. More than a number is something else.
const maxPIDFile = 64

// WritePID writes our process id to a file, which is there as a whole or not at all. A file that no process holds any
// more is replaced. A lock holds ours until remove, which deletes it if it is still ours, or until the end of the
// process. Anything but a regular file is left alone: it is an error, as is a file of a running process.
func WritePID(path string) (remove func(), err error) {
	if err := checkFree(path); err != nil {
		return nil, fmt.Errorf("PID file %s: %w", path, err)
	}
	f, err := replace(path, strconv.Itoa(os.Getpid())+"\n")
	if err != nil {
		return nil, fmt.Errorf("PID file %s: %w: name a file in a folder that is there and can be written", path, err)
	}
	return func() {
		if pid, err := readPID(path); err == nil && pid == strconv.Itoa(os.Getpid()) {
			os.Remove(path)
		}
		f.Close()
	}, nil
}

// checkFree says why the file is not to be replaced.
func checkFree(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("there is something that is not a regular file: name another")
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if held(f) {
		pid, _ := readPID(path)
		return fmt.Errorf("process %q runs and holds it: end that one, or name another file", pid)
	}
	return nil
}

// hold locks the file for as long as it is open. All users may read a PID file, and each user who can read a file can
// take the lock of flock(2) on it, or this one for reading. This one for writing needs the right to write (fcntl(2),
// open file description locks).
func hold(f *os.File) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}

// held says that another has called hold.
func held(f *os.File) bool {
	l := unix.Flock_t{Type: unix.F_RDLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type == unix.F_WRLCK
}

// replace writes a file beside and renames it. The file is returned open and locked.
func replace(path, text string) (f *os.File, err error) {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	// A file of this name was left by a write that was cut short.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f, err = os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	if err = hold(f); err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		f.Close()
		os.Remove(tmp)
		return nil, err
	}
	return f, nil
}

// readPID gives what the file says, without white space.
func readPID(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, maxPIDFile)
	n, err := f.Read(b)
	if n == 0 && err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b[:n])), nil
}
