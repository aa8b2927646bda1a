package ubusd

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within is a context for what takes no time unless it hangs.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// start serves at path until stop.
func start(t *testing.T, d *Daemon, path string) (stop func()) {
	t.Helper()
	ln, err := Listen(path)
	ok(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, ln) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// write is a line of a recorded session.
type write struct {
	fromClient bool
	data       []byte
}

func sessions(t *testing.T, name string) (out [][]write) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	ok(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] == "#" {
			continue
		}
		b, err := hex.DecodeString(f[2])
		ok(t, err)
		if f[0] == "<" && b[1] == 0 { // hello
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], write{f[0] == ">", b})
	}
	return out
}

// session plays a client's part of a recorded session.
type session struct {
	t      *testing.T
	nc     net.Conn
	writes []write
}

// play goes on to the n-th write of the session; what the daemon writes must be the same to the byte.
func (s *session) play(n int) {
	s.t.Helper()
	for ; n > 0; n-- {
		w := s.writes[0]
		s.writes = s.writes[1:]
		if w.fromClient {
			_, err := s.nc.Write(w.data)
			ok(s.t, err)
			continue
		}
		got := make([]byte, len(w.data))
		_, err := io.ReadFull(s.nc, got)
		ok(s.t, err)
		if !bytes.Equal(got, w.data) {
			s.t.Fatalf("\n got %x\nwant %x", got, w.data)
		}
	}
}

// Both recorded sessions, as they went with the real ubusd: with its ids, and the root user and group of the recording.
func TestAsRecorded(t *testing.T) {
	ids := []uint32{
		0x8da29ed6, 0x89d16f6d, 0x45bf5e3c, // the server, its object's type, its object
		0, 7, 1023, 0x8da29ed6, // not for clients
		0x4a7050b7, 0xb7726840, 0x92bfd122, // the three clients
	}
	d := New()
	d.NewID = func() uint32 {
		id := ids[0]
		ids = ids[1:]
		return id
	}
	path := filepath.Join(t.TempDir(), "ubus.sock")
	start(t, d, path)
	dial := func(w []write) *session {
		nc, err := net.Dial("unix", path)
		ok(t, err)
		ok(t, nc.SetDeadline(time.Now().Add(30*time.Second)))
		t.Cleanup(func() { nc.Close() })
		return &session{t, nc, w}
	}
	server := dial(sessions(t, "server.txt")[0])
	server.play(3) // registered
	clients := sessions(t, "client.txt")
	list, status, nosuch := dial(clients[0]), (*session)(nil), (*session)(nil)
	list.play(3)

	status = dial(clients[1])
	status.play(4) // called
	server.play(2) // answered
	status.play(1)

	nosuch = dial(clients[2])
	nosuch.play(4)
	server.play(2)
	nosuch.play(1)
	for _, s := range []*session{server, list, status, nosuch} {
		if len(s.writes) != 0 {
			t.Errorf("%d writes are left", len(s.writes))
		}
	}
}
