package ubus

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// place makes a socket that can be connected to from the moment it is there, so that no second attempt is needed.
func (f *fake) place() {
	f.t.Helper()
	tmp := filepath.Join(f.t.TempDir(), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	ok(f.t, err)
	ln.SetUnlinkOnClose(false)
	f.ln = ln
	f.t.Cleanup(func() { ln.Close() })
	ok(f.t, os.Rename(tmp, f.path))
}

// eventsOnly is a server that never tries again by itself, but for the one time after a connection.
func eventsOnly(path string) *Server {
	s := NewServer(path, Object{Name: "x"})
	s.after = func(d time.Duration) <-chan time.Time {
		ch := make(chan time.Time, 1)
		if d == retryMin {
			ch <- time.Time{}
		}
		return ch
	}
	return s
}

// The socket and its folders come and go, and no timer is needed to see it.
func TestSocketComesAndGoes(t *testing.T) {
	root := t.TempDir()
	f := &fake{t: t, path: filepath.Join(root, "run", "ubus", "ubus.sock")}
	start(t, eventsOnly(f.path))
	for id := range uint32(20) {
		ok(t, os.MkdirAll(filepath.Dir(f.path), 0o755))
		f.place()
		p := f.greet()
		p.register(id + 1)
		f.ln.Close()
		ok(t, os.RemoveAll(filepath.Join(root, []string{"run", "run/ubus", "run/ubus/ubus.sock"}[id%3])))
		p.nc.Close()
	}
}

// A socket that no program listens at is tried now and then: it may be one that is just being made.
func TestStaleSocket(t *testing.T) {
	f := newFake(t)
	f.ln.SetUnlinkOnClose(false)
	f.ln.Close()
	s := NewServer(f.path, Object{Name: "x"})
	s.OnError = func(err error) { t.Errorf("reports %v", err) }
	timers, fire := make(chan time.Duration, 100), make(chan time.Time)
	s.after = func(d time.Duration) <-chan time.Time {
		timers <- d
		return fire
	}
	start(t, s)
	want := retryMin
	for range 15 {
		if got := <-timers; got != want {
			t.Errorf("tries again after %v, want %v", got, want)
		}
		fire <- time.Time{}
		want = min(2*want, retryMax)
	}
	ok(t, os.Remove(f.path)) // as ubusd does when it starts
	f.place()
	f.greet().register(1)
}

func TestWatch(t *testing.T) {
	type step struct {
		name    string
		do      func(root, path string) error
		matters bool
	}
	mkdir := func(p string) error { return os.Mkdir(p, 0o755) }
	touch := func(p string) error { return os.WriteFile(p, nil, 0o644) }
	for _, tt := range []struct {
		name  string
		steps []step // each with a new watch
	}{
		{"made", []step{
			{"something", func(root, _ string) error { return touch(root + "/other") }, false},
			{"first folder", func(root, _ string) error { return mkdir(root + "/run") }, true},
			{"similar name", func(root, _ string) error { return mkdir(root + "/run/ubus2") }, false},
			{"moved in", func(root, _ string) error { return os.Rename(root+"/run/ubus2", root+"/run/ubus") }, true},
			{"beside it", func(root, _ string) error { return touch(root + "/run/ubus/other") }, false},
			{"socket", func(_, path string) error { return touch(path) }, true},
			{"mode", func(_, path string) error { return os.Chmod(path, 0o600) }, true},
			{"away", func(_, path string) error { return os.Remove(path) }, true},
			{"folder away", func(root, _ string) error { return os.RemoveAll(root + "/run/ubus") }, true},
			{"all away", func(root, _ string) error { return os.Rename(root+"/run", root+"/gone") }, true},
		}},
		{"by links", []step{
			{"link to nothing", func(root, _ string) error { return os.Symlink("a/b", root+"/run") }, true},
			{"first folder", func(root, _ string) error { return mkdir(root + "/a") }, true},
			{"second folder", func(root, _ string) error { return mkdir(root + "/a/b") }, true},
			{"absolute link", func(root, _ string) error { return os.Symlink(root+"/c", root+"/a/b/ubus") }, true},
			{"its end", func(root, _ string) error { return mkdir(root + "/c") }, true},
			{"socket", func(root, _ string) error { return touch(root + "/c/ubus.sock") }, true},
		}},
		{"circle", []step{
			{"link", func(root, _ string) error { return os.Symlink("run/a", root+"/run") }, true},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			path := filepath.Join(root, "run", "ubus", "ubus.sock")
			for _, st := range tt.steps {
				w, err := openWatch([]string{path, filepath.Join(root, "none", "x")})
				ok(t, err)
				ok(t, st.do(root, path))
				ok(t, w.file.SetReadDeadline(time.Now().Add(30*time.Second)))
				buf := make([]byte, 4096)
				n, err := w.file.Read(buf)
				ok(t, err)
				if got := w.matters(buf[:n]); got != st.matters {
					t.Errorf("%s: matters %v, want %v", st.name, got, st.matters)
				}
				w.file.Close()
			}
			w, err := newWatch([]string{path})
			ok(t, err)
			w.close()
			w.close()
		})
	}
}

func TestDefaultPaths(t *testing.T) {
	s := NewServer("")
	if len(s.paths) != 2 || s.paths[0] != DefaultPath || s.paths[1] != "/var/run/ubus.sock" {
		t.Errorf("%q", s.paths)
	}
}
