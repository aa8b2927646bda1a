package wgpeerselector

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// content of a file; "" when there is none.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// lonely fails if there is anything but the PID file in its folder.
func lonely(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("%s was left", e.Name())
		}
	}
}

func TestWritePID(t *testing.T) {
	own := strconv.Itoa(os.Getpid()) + "\n"
	for name, old := range map[string]string{"new": "", "stale": "4711\n", "stale and ours": own,
		"rubbish": strings.Repeat("x", 1000)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.pid")
			if old != "" {
				if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// Another program that reads it must not see a half-written file, so the old one stays as it was.
			before, _ := os.Open(path)
			remove, err := WritePID(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := content(t, path); got != own {
				t.Errorf("it says %q", got)
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
				t.Errorf("%v, %v", info, err)
			}
			if before != nil {
				defer before.Close()
				b := make([]byte, len(old)+1)
				if n, _ := before.Read(b); string(b[:n]) != old {
					t.Errorf("the old file was changed in place: %q", b[:n])
				}
			}
			lonely(t, path)
			remove()
			if got := content(t, path); got != "" {
				t.Errorf("after the end it says %q", got)
			}
			lonely(t, path)
		})
	}
}

// TestWritePIDCutShort goes on after a write that was cut short.
func TestWritePIDCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), ".x.pid.tmp"), []byte("47"), 0o600); err != nil {
		t.Fatal(err)
	}
	remove, err := WritePID(path)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	lonely(t, path)
}

// TestRemovePID leaves a file alone that has become another process's, and one that is gone.
func TestRemovePID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	for _, other := range []string{"1\n", ""} {
		remove, err := WritePID(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if other != "" {
			if err := os.WriteFile(path, []byte(other), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		remove()
		if got := content(t, path); got != other {
			t.Errorf("%q has become %q", other, got)
		}
		os.Remove(path)
	}
}

func TestWritePIDInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	remove, err := WritePID(path)
	if err != nil {
		t.Fatal(err)
	}
	before := content(t, path)
	if _, err := WritePID(path); err == nil || !strings.Contains(err.Error(),
		"process "+strconv.Quote(strings.TrimSpace(before))+" runs") {
		t.Errorf("a second one: %v", err)
	}
	if content(t, path) != before {
		t.Error("the first one's file was changed")
	}
	if err := os.Link(path, path+".too"); err != nil {
		t.Fatal(err)
	}
	remove()
	let, err := WritePID(path + ".too")
	if err != nil {
		t.Fatalf("the lock outlives the end: %v", err)
	}
	let()
	again, err := WritePID(path)
	if err != nil {
		t.Fatalf("after the end of the first: %v", err)
	}
	again()
}

// All users may read the file. That is no way to keep the next process from starting.
func TestWritePIDReadByOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	remove, err := WritePID(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := os.Link(path, path+".kept"); err != nil {
		t.Fatal(err)
	}
	remove()
	if err := os.Rename(path+".kept", path); err != nil { // as after a crash
		t.Fatal(err)
	}
	if err := errors.Join(unix.Flock(int(reader.Fd()), unix.LOCK_EX|unix.LOCK_NB),
		unix.FcntlFlock(reader.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK})); err != nil {
		t.Fatal(err)
	}
	if err := hold(reader); !errors.Is(err, unix.EBADF) {
		t.Errorf("a reader got the lock: %v", err)
	}
	again, err := WritePID(path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestWritePIDRefuses(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.Mkdir(in("folder"), 0o755), unix.Mkfifo(in("fifo"), 0o644),
		os.WriteFile(in("file"), nil, 0o644),
		os.Symlink(in("file"), in("link"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		in("none/x.pid"): "no such file or directory: name a file in a folder",
		in("file/x.pid"): "not a directory",
		in("folder"):     "not a regular file",
		in("fifo"):       "not a regular file",
		in("link"):       "not a regular file",
	} {
		before, _ := os.Lstat(path)
		_, err := WritePID(path)
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.HasPrefix(err.Error(), "PID file "+path+": ") {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if after, _ := os.Lstat(path); (before == nil) != (after == nil) || before != nil &&
			before.Mode() != after.Mode() {
			t.Errorf("%s was replaced", path)
		}
	}
	if got := content(t, in("file")); got != "" {
		t.Errorf("the link's target says %q", got)
	}
}
