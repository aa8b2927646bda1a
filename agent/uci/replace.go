package uci

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// errMoved says that the locked file is no longer the one at the path.
var errMoved = errors.New("the file is replaced by others again and again")

// errIrregular says that there is something, but not a file.
var errIrregular = errors.New("not a regular file: remove it")

// onStep is called between the steps of a commit, by tests which stop it there.
var onStep func(step string)

func step(name string) {
	if onStep != nil {
		onStep(name)
	}
}

// openLocked opens the file at path and locks it (flock). A file that was replaced while we waited for the lock is
// no process's any more, so the one now in its place is taken.
func openLocked(path string, flag, how int) (*os.File, error) {
	for {
		// Opening a pipe would wait for its other end.
		if info, err := os.Stat(path); err != nil {
			return nil, err
		} else if !info.Mode().IsRegular() {
			return nil, &fs.PathError{Op: "open", Path: path, Err: errIrregular}
		}
		f, err := os.OpenFile(path, flag, 0)
		if err != nil {
			return nil, err
		}
		lock := lockToRead
		if how == unix.LOCK_EX {
			lock = func(f *os.File) error { return flock(f, how) }
		}
		if err := lock(f); err != nil {
			f.Close()
			return nil, err
		}
		opened, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(opened, now) {
			return f, nil
		}
		f.Close()
	}
}

// flock locks a file until it is closed. As in libuci, a system without such locks is no error.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil, errors.Is(err, unix.ENOSYS):
			return nil
		case !errors.Is(err, unix.EINTR):
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

// lockFile locks the file at path for a commit. If there is none, old is nil and its folder is locked where that can be
// had, as an empty file made only for the lock would be seen by readers.
func lockFile(path string) (lock *os.File, old fs.FileInfo, err error) {
	// For writing, as libuci does: on an overlay, this is what moves the file out of the read-only layer.
	lock, err = openLocked(path, os.O_RDWR, unix.LOCK_EX)
	if err == nil {
		old, err = lock.Stat()
	} else if errors.Is(err, fs.ErrNotExist) {
		if lock, err = os.Open(filepath.Dir(path)); err != nil {
			return nil, nil, err
		}
		// Not waited for, as any user may lock a folder. Of two who make the file at once, rename lets one do so.
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINTR) {
			err = nil
		}
		if err == nil && exists(path) {
			err = errMoved
		}
	}
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	return lock, old, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// The names of libuci's temporary files differ, for those may belong to a process that has released the lock already.
func tempPrefix(config string) string { return "." + config + ".new-" }

// removeStale removes the temporary files of commits that were killed. A process that is alive has locked its own.
func removeStale(dir, config string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it is only about tidiness
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), tempPrefix(config)) {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.Remove(f.Name())
		}
		f.Close()
	}
}

// replace puts a file with that text at path, whose present file, if any, is old and locked. Either it is there for
// good, or there is an error. Then the old one is in its place, unless it is the very last step that fails, syncing the
// folder.
func replace(path, config string, old fs.FileInfo, text []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, tempPrefix(config)+"*") // mode 0600
	if err != nil {
		return err
	}
	// Closing it last keeps it locked until the work is done.
	defer f.Close()
	if err := fillTemp(f, old, text); err != nil {
		os.Remove(f.Name())
		return err
	}
	if err := rename(f.Name(), path, old); err != nil {
		os.Remove(f.Name())
		return err
	}
	step("renamed")
	return syncDir(dir)
}

// fillTemp writes the temporary file, so that nothing but its name is left to be changed.
func fillTemp(f *os.File, old fs.FileInfo, text []byte) error {
	step("created")
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return errMoved // a process that locked a newer file takes ours for stale
	} else if err != nil {
		return err
	}
	step("temporary file locked")
	if _, err := f.Write(text); err != nil {
		return err
	}
	step("written")
	// After the text: writing takes the setuid bit away, where the right to keep it is missing.
	if old != nil {
		if err := imitate(f, old); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	step("synced")
	return nil
}

// imitate gives a file the owner, group and mode of the old one, as far as that is allowed. In a jail root may be
// without the right to change owners (CAP_CHOWN), and a new file then has the group of the process. That is no reason
// to lose a commit.
func imitate(f *os.File, old fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	is, ok1 := info.Sys().(*syscall.Stat_t)
	was, ok2 := old.Sys().(*syscall.Stat_t)
	mode := old.Mode()
	if ok1 && ok2 && (is.Uid != was.Uid || is.Gid != was.Gid) {
		kept, err := chown(f, is, was)
		if err != nil {
			return err
		}
		mode = narrow(mode, kept)
		step("owner set")
	}
	// After the owner, whose change takes the setuid bit away.
	if err := f.Chmod(mode); err != nil {
		return err
	}
	step("mode set")
	return nil
}

// owners says whose a file could be made.
type owners struct{ user, group bool }

// chown makes a file the old one's owner's and group's. What is not permitted is left as it is.
func chown(f *os.File, is, was *syscall.Stat_t) (kept owners, err error) {
	err = f.Chown(int(was.Uid), int(was.Gid))
	if err == nil {
		return owners{true, true}, nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return owners{}, err
	}
	// An owner may give a file to a group of his own, even where he may not give it to another owner.
	kept = owners{user: is.Uid == was.Uid, group: is.Gid == was.Gid}
	if !kept.group {
		err = f.Chown(-1, int(was.Gid))
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return owners{}, err
		}
		kept.group = err == nil
	}
	return kept, nil
}

// narrow takes rights from a mode that would be new to a user: another group gets no more than all others have, and no
// program runs in the name of another owner or group.
func narrow(mode fs.FileMode, kept owners) fs.FileMode {
	if !kept.user {
		mode &^= fs.ModeSetuid
	}
	if !kept.group {
		mode &^= fs.ModeSetgid
		mode &= ^fs.FileMode(0o070) | mode<<3
	}
	return mode
}

// rename gives the temporary file its final name, if the file there is still the old one.
func rename(temp, path string, old fs.FileInfo) error {
	if old == nil {
		err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
		switch {
		case errors.Is(err, unix.EEXIST), errors.Is(err, unix.ENOENT): // ours was taken for stale, see above
			return errMoved
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
			// A file system, or a kernel, that cannot do this.
			return os.Rename(temp, path)
		case err != nil:
			return &os.LinkError{Op: "rename", Old: temp, New: path, Err: err}
		}
		return nil
	}
	// libuci renames after it has released the lock, so our lock does not keep it off.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(old, now) {
		return errMoved
	}
	return os.Rename(temp, path)
}

// syncDir makes the names in a folder last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	step("folder synced")
	return nil
}
