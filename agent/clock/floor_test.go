package clock

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/clock/clocktest"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(raw)
}

// What the file holds before, and whether a verified clock replaces it.
func TestFloorFile(t *testing.T) {
	for name, c := range map[string]struct {
		before  string // "-" for no file
		floor   time.Time
		refused string
		written bool
	}{
		"missing":          {"-", build, "", true},
		"young":            {"2026-08-09T00:00:00Z\n", time.Date(2026, 8, 9, 0, 0, 0, 0, time.UTC), "", false},
		"a week and a bit": {"2026-08-08T11:59:00Z\n", time.Date(2026, 8, 8, 11, 59, 0, 0, time.UTC), "", true},
		"before the build": {"2025-01-01T00:00:00Z\n", build, "", true},
		"no newline, zone": {"2026-08-09T02:00:00+02:00", time.Date(2026, 8, 9, 0, 0, 0, 0, time.UTC), "", false},
		"empty":            {"", build, `last known time ignored: not a time like 2026-01-01T00:00:00Z: ""`, true},
		"garbage": {"gar\nbage\x00", build,
			`last known time ignored: not a time like 2026-01-01T00:00:00Z: "gar\nbage\x00"`, true},
		"megabyte": {strings.Repeat("9", 1<<20), build,
			"last known time ignored: not a time like 2026-01-01T00:00:00Z: \"999", true},
		"half a line": {"2026-08-0", build, "last known time ignored: not a time", true},
		"31 years later": {"2057-06-02T00:00:00Z\n", build,
			"last known time ignored: more than 30 years after this program was built: 2057-06-02T00:00:00Z", true},
		"the year 9999": {"9999-12-31T23:59:59Z\n", build,
			"last known time ignored: more than 30 years after this program was built: 9999-12-31T23:59:59Z", true},
		"negative, invalid": {"-001-01-01T00:00:00Z\n", build, "last known time ignored: not a time", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "sub", "last-time")
			if c.before != "-" {
				if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, path, c.before)
			}
			w, truth, sys := newWorld(), from(today), clocktest.At(boot)
			w.serve(t, "192.0.2.1:123", truth.honest())
			w.serve(t, "192.0.2.2:123", truth.honest())
			res, err := w.gate(sys, path, "192.0.2.1", "192.0.2.2").Ensure(background(t))
			if err != nil || res.Source != FromNTP || res.FloorErr != nil {
				t.Fatalf("%+v, %v", res, err)
			}
			if !res.Floor.Equal(c.floor) {
				t.Errorf("floor %v, want %v", res.Floor, c.floor)
			}
			got := lines(res)
			if c.refused == "" && got != "" || !strings.HasPrefix(strings.TrimPrefix(got, path+": "), c.refused) ||
				strings.Count(got, "\n") > 1 {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
			after := read(t, path)
			if !c.written {
				if after != c.before {
					t.Errorf("written, though young: %q", after)
				}
				return
			}
			kept, err := parseFloor(after)
			if err != nil || !near(kept, truth(), slack) || !strings.HasSuffix(after, "Z\n") {
				t.Errorf("kept %q (%v)", after, err)
			}
			if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// The kept time is what an answer has to be later than.
func TestKeptTimeBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last-time")
	write(t, path, "2026-09-01T00:00:00Z\n")
	w, sys := newWorld(), clocktest.At(boot)
	w.serve(t, "192.0.2.1:123", from(today).honest())
	g := w.gate(sys, path, "192.0.2.1")
	res, err := g.Check(background(t))
	if err != nil || res.Source != Unverified || !strings.HasPrefix(lines(res),
		"192.0.2.1: before the last known time 2026-09-01T00:00:00Z: 2026-08-15T12:0") {
		t.Errorf("%+v, %v", res, err)
	}
	for at, want := range map[string]string{
		"2026-08-31T23:59:59Z": "before the last known time 2026-09-01T00:00:00Z: 2026-08-31T23:59:59Z",
		"2026-09-01T00:00:00Z": "",
		"2041-09-01T00:00:00Z": "",
		"2041-09-01T00:00:01Z": "later than can be, after 2041-09-01T00:00:00Z: 2041-09-01T00:00:01Z",
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := g.Plausible(when); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

func TestBuildWithoutDate(t *testing.T) {
	for _, date := range []time.Time{{}, time.Unix(0, 0)} {
		g := New(Options{System: clocktest.At(today), Build: date})
		if g.Plausible(Earliest.Add(-time.Second)) == nil || g.Plausible(Earliest) != nil {
			t.Errorf("build date %v: the floor is not %v", date, Earliest)
		}
	}
}

// A time that cannot be kept is told, and no more.
func TestKeepFails(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, refused := range map[string]string{
		filepath.Join(dir, "file", "last-time"): "not a directory",
		filepath.Join(dir, "folder"):            "not a regular file",
		"/proc/wguplink/last-time":              "",
	} {
		w, truth, sys := newWorld(), from(today), clocktest.At(boot)
		w.serve(t, "192.0.2.1:123", truth.honest())
		res, err := w.gate(sys, path, "192.0.2.1").Ensure(background(t))
		if err != nil || res.Source != FromNTP || !near(sys.Now(), truth(), slack) {
			t.Errorf("%s: %+v, %v", path, res, err)
		}
		if res.FloorErr == nil || !strings.Contains(res.FloorErr.Error(), path) {
			t.Errorf("%s: FloorErr %v", path, res.FloorErr)
		}
		if !strings.Contains(lines(res), refused) {
			t.Errorf("%s: refused %q", path, lines(res))
		}
	}
}

// A power cut while writing leaves a temporary file, which does no harm.
func TestFloorLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "last-time")
	write(t, path, "2026-07-01T00:00:00Z\n")
	write(t, filepath.Join(dir, ".last-time.tmp"), strings.Repeat("2099-", 99))
	if err := writeFloor(path, today); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "2026-08-15T12:00:00Z\n" {
		t.Errorf("kept %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// Any user may open the folder and the file, and have the locks that come with that. The time is kept all the same.
func TestFloorLockedByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last-time")
	write(t, path, "2026-07-01T00:00:00Z\n")
	for _, name := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeFloor(path, today); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o644 || read(t, path) != "2026-08-15T12:00:00Z\n" || !info.ModTime().Equal(today) {
		t.Errorf("%v, %v: %q", info, err, read(t, path))
	}
}

// Another of our processes that is about to write has its file for itself, and what it replaces is not written to.
func TestFloorTwoWriters(t *testing.T) {
	dir := t.TempDir()
	path, tmp := filepath.Join(dir, "last-time"), filepath.Join(dir, ".last-time.tmp")
	other, err := openLocked(tmp)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := other.Stat(); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := writeFloor(path, today); err != nil || read(t, path) != "" {
		t.Errorf("beside another: %v, kept %q", err, read(t, path))
	}
	other.Close()
	if err := writeFloor(path, today); err != nil || read(t, path) != "2026-08-15T12:00:00Z\n" {
		t.Errorf("afterwards: %v, kept %q", err, read(t, path))
	}
}

func FuzzParseFloor(f *testing.F) {
	for _, s := range []string{"2026-08-15T12:00:00Z\n", "", "2026", "9999-12-31T23:59:59.999999999+14:00", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseFloor(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: error of two lines", s)
			}
			return
		}
		again, err := parseFloor(stamp(at) + "\n")
		if at.UTC().Year() > 9999 || at.UTC().Year() < 0 {
			return
		}
		if err != nil || !again.Equal(at.Truncate(time.Second)) {
			t.Errorf("%q: %v, then %v (%v)", s, at, again, err)
		}
	})
}
