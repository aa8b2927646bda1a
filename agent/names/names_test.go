package names

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wguplink/agent/testtcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const typeA, typeAAAA = 1, 28 // RFC 1035, RFC 3596

// reply answers a question with a code and addresses of the type asked for.
func reply(m []byte, kind uint16, code byte, addrs ...string) []byte {
	m[2], m[3] = 0x81, 0x80|code
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		if a.Is4() != (kind == typeA) {
			continue
		}
		m[7]++
		m = append(m, 0xc0, 12)
		m = binary.BigEndian.AppendUint16(m, kind)
		m = append(m, 0, 1, 0, 0, 0, 60, 0, byte(len(a.AsSlice())))
		m = append(m, a.AsSlice()...)
	}
	return m
}

func lookup(t *testing.T, r Resolver, host string) ([]netip.Addr, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	return r.Lookup(ctx, host)
}

// TestReasons: each reason has a type and a text of its own.
func TestReasons(t *testing.T) {
	const host = "gw.example.org."
	silent := func([]byte, uint16) []byte { return nil }
	seen := map[string]bool{}
	for _, tt := range []struct {
		name   string
		answer func(m []byte, kind uint16) []byte
		reason Reason
		text   string
	}{
		{"NXDOMAIN", func(m []byte, k uint16) []byte { return reply(m, k, 3) }, NotFound, "does not exist"},
		{"no data", func(m []byte, k uint16) []byte { return reply(m, k, 0) }, NoAddress,
			"has no address (name server"},
		{"SERVFAIL", func(m []byte, k uint16) []byte { return reply(m, k, 2) }, Refused,
			"is not told by the name server"},
		{"silence", silent, Timeout, "there is no answer in time"},
		{"no data, and silence", func(m []byte, k uint16) []byte {
			if k == typeA {
				return nil
			}
			return reply(m, k, 0)
		}, Timeout, "there is no answer in time"},
		{"loopback", func(m []byte, k uint16) []byte { return reply(m, k, 0, "127.0.0.1", "::1") }, Unusable,
			"has no address that can be used: it has ["},
		{"unspecified", func(m []byte, k uint16) []byte { return reply(m, k, 0, "0.0.0.0", "::") }, Unusable,
			"has no address that can be used"},
		{"multicast", func(m []byte, k uint16) []byte { return reply(m, k, 0, "224.0.0.1", "ff02::1") }, Unusable,
			"has no address that can be used"},
		{"link-local", func(m []byte, k uint16) []byte { return reply(m, k, 0, "169.254.1.1", "fe80::1") }, Unusable,
			"has no address that can be used"},
		{"own", func(m []byte, k uint16) []byte { return reply(m, k, 0, "192.0.2.99") }, Unusable,
			"it has [192.0.2.99] only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Resolver{Servers: []netip.AddrPort{serveDNS(t, tt.answer)},
				Local: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.99") }}
			ctx, cancel := context.WithCancel(context.Background())
			if tt.reason == Timeout {
				ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
			}
			defer cancel()
			addrs, err := r.Lookup(ctx, host)
			var e *Error
			if !errors.As(err, &e) || e.Reason != tt.reason || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, %v", addrs, err)
				return
			}
			if !strings.Contains(err.Error(), "name "+host+" ") ||
				!strings.Contains(err.Error(), r.Servers[0].String()) {
				t.Errorf("it names neither host nor server: %v", err)
			}
			seen[e.Reason.String()] = true
		})
	}
	if len(seen) != 5 {
		t.Errorf("texts: %v", seen)
	}
	if e := (&Error{Host: "a",
		Reason: Family}); e.Error() != "name a has no address of an address family that is allowed" {
		t.Error(e)
	}
	if _, err := lookup(t, Resolver{Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}},
		host); err == nil {
		t.Error("a server that is not there")
	} else if e := new(Error); !errors.As(err, &e) || e.Reason != Failed {
		t.Errorf("got %v", err)
	}
}

// TestFilter: what is good stays beside what is not.
func TestFilter(t *testing.T) {
	server := serveDNS(t, func(m []byte, k uint16) []byte {
		return reply(m, k, 0, "127.0.0.1", "192.0.2.1", "0.0.0.0", "10.1.2.3", "::1", "2001:db8::1", "ff02::1")
	})
	got, err := lookup(t, Resolver{Servers: []netip.AddrPort{server}}, "gw.example.org")
	if err != nil || len(got) != 3 {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestOldServers: servers that know nothing of EDNS0 answer, over UDP and over TCP.
func TestOldServers(t *testing.T) {
	hasEDNS := func(m []byte) bool { return binary.BigEndian.Uint16(m[10:]) != 0 }
	for _, tt := range []struct {
		name string
		odd  func(m []byte) []byte // the answer to a question with EDNS0
	}{
		{"FORMERR", func(m []byte) []byte { m[2], m[3] = 0x81, 0x81; return m }},
		{"NOTIMP", func(m []byte) []byte { m[2], m[3] = 0x81, 0x84; return m }},
		{"drop", func([]byte) []byte { return nil }},
	} {
		for _, long := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, long %v", tt.name, long), func(t *testing.T) {
				answer := func(m []byte, tcp bool) []byte {
					if hasEDNS(m) {
						return tt.odd(m)
					}
					m = reply(m, binary.BigEndian.Uint16(m[len(m)-4:]), 0, "192.0.2.7", "2001:db8::7")
					if long && !tcp {
						m[2] |= 2 // truncated
					}
					return m
				}
				got, err := lookup(t, Resolver{Servers: []netip.AddrPort{serveBoth(t, answer)}}, "gw.example.org")
				if err != nil || len(got) != 2 {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
	}
}

// TestCutAnswers: an answer that does not fit into UDP comes whole from a server that speaks TCP, be it the last in the
// list. Where none does, the part that came by UDP has to do.
func TestCutAnswers(t *testing.T) {
	cut := func(m []byte, k uint16) []byte { // the first addresses, and TC
		m = reply(m, k, 0, "192.0.2.1", "2001:db8::1")
		m[2] |= 2
		return m
	}
	empty := func(m []byte, k uint16) []byte {
		m = reply(m, k, 0)
		m[2] |= 2
		return m
	}
	tcp := func(talk func(c net.Conn)) func(t *testing.T, udp netip.AddrPort) {
		return func(t *testing.T, udp netip.AddrPort) {
			l, err := net.Listen("tcp", udp.String())
			ok(t, err)
			testtcp.Serve(t, l, talk)
		}
	}
	closed := func(*testing.T, netip.AddrPort) {}
	silent := tcp(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	nothing := tcp(func(net.Conn) {})
	half := tcp(func(c net.Conn) { _, _ = c.Write([]byte{2, 0, 1, 2, 3}) })
	odd := tcp(func(c net.Conn) { _, _ = c.Write(make([]byte, 40)) })
	refuses := tcp(func(c net.Conn) {
		m := make([]byte, 512)
		if n, err := c.Read(m); err == nil {
			m = reply(m[2:n], 0, 2)
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
		}
	})
	whole := serveBoth(t, func(m []byte, tcp bool) []byte {
		k := binary.BigEndian.Uint16(m[len(m)-4:])
		if !tcp {
			return cut(m, k)
		}
		return reply(m, k, 0, "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")
	})
	for _, tt := range []struct {
		name  string
		udp   func(m []byte, k uint16) []byte
		tcp   func(t *testing.T, udp netip.AddrPort)
		other bool // there is a server that speaks TCP beside
		want  int  // addresses
	}{
		{"no TCP", cut, closed, false, 2},
		{"a TCP that says nothing", cut, silent, false, 2},
		{"a TCP that hangs up", cut, nothing, false, 2},
		{"half an answer", cut, half, false, 2},
		{"an answer to another question", cut, odd, false, 2},
		{"SERVFAIL by TCP", cut, refuses, false, 2},
		{"no TCP, and nothing by UDP", empty, closed, false, 0},
		{"no TCP, but another server has", cut, closed, true, 4},
		{"silent, but another server is not", cut, silent, true, 4},
		{"nothing by UDP, but another server has TCP", empty, closed, true, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first := serveDNS(t, tt.udp)
			tt.tcp(t, first)
			r := Resolver{Servers: []netip.AddrPort{first}}
			if tt.other {
				r.Servers = append(r.Servers, whole)
			}
			got, err := lookup(t, r, "gw.example.org")
			if len(got) != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestOddAnswers: what leads to no address is no answer that anything is waited for, and none of it is taken for one.
func TestOddAnswers(t *testing.T) {
	alias := func(to string) func(m []byte, k uint16) []byte {
		return func(m []byte, k uint16) []byte {
			m = reply(m, k, 0)
			m[7] = 1
			m = append(m, 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, byte(len(to)))
			return append(m, to...)
		}
	}
	other := func(at int) func(m []byte, k uint16) []byte { // one byte of the question is another
		return func(m []byte, k uint16) []byte {
			m[at] ^= 1
			return reply(m, k, 0, "192.0.2.7", "2001:db8::7")
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(m []byte, k uint16) []byte
		reason Reason
	}{
		{"an alias of itself", alias("\xc0\x0c"), NoAddress},
		{"an alias that leads nowhere", alias("\x04none\x07example\x00"), NoAddress},
		{"a name that points at itself", alias("\xc0\x2c"), NoAddress},
		{"another id", other(0), Timeout},
		{"another question", other(13), Timeout},
		{"a question for an answer", func(m []byte, k uint16) []byte { return m }, Timeout},
		{"more records than there are", func(m []byte, k uint16) []byte {
			m = reply(m, k, 0)
			m[7] = 200
			return m
		}, Failed},
		{"five bytes", func(m []byte, k uint16) []byte { return m[:5] }, Timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit := 20 * time.Second
			if tt.reason == Timeout {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			got, err := Resolver{Servers: []netip.AddrPort{serveDNS(t, tt.answer)}}.Lookup(ctx, "gw.example.org.")
			var e *Error
			if !errors.As(err, &e) || e.Reason != tt.reason {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// serveBoth answers questions over UDP and TCP on one port.
func serveBoth(t *testing.T, answer func(m []byte, tcp bool) []byte) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	pc, err := net.ListenPacket("udp", l.Addr().String())
	ok(t, err)
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); pc.Close(); wg.Wait() })
	wg.Add(2)
	go func() {
		defer wg.Done()
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if m := answer(append([]byte(nil), buf[:n]...), false); m != nil {
				_, _ = pc.WriteTo(m, from)
			}
		}
	}()
	go func() {
		defer wg.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err == nil {
				m := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(conn, m); err == nil {
					if m = answer(m, true); m != nil {
						_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
					}
				}
			}
			conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestLostQuestion: one lost packet costs a second, not five.
func TestLostQuestion(t *testing.T) {
	var mu sync.Mutex
	seen := map[uint16]int{}
	server := serveDNS(t, func(m []byte, k uint16) []byte {
		mu.Lock()
		defer mu.Unlock()
		if seen[k]++; seen[k] == 1 {
			return nil
		}
		return reply(m, k, 0, "192.0.2.7", "2001:db8::7")
	})
	if got, err := lookup(t, Resolver{Servers: []netip.AddrPort{server}}, "gw.example.org"); err != nil ||
		len(got) == 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestWithoutEDNS leaves alone what it does not know.
func TestWithoutEDNS(t *testing.T) {
	plain := append([]byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x01a\x00\x00\x01\x00\x01"...)
	edns := append(append([]byte(nil), plain...), 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0)
	edns[11] = 1
	if got := withoutEDNS(edns); string(got) != string(plain) {
		t.Errorf("got %x", got)
	}
	if edns[11] != 1 {
		t.Error("the caller's message was changed")
	}
	option := append(append([]byte(nil), edns...), 1)
	for _, m := range [][]byte{plain, nil, {1}, edns[:20], option, append([]byte(nil), make([]byte, 40)...)} {
		if got := withoutEDNS(m); string(got) != string(m) {
			t.Errorf("%x became %x", m, got)
		}
	}
}

// FuzzQuestion: no packet makes the reading of its name fail.
func FuzzQuestion(f *testing.F) {
	f.Add(append(make([]byte, 12), "\x01a\x02bc\x00\x00\x01\x00\x01"...))
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) < headerSize {
			return
		}
		(&codes{host: "a.bc"}).note(m)
		if len(question(m)) > len(m) {
			t.Error("longer than the message")
		}
	})
}
