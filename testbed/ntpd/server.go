// Package ntpd is an SNTP server for the lab. It tells the right time, or lies in a way chosen at run time.
//
// The wire format is that of RFC 5905 section 7.3, without extension fields and without authentication.
package ntpd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// packetSize is the length of an NTP packet without extensions (RFC 5905, figure 8).
const packetSize = 48

const (
	modeClient = 3
	modeServer = 4
)

// Options of a Server. All are optional.
type Options struct {
	// Now is the true time as this server knows it; nil means time.Now.
	Now func() time.Time
	// OnQuery is called for every valid query, before the answer is sent. It must not block for long.
	OnQuery func(Query)
}

// Query is what a client asked.
type Query struct {
	From    net.Addr
	Version uint8     // NTP version of the request, 1 to 4
	Time    time.Time // when it came, by Options.Now
	Lie     Lie       // in force for this query
}

// Server answers SNTP queries. Its methods may be called from any goroutine.
type Server struct {
	now     func() time.Time
	onQuery func(Query)

	mu      sync.Mutex
	lie     Lie
	queries int
}

// New returns an honest server. It opens and starts nothing.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{now: o.Now, onQuery: o.OnQuery}
}

// SetLie changes what the server answers from the next query on. The zero Lie is the truth.
func (s *Server) SetLie(l Lie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lie = l
}

// Lie returns the lie in force.
func (s *Server) Lie() Lie {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lie
}

// Queries returns how many valid queries there were, answered or not.
func (s *Server) Queries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries
}

// Serve answers queries on pc until ctx is done, and closes pc. It returns nil when ctx ended it. One Server may serve
// several sockets, for example one for each address family.
func (s *Server) Serve(ctx context.Context, pc net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { pc.Close() })
	defer func() {
		if stop() {
			pc.Close()
		}
	}()

	buf := make([]byte, 1500)
	for {
		n, from, err := pc.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("ntp server on %v: another goroutine closed its socket: %w", pc.LocalAddr(), err)
			}
			continue // such as a queued ICMP error of an earlier answer
		}
		if reply := s.answer(buf[:n], from); reply != nil {
			// The network may be down on purpose; the client asks again.
			_, _ = pc.WriteTo(reply, from)
		}
	}
}

// answer returns the reply to one request, or nil when there is none to give.
func (s *Server) answer(req []byte, from net.Addr) []byte {
	if len(req) < packetSize || req[0]&7 != modeClient {
		return nil
	}
	received, lie := s.now(), s.Lie()
	version := req[0] >> 3 & 7
	s.mu.Lock()
	s.queries++
	s.mu.Unlock()
	if s.onQuery != nil {
		s.onQuery(Query{From: from, Version: version, Time: received, Lie: lie})
	}
	if lie.dead {
		return nil
	}

	r := reply{
		version:  version,
		four:     isFour(from),
		stratum:  2,
		refID:    [4]byte{192, 0, 2, 123},
		origin:   [8]byte(req[40:48]),
		receive:  received,
		transmit: s.now(),
	}
	if lie.edit != nil {
		lie.edit(&r)
	}
	if r.raw != nil {
		return r.raw
	}
	return r.marshal()
}

// reply is an answer before it is put on the wire.
type reply struct {
	four              bool // asked over IPv4
	version           uint8
	stratum           uint8
	refID             [4]byte
	origin            [8]byte // transmit timestamp of the request, as it came
	receive, transmit time.Time
	raw               []byte // sent instead of all others
}

func isFour(from net.Addr) bool {
	a, ok := from.(*net.UDPAddr)
	return ok && a.IP.To4() != nil
}

func (r *reply) marshal() []byte {
	b := make([]byte, packetSize)
	b[0] = r.version<<3 | modeServer // leap indicator 0: no warning
	b[1] = r.stratum
	b[2] = 6                                       // poll: 64 s
	b[3] = 0xec                                    // precision: 2^-20 s
	binary.BigEndian.PutUint32(b[4:], 0x0000_0106) // root delay: 4 ms
	binary.BigEndian.PutUint32(b[8:], 0x0000_0106) // root dispersion: 4 ms
	copy(b[12:], r.refID[:])
	// The reference time is the receive time: a server that just set its clock, so that no lie about the time shows
	// itself by an old or future reference.
	putTime(b[16:], r.receive)
	copy(b[24:], r.origin[:])
	putTime(b[32:], r.receive)
	putTime(b[40:], r.transmit)
	return b
}

// putTime writes a 64-bit NTP timestamp: seconds since 1900 modulo 2^32 (so that eras wrap in 2036), then the fraction.
func putTime(b []byte, t time.Time) {
	const unixEpoch = 2208988800 // 1970 in seconds since 1900, RFC 5905 appendix A.1.1
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+unixEpoch))
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
}
