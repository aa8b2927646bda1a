package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// readKeyFile gives the content of a key file; os.ErrNotExist when there is none.
func readKeyFile(path string) (string, error) {
	place := "file " + path
	link, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: no private key stored yet: %w", place, fs.ErrNotExist)
	}
	if err != nil {
		return "", fmt.Errorf("%s: cannot read the private key: %w", place, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && link.Mode()&fs.ModeSymlink != 0 {
		// Likely a disk that is not mounted yet. A new key in the link's place would hide the real one.
		return "",
			fmt.Errorf(
				"%s: the private key is a symbolic link to nowhere: bring its target back, or remove the link to "+
					"have a new key made", place)
	}
	if err != nil {
		return "", fmt.Errorf("%s: cannot read the private key: %w", place, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: the private key is not in a regular file: name another key file", place)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: cannot read the private key: %w", place, err)
	}
	defer f.Close()
	// A key has 45 bytes; far more is some other file.
	text, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return "", fmt.Errorf("%s: cannot read the private key: %w", place, err)
	}
	return string(text), nil
}

// writeKeyFile makes a key file that is there whole, or not at all, whenever the power goes. It never replaces one.
// The caller holds the folder's lock.
func writeKeyFile(path string, key *wgtypes.Key) (err error) {
	tmp := tmpName(path)
	// A file of this name was left by a write that was cut short.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp)
		}
	}()
	_, err = io.WriteString(f, key.String()+"\n")
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// The file system has no NOREPLACE: only the lock protects the file.
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", tmp, path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// publish makes the file hold the public key, where it does not yet: flash wears.
func publish(path string, key wgtypes.Key) error {
	want := key.String() + "\n"
	if have, err := os.ReadFile(path); err == nil && string(have) == want {
		return nil
	}
	unlock, err := lockFolder(path)
	if err != nil {
		return err
	}
	defer unlock()
	tmp := tmpName(path)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err == nil {
		_, err = io.WriteString(f, want)
		if serr := f.Sync(); err == nil {
			err = serr
		}
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("file %s: cannot write the public key: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

func tmpName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
}

// folderLock is the name of the file that is locked instead of the folder: each user who can open a folder can lock it.
const folderLock = ".wguplink.lock"

// lockFolder makes the folder of a key file, private to us, and locks it by a file in it.
func lockFolder(path string) (unlock func(), err error) {
	dir := filepath.Dir(path)
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("file %s: cannot make its folder: %w", path, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, folderLock), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("file %s: cannot lock its folder: %w", path, err)
	}
	return flock(f)
}

// lockFile locks a file that exists for this only.
func lockFile(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("key lock %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("key lock %s: %w", path, err)
	}
	return flock(f)
}

func flock(f *os.File) (unlock func(), err error) {
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("key lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// makeFolder is os.MkdirAll for folders that outlive a power cut: each new one's parent is synced.
func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := makeFolder(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		return syncFolder(filepath.Dir(dir))
	}
	if info, serr := os.Stat(dir); serr == nil && info.IsDir() {
		return nil
	}
	return err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	// Some file systems have no fsync for folders; they say EINVAL.
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
