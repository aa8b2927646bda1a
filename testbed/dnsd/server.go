// Package dnsd is an authoritative DNS server for the lab: a map from names to addresses, and the ways in which name
// servers fail, all changeable at run time.
package dnsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// Mode is how the server behaves.
type Mode int

const (
	Normal   Mode = iota // answers
	Dead                 // drops every query
	ServFail             // answers SERVFAIL to every query
	DropAAAA             // drops queries for AAAA and answers all others, as some home routers do

	// The ways of servers that know nothing of EDNS0 (RFC 6891, section 7) with a query that has its record.
	FormErrEDNS // answers FORMERR
	NotImpEDNS  // answers NOTIMP
	DropEDNS    // drops it
)

// String names the mode, for timelines and test names.
func (m Mode) String() string {
	switch m {
	case Normal:
		return "normal"
	case Dead:
		return "dead"
	case ServFail:
		return "servfail"
	case DropAAAA:
		return "drop AAAA"
	case FormErrEDNS:
		return "FORMERR for EDNS0"
	case NotImpEDNS:
		return "NOTIMP for EDNS0"
	case DropEDNS:
		return "drop EDNS0"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Options of a Server. All are optional.
type Options struct {
	// TTL of the answers in seconds; 0 tells resolvers not to cache.
	TTL uint32
	// OnQuery is called for every query, before the answer is sent. It must not block for long.
	OnQuery func(Query)
}

// Query is one question from a client.
type Query struct {
	From    net.Addr
	Network string // "udp" or "tcp"
	Name    string // as asked, fully qualified with the last dot
	Type    string // "A", "AAAA", …
	Mode    Mode   // in force for this query
}

// Server answers queries. Its methods may be called from any goroutine.
type Server struct {
	ttl     uint32
	onQuery func(Query)

	mu    sync.Mutex
	mode  Mode
	names map[string][]netip.Addr // key: canonical name, RFC 4034 section 6.2
}

// New returns a server that knows no name. It opens and starts nothing.
func New(o Options) *Server {
	return &Server{ttl: o.TTL, onQuery: o.OnQuery, names: make(map[string][]netip.Addr)}
}

// Set replaces the addresses of a name. A name without addresses exists, but has no data; see Delete.
func (s *Server) Set(name string, addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[dns.CanonicalName(name)] = append([]netip.Addr(nil), addrs...)
}

// Lookup gives the addresses of a name, without a query.
func (s *Server) Lookup(name string) []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]netip.Addr(nil), s.names[dns.CanonicalName(name)]...)
}

// Delete makes a name non-existent.
func (s *Server) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, dns.CanonicalName(name))
}

// SetMode changes the behaviour from the next query on.
func (s *Server) SetMode(m Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

// Serve answers on both sockets, either of which may be nil, until ctx is done, and closes them. It returns nil when
// ctx ended it, else the first error.
func (s *Server) Serve(ctx context.Context, pc net.PacketConn, ln net.Listener) error {
	var servers []*dns.Server
	if pc != nil {
		servers = append(servers, &dns.Server{PacketConn: pc, Handler: s.handler("udp")})
	}
	if ln != nil {
		servers = append(servers, &dns.Server{Listener: ln, Handler: s.handler("tcp")})
	}

	// A dns.Server can only be shut down once it runs; one that fails to start says so by its error instead.
	ended := make(chan error, len(servers))
	for _, srv := range servers {
		up := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(up) }
		failed := make(chan struct{})
		go func() {
			err := srv.ActivateAndServe()
			select {
			case <-up:
			default:
				close(failed)
			}
			ended <- err
		}()
		select {
		case <-up:
		case <-failed:
		}
	}

	var first error
	left := len(servers)
	select {
	case <-ctx.Done():
	case first = <-ended:
		left--
		if first == nil {
			first = net.ErrClosed
		}
	}
	for _, srv := range servers {
		_ = srv.Shutdown() // fails only for a server that has ended already
	}
	for ; left > 0; left-- {
		if err := <-ended; err != nil && first == nil && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
			first = err
		}
	}
	if first != nil {
		return fmt.Errorf("dns server: %w", first)
	}
	return nil
}

func (s *Server) handler(network string) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		if reply := s.answer(network, w.RemoteAddr(), r); reply != nil {
			// The network may be down on purpose; the client asks again.
			_ = w.WriteMsg(reply)
		}
	})
}

// answer returns the reply to a request, or nil when there is none to give.
func (s *Server) answer(network string, from net.Addr, r *dns.Msg) *dns.Msg {
	if r.Response {
		return nil
	}
	reply := new(dns.Msg)
	if r.Opcode != dns.OpcodeQuery || len(r.Question) != 1 {
		return reply.SetRcode(r, dns.RcodeNotImplemented)
	}
	q := r.Question[0]

	s.mu.Lock()
	mode := s.mode
	addrs, known := s.names[dns.CanonicalName(q.Name)]
	s.mu.Unlock()

	if s.onQuery != nil {
		s.onQuery(Query{From: from, Network: network, Name: q.Name, Type: dns.TypeToString[q.Qtype], Mode: mode})
	}
	switch {
	case mode == Dead, mode == DropAAAA && q.Qtype == dns.TypeAAAA:
		return nil
	case mode == ServFail:
		return reply.SetRcode(r, dns.RcodeServerFailure)
	case r.IsEdns0() != nil && mode == DropEDNS:
		return nil
	case r.IsEdns0() != nil && mode == FormErrEDNS:
		return reply.SetRcode(r, dns.RcodeFormatError)
	case r.IsEdns0() != nil && mode == NotImpEDNS:
		return reply.SetRcode(r, dns.RcodeNotImplemented)
	case q.Qclass != dns.ClassINET:
		return reply.SetRcode(r, dns.RcodeRefused)
	}

	reply.SetReply(r)
	reply.Authoritative = true
	if !known {
		reply.Rcode = dns.RcodeNameError
	}
	for _, a := range addrs {
		hdr := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: s.ttl}
		a = a.Unmap().WithZone("")
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			reply.Answer = append(reply.Answer, &dns.A{Hdr: hdr, A: a.AsSlice()})
		case q.Qtype == dns.TypeAAAA && a.Is6():
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: hdr, AAAA: a.AsSlice()})
		}
	}
	if len(reply.Answer) == 0 {
		// Resolvers need the SOA to know for how long the absence may be cached (RFC 2308).
		reply.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: s.ttl},
			Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400,
			Minttl: s.ttl,
		}}
	}

	size := dns.MaxMsgSize
	if network == "udp" {
		size = dns.MinMsgSize
	}
	if opt := r.IsEdns0(); opt != nil {
		if network == "udp" {
			size = max(size, int(opt.UDPSize()))
		}
		reply.SetEdns0(4096, false)
	}
	reply.Truncate(size)
	return reply
}
