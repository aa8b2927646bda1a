package ntpd

import (
	"context"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	now    = time.Date(2026, 7, 1, 12, 0, 0, 250_000_000, time.UTC)
	origin = [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
)

// start serves on the loopback and returns a connected client.
func start(t *testing.T, s *Server) net.Conn {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, pc) }()
	c, err := net.Dial("udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

func request() []byte {
	b := make([]byte, packetSize)
	b[0] = 4<<3 | modeClient
	copy(b[40:], origin[:])
	return b
}

func ask(t *testing.T, c net.Conn) []byte {
	t.Helper()
	if _, err := c.Write(request()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// getTime undoes putTime for the era of 1968 to 2104 (RFC 5905 section 6).
func getTime(b []byte) time.Time {
	secs := int64(binary.BigEndian.Uint32(b)) - 2208988800
	if secs < 0 {
		secs += 1 << 32
	}
	frac := uint64(binary.BigEndian.Uint32(b[4:]))
	return time.Unix(secs, int64(frac*1e9>>32)).UTC()
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		lie     Lie
		name    string
		stratum uint8
		refID   string
		time    time.Time
		origin  bool
	}{
		{Honest(), "honest", 2, "\xc0\x00\x02\x7b", now, true},
		{Kiss("RATE"), "kiss of death RATE", 0, "RATE", now, true},
		{Kiss("DENY"), "kiss of death DENY", 0, "DENY", now, true},
		{Stratum(0), "stratum 0", 0, "\x00\x00\x00\x00", now, true},
		{Stratum(16), "stratum 16", 16, "\xc0\x00\x02\x7b", now, true},
		{At(time.Unix(0, 0)), "clock at 1970-01-01T00:00:00Z", 2, "\xc0\x00\x02\x7b", time.Unix(0, 0).UTC(), true},
		{At(now.AddDate(20, 0, 0)), "clock at 2046-07-01T12:00:00Z", 2, "\xc0\x00\x02\x7b",
			now.AddDate(20, 0, 0), true},
		{Offset(3 * time.Hour), "clock off by 3h0m0s", 2, "\xc0\x00\x02\x7b", now.Add(3 * time.Hour), true},
		{Offset(-time.Hour), "clock off by -1h0m0s", 2, "\xc0\x00\x02\x7b", now.Add(-time.Hour), true},
		{WrongOrigin(), "wrong origin", 2, "\xc0\x00\x02\x7b", now, false},
	}
	s := New(Options{Now: func() time.Time { return now }})
	c := start(t, s)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.lie.String(); got != tt.name {
				t.Errorf("String() = %q", got)
			}
			s.SetLie(tt.lie)
			b := ask(t, c)
			if len(b) != packetSize {
				t.Fatalf("answer has %d bytes", len(b))
			}
			if b[0] != 4<<3|modeServer {
				t.Errorf("first byte %#x: want leap 0, version 4, mode 4", b[0])
			}
			if b[1] != tt.stratum || string(b[12:16]) != tt.refID {
				t.Errorf("stratum %d, reference id %q; want %d, %q", b[1], b[12:16], tt.stratum, tt.refID)
			}
			if got := [8]byte(b[24:32]) == origin; got != tt.origin {
				t.Errorf("origin % x", b[24:32])
			}
			for field, at := range map[string]int{"reference": 16, "receive": 32, "transmit": 40} {
				if got := getTime(b[at:]); got.Sub(tt.time).Abs() > time.Microsecond {
					t.Errorf("%s time %v, want %v", field, got, tt.time)
				}
			}
		})
	}
}

func TestGarbage(t *testing.T) {
	s := New(Options{})
	c := start(t, s)
	for _, n := range []int{1, 47, 48, 1000} {
		s.SetLie(Garbage(n))
		if b := ask(t, c); len(b) != n || b[0] != 0xa5 {
			t.Errorf("Garbage(%d) gave %d bytes, % x…", n, len(b), b[:1])
		}
	}
}

// The dead server hears the query; the next answer on the socket belongs to the query after it.
func TestDeadAndCallback(t *testing.T) {
	queries := make(chan Query, 8)
	s := New(Options{Now: func() time.Time { return now }, OnQuery: func(q Query) { queries <- q }})
	c := start(t, s)

	s.SetLie(Dead())
	if _, err := c.Write(request()); err != nil {
		t.Fatal(err)
	}
	q := <-queries
	if q.Version != 4 || !q.Time.Equal(now) || q.Lie.String() != "dead" || q.From.String() != c.LocalAddr().String() {
		t.Errorf("query %+v", q)
	}

	s.SetLie(Stratum(7)) // marks the answer to the second query
	if b := ask(t, c); b[1] != 7 {
		t.Errorf("stratum %d: the dead server answered", b[1])
	}
	<-queries
}

// What is no client request is neither answered nor reported.
func TestIgnored(t *testing.T) {
	s := New(Options{OnQuery: func(q Query) { t.Errorf("reported %+v", q) }})
	server := request()
	server[0] = 4<<3 | modeServer
	for _, b := range [][]byte{nil, {0x23}, request()[:47], server} {
		if r := s.answer(b, nil); r != nil {
			t.Errorf("answer(% x) = % x", b, r)
		}
	}
}

func TestServeSocketClosed(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	if err := New(Options{}).Serve(context.Background(), pc); err == nil {
		t.Error("no error for a socket that was closed before")
	}
}
