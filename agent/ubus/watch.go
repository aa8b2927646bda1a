package ubus

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// watch tells when it is worth trying again to connect to one of several sockets: when the socket is made, moved or
// deleted, or when the next folder on the way to it is.
type watch struct {
	changed chan error // gets nil for a change, and an error when no more can be heard; holds one
	file    *os.File
	wanted  map[int32][]string // names, by watched folder
	done    chan struct{}
}

// newWatch watches for the paths. What changes after it returned is not missed.
func newWatch(paths []string) (*watch, error) {
	w, err := openWatch(paths)
	if err != nil {
		return nil, err
	}
	go w.read()
	return w, nil
}

func openWatch(paths []string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w := &watch{
		changed: make(chan error, 1), file: os.NewFile(uintptr(fd), "inotify"),
		wanted: map[int32][]string{}, done: make(chan struct{}),
	}
	for _, p := range paths {
		if err := w.add(fd, p); err != nil {
			w.file.Close()
			return nil, err
		}
	}
	return w, nil
}

// close ends the watch. It may be called again.
func (w *watch) close() {
	w.file.Close()
	<-w.done
}

// add watches the nearest folder that exists.
func (w *watch) add(fd int, path string) error {
	const mask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ATTRIB | unix.IN_ONLYDIR
	for {
		dir, name := nearest(path)
		wd, err := unix.InotifyAddWatch(fd, dir, mask)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue // it has just gone
		}
		if err != nil {
			return &os.PathError{Op: "inotify_add_watch", Path: dir, Err: err}
		}
		w.wanted[int32(wd)] = append(w.wanted[int32(wd)], name)
		if d, _ := nearest(path); d == dir {
			return nil
		}
		// The next folder came before the watch was there.
	}
}

// nearest returns the last folder on the way to path that exists, and the name in it that leads on.
func nearest(path string) (dir, name string) {
	path = filepath.Clean(path)
	for range 100 { // links may lead in a circle
		dir, name = filepath.Dir(path), filepath.Base(path)
		if info, err := os.Stat(dir); dir == path || err == nil && info.IsDir() {
			return dir, name
		}
		if to, err := os.Readlink(dir); err == nil { // it leads to what does not exist yet
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(dir), to)
			}
			dir = to
		}
		path = dir
	}
	return "/", name
}

func (w *watch) read() {
	defer close(w.done)
	buf := make([]byte, 4096)
	for {
		n, err := w.file.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err == nil && !w.matters(buf[:n]) {
			continue
		}
		select {
		case w.changed <- err:
		default:
		}
		if err != nil {
			return
		}
	}
}

// matters looks for what we wait for in a list of struct inotify_event (inotify(7)).
func (w *watch) matters(b []byte) bool {
	const header = 16
	for len(b) >= header {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		n := int(binary.NativeEndian.Uint32(b[12:]))
		if mask&(unix.IN_Q_OVERFLOW|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED) != 0 || n > len(b)-header {
			return true
		}
		got := strings.TrimRight(string(b[header:header+n]), "\x00")
		for _, name := range w.wanted[wd] {
			if name == got {
				return true
			}
		}
		b = b[header+n:]
	}
	return false
}
