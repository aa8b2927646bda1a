package clock

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A respond gives the packets that a server sends back for a question; none means silence.
type respond func(question []byte) [][]byte

// world is a set of NTP servers with made-up addresses, and names for them.
type world struct {
	mu      sync.Mutex
	names   map[string][]netip.Addr
	routes  map[netip.AddrPort]func(ctx context.Context) (net.Conn, error)
	asked   map[netip.AddrPort]*atomic.Int64
	resolve error
}

func newWorld() *world {
	return &world{names: map[string][]netip.Addr{},
		routes: map[netip.AddrPort]func(context.Context) (net.Conn, error){},
		asked:  map[netip.AddrPort]*atomic.Int64{}}
}

func (w *world) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.resolve != nil {
		return nil, w.resolve
	}
	addrs, ok := w.names[host]
	if !ok {
		return nil, fmt.Errorf("no such host %s", host)
	}
	return addrs, nil
}

func (w *world) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "udp" {
		return nil, fmt.Errorf("dial %s", network)
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	dial, ok := w.routes[target]
	if ok {
		w.asked[target].Add(1)
	}
	w.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
	}
	return dial(ctx)
}

func (w *world) count(target string) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[netip.MustParseAddrPort(target)].Load()
}

func (w *world) route(target string, dial func(context.Context) (net.Conn, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := netip.MustParseAddrPort(target)
	w.routes[at] = dial
	if w.asked[at] == nil {
		w.asked[at] = new(atomic.Int64)
	}
}

// serve puts a real UDP server on the loopback behind the made-up address.
func (w *world) serve(t *testing.T, target string, r respond) {
	t.Helper()
	real := "127.0.0.1:0"
	if netip.MustParseAddrPort(target).Addr().Is6() {
		real = "[::1]:0"
	}
	conn, err := net.ListenPacket("udp", real)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1024)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, p := range r(append([]byte(nil), buf[:n]...)) {
				conn.WriteTo(p, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	w.route(target, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	})
}

// name gives servers with the addresses a name.
func (w *world) name(host string, addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[host] = nil
	for _, a := range addrs {
		w.names[host] = append(w.names[host], netip.MustParseAddr(a))
	}
}

// From 1900 to 1970, in seconds.
const ntpToUnix = 2208988800

func ntpTime(t time.Time) uint64 {
	return uint64(uint32(t.Unix()+ntpToUnix))<<32 | uint64(t.Nanosecond())<<32/1e9
}

// reply is a proper answer of a stratum 2 server at time now.
func reply(question []byte, now time.Time) []byte {
	p := make([]byte, 48)
	p[0] = 0<<6 | 4<<3 | 4 // no leap second, version 4, mode server
	p[1] = 2
	p[2] = 6
	p[3] = 0xec
	binary.BigEndian.PutUint32(p[4:], 0x0100)                          // root delay, 4 ms
	binary.BigEndian.PutUint32(p[8:], 0x0200)                          // root dispersion, 8 ms
	copy(p[12:], []byte{192, 0, 2, 9})                                 // reference id
	binary.BigEndian.PutUint64(p[16:], ntpTime(now.Add(-time.Minute))) // reference time
	copy(p[24:32], question[40:48])                                    // origin
	binary.BigEndian.PutUint64(p[32:], ntpTime(now))
	binary.BigEndian.PutUint64(p[40:], ntpTime(now))
	return p
}

// clockwork is a time that goes on from a given one.
type clockwork func() time.Time

func from(t time.Time) clockwork {
	start := time.Now()
	return func() time.Time { return t.Add(time.Since(start)) }
}

func (c clockwork) off(d time.Duration) clockwork { return func() time.Time { return c().Add(d) } }

// honest answers right, changed by what is given.
func (c clockwork) honest(change ...func(p []byte)) respond {
	return func(q []byte) [][]byte {
		p := reply(q, c())
		for _, f := range change {
			f(p)
		}
		return [][]byte{p}
	}
}

func silent([]byte) [][]byte { return nil }

// kiss is a kiss of death, with a code.
func (c clockwork) kiss(code string) respond {
	return c.honest(func(p []byte) {
		p[0] |= 3 << 6
		p[1] = 0
		copy(p[12:16], code)
	})
}

// blackhole takes questions and never answers. It needs no socket, so that it serves in virtual time too.
func blackhole(context.Context) (net.Conn, error) {
	return pipe(silent), nil
}

// pipe is a connection to a server within the test, for virtual time.
func pipe(r respond) net.Conn {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		buf := make([]byte, 1024)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			for _, p := range r(append([]byte(nil), buf[:n]...)) {
				if _, err := far.Write(p); err != nil {
					return
				}
			}
		}
	}()
	return near
}
