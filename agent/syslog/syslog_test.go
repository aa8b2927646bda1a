package syslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"wguplink/agent/slog"
)

// stderr stands in for standard error.
type stderr struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	wrote chan struct{} // closed with the first write; may be nil
}

func (s *stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrote != nil {
		close(s.wrote)
		s.wrote = nil
	}
	return s.buf.Write(p)
}

// taken gives what was written since the last time.
func (s *stderr) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.buf.Reset()
	return s.buf.String()
}

// daemon is a system log: a real socket.
type daemon struct {
	t    *testing.T
	conn *net.UnixConn
}

func start(t *testing.T, path string) daemon {
	t.Helper()
	os.Remove(path) // as logd does
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return daemon{t, conn}
}

// kill ends the log as SIGKILL does: the file stays.
func (d daemon) kill() { d.conn.Close() }

func (d daemon) read() string {
	d.t.Helper()
	b := make([]byte, 1<<16)
	n, err := d.conn.Read(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b[:n])
}

func (d daemon) want(text string) {
	d.t.Helper()
	if got := d.read(); got != text {
		d.t.Errorf("the log has %q, want %q", got, text)
	}
}

func newLog(t *testing.T) (log *slog.Logger, path string, rest *stderr) {
	t.Helper()
	path, rest = filepath.Join(t.TempDir(), "log"), new(stderr)
	h, err := New(Options{
		Path: path, Name: "wguplink", PID: 123, Stderr: rest,
		Now: func() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC) },
		Handler: func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, NoLevel: true})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return slog.New(h), path, rest
}

func TestPriorities(t *testing.T) {
	log, path, rest := newLog(t)
	d := start(t, path)
	mesh := log.With("uplink", "mesh")
	mesh.Error("no key")
	mesh.Warn("odd")
	log.WithGroup("g").Info("connected", "gateway", "gw 1\n")
	log.Debug("probe")
	d.want(`<27>Feb  3 04:05:06 wguplink[123]: msg="no key" uplink=mesh`)
	d.want(`<28>Feb  3 04:05:06 wguplink[123]: msg=odd uplink=mesh`)
	d.want(`<30>Feb  3 04:05:06 wguplink[123]: msg=connected g.gateway="gw 1\n"`)
	d.want(`<31>Feb  3 04:05:06 wguplink[123]: msg=probe`)
	if text := rest.taken(); text != "" {
		t.Errorf("standard error has %q", text)
	}
}

// Without a log, before its start and after its end, lines go to standard error; with the next one they go there.
func TestRestart(t *testing.T) {
	log, path, rest := newLog(t)
	log.Info("early")
	if text := rest.taken(); text != "level=INFO msg=early\n" {
		t.Errorf("standard error has %q", text)
	}
	for round := range 3 {
		d := start(t, path)
		log.Info("there", "round", round)
		d.want(fmt.Sprintf(`<30>Feb  3 04:05:06 wguplink[123]: msg=there round=%d`, round))
		d.kill()
		log.Warn("gone")
		if text := rest.taken(); text != "level=WARN msg=gone\n" {
			t.Errorf("standard error has %q", text)
		}
	}
}

// A line longer than what logd reads comes in parts, with nothing lost.
func TestLong(t *testing.T) {
	log, path, _ := newLog(t)
	d := start(t, path)
	long := strings.Repeat("0123456789", 300)
	log.Info("m", "err", long)
	text := ""
	for want := "msg=m err=" + long; len(text) < len(want); {
		part := d.read()
		if len(part) > 1023 {
			t.Fatalf("%d bytes at once", len(part))
		}
		text += strings.TrimPrefix(part, "<30>Feb  3 04:05:06 wguplink[123]: ")
		if !strings.HasPrefix(want, text) {
			t.Fatalf("parts make %q", text)
		}
	}
}

// A log that has stopped reading does not hold the program up. When it goes on it gets what was kept, in order, and the
// number of the rest.
func TestFull(t *testing.T) {
	log, path, rest := newLog(t)
	d := start(t, path)
	// As many as the socket takes, and more than is kept; a line that waited would make this the test's end.
	limit, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		t.Fatal(err)
	}
	var queue int
	if _, err := fmt.Sscan(string(limit), &queue); err != nil {
		t.Fatal(err)
	}
	const more = 10
	all := queue + 1 + maxLate + more
	for i := range all {
		log.Info("line", "n", i)
	}
	next, lost := 0, 0
	for next+lost < all {
		text := d.read()
		if n := 0; strings.Contains(text, "lines are lost") {
			fmt.Sscanf(text[strings.LastIndex(text, "lines="):], "lines=%d", &n)
			lost += n
			continue
		}
		if !strings.HasSuffix(text, fmt.Sprintf("msg=line n=%d", next)) {
			t.Fatalf("after %d lines: %q", next, text)
		}
		next++
	}
	if lost < more-1 || next < queue+maxLate {
		t.Errorf("%d lines arrived, %d are lost", next, lost)
	}
	if text := rest.taken(); text != "" {
		t.Errorf("standard error has %q", text)
	}
}

// A log that ends while lines wait for it: they go to standard error.
func TestEndsWhileFull(t *testing.T) {
	log, path, rest := newLog(t)
	d := start(t, path)
	h, wrote := log.Handler().(handler), make(chan struct{})
	rest.wrote = wrote
	for n := 0; ; n++ {
		log.Info("line", "n", n)
		h.sink.mu.Lock()
		late := len(h.sink.late)
		h.sink.mu.Unlock()
		if late > 0 {
			break
		}
	}
	d.kill()
	<-wrote
	if text := rest.taken(); !strings.HasPrefix(text, "level=INFO msg=line n=") {
		t.Errorf("standard error has %q", text)
	}
}

// What goes to a log that is not enabled costs nothing.
func TestLevel(t *testing.T) {
	h, err := New(Options{Path: "/nowhere", Stderr: new(stderr), Now: time.Now,
		Handler: func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }})
	if err != nil {
		t.Fatal(err)
	}
	if h.Enabled(context.Background(), slog.LevelDebug) || !h.Enabled(context.Background(), slog.LevelInfo) {
		t.Error("not the level of the handler given")
	}
}
