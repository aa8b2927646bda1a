package clock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rewriteAfter is how old the kept time may get: flash wears, and a week's error is harmless.
const rewriteAfter = 7 * 24 * time.Hour

// How far the kept time may move at once, in months.
const (
	agreedStep = 12
	loneStep   = 1
)

// healing is by how much the kept time has to be wrong to be put back: a second or two are worth no write.
const healing = time.Minute

// limits reads the kept time. What is wrong with it is told in refused.
func (o Options) limits() (limits, []Refusal) {
	l := limitsOf(o.Build, time.Time{})
	if o.FloorFile == "" {
		return l, nil
	}
	kept, err := readFloor(o.FloorFile)
	if err == nil && kept.After(l.possible.To) {
		err = fmt.Errorf("more than %d years after this program was built: %s", horizon, stamp(kept))
	}
	switch {
	case err == nil:
		return limitsOf(o.Build, kept), nil
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	}
	return l, []Refusal{{From: o.FloorFile, Reason: "last known time ignored", Value: oneLine(err)}}
}

// keep writes down a time that is believed, by rules 18 to 22 of the package's documentation. Flash wears, and a kept
// time that is a week old is as good.
func (o Options) keep(now time.Time, l limits, agreed bool) error {
	if o.FloorFile == "" {
		return nil
	}
	from := l.floor
	if l.kept.After(from) {
		from = l.kept
	}
	most := from.AddDate(0, loneStep, 0)
	if agreed {
		most = from.AddDate(0, agreedStep, 0)
	}
	to := now
	switch {
	case l.kept.IsZero() || now.Sub(l.kept) > rewriteAfter:
		if to.After(most) {
			to = most
		}
	case agreed && l.kept.Sub(now) > healing:
	default:
		return nil
	}
	if err := writeFloor(o.FloorFile, to); err != nil {
		return fmt.Errorf("clock: cannot keep the time in %s: %w", o.FloorFile, err)
	}
	return nil
}

func readFloor(path string) (time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return time.Time{}, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return time.Time{}, err
	}
	return parseFloor(string(raw))
}

// parseFloor reads one line with a time of RFC 3339.
func parseFloor(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.TrimRight(text, " \t\r\n"))
	if err != nil {
		return time.Time{}, fmt.Errorf("not a time like %s: %q", stamp(Earliest), text)
	}
	return t, nil
}

// writeFloor replaces the file at once, so that a power cut leaves the old time or the new one. The temporary file has
// one name, so that none is ever left to pile up.
func writeFloor(path string, t time.Time) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp := filepath.Join(dir, "."+filepath.Base(path)+".tmp")
	f, err := openLocked(tmp)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil // another uplink of ours writes it at this moment, and likely the same
	}
	if err != nil {
		return err
	}
	defer f.Close() // the last step, because it ends the lock
	defer func() {
		if err != nil {
			os.Remove(tmp)
		}
	}()
	if err = f.Truncate(0); err != nil {
		return err
	}
	if _, err = io.WriteString(f, stamp(t)+"\n"); err != nil {
		return err
	}
	// OpenWrt sets the clock to the newest file in /etc at boot. That has to be bounded as t is, even if the clock is
	// not.
	if err = os.Chtimes(tmp, t, t); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// openLocked makes the temporary file, or takes that of a write that was cut short, and locks it. Two processes may
// write at the same time. The lock is on a file that only root can open: each user who can open a file, or a folder,
// can lock it.
func openLocked(tmp string) (*os.File, error) {
	for {
		f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		if err = f.Chmod(0o600); err == nil { // cut short after it was opened to all
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", tmp, err)
		}
		opened, oerr := f.Stat()
		now, nerr := os.Lstat(tmp)
		if oerr == nil && nerr == nil && os.SameFile(opened, now) {
			return f, nil
		}
		f.Close() // another process has put it in its place meanwhile
	}
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	// Some file systems have no fsync for folders; they say EINVAL.
	if err := folder.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
