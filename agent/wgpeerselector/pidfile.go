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

// WritePID puts our process id in a file at one stroke; a file that nobody holds any more is replaced. It is held by a lock
// until remove, which deletes it if it is still ours, or the end of the process. Anything but a regular file is left alone:
// it is an error, as is a file of a running process.
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
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		pid, _ := readPID(path)
		return fmt.Errorf("process %q runs and holds it: end that one, or name another file", pid)
	}
	return nil
}

// replace writes a file beside and renames it. The file is returned open and locked.
func replace(path, text string) (f *os.File, err error) {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	// Whatever has this name was left by a write that was cut short.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f, err = os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		if _, err = f.WriteString(text); err == nil {
			err = os.Rename(tmp, path)
		}
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
