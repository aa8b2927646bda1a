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

// floor gives the time that it surely is later than: the build date or the kept time. kept is zero when there is none
// that makes sense; what is wrong with it is told in refused.
func (g *Gate) floor() (floor, kept time.Time, refused []Refusal) {
	floor = Earliest
	if g.o.Build.After(floor) {
		floor = g.o.Build
	}
	if g.o.FloorFile == "" {
		return floor, kept, nil
	}
	kept, err := readFloor(g.o.FloorFile)
	if err == nil && kept.After(floor.AddDate(horizon, 0, 0)) {
		err = fmt.Errorf("more than %d years after this program was built: %s", horizon, stamp(kept))
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			refused = []Refusal{{From: g.o.FloorFile, Reason: "last known time ignored", Value: oneLine(err)}}
		}
		return floor, time.Time{}, refused
	}
	if kept.After(floor) {
		floor = kept
	}
	return floor, kept, nil
}

// keep writes the time down unless the one that is kept is young enough.
func (g *Gate) keep(now, kept time.Time) error {
	if g.o.FloorFile == "" || !kept.IsZero() && now.Sub(kept) <= rewriteAfter {
		return nil
	}
	if err := writeFloor(g.o.FloorFile, now); err != nil {
		return fmt.Errorf("clock: cannot keep the time in %s: %w", g.o.FloorFile, err)
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

// writeFloor replaces the file at once, so that a power cut leaves the old time or the new one. Two processes may do so
// at the same time: each locks the folder, and the temporary file has one name, so that none is ever left to pile up.
func writeFloor(path string, t time.Time) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	// Not worth waiting for: whoever has the lock is likely writing the same.
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	tmp := filepath.Join(dir, "."+filepath.Base(path)+".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp)
		}
	}()
	_, err = io.WriteString(f, stamp(t)+"\n")
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	// Some file systems have no fsync for folders; they say EINVAL.
	if err := folder.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}
