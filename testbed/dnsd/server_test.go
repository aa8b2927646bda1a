package dnsd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	four = netip.MustParseAddr("192.0.2.1")
	six  = netip.MustParseAddr("2001:db8::1")
)

// start serves on the loopback and returns connections to it by UDP and TCP.
func start(t *testing.T, s *Server) map[string]*dns.Conn {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, pc, ln) }()

	conns := make(map[string]*dns.Conn)
	for network, addr := range map[string]net.Addr{"udp": pc.LocalAddr(), "tcp": ln.Addr()} {
		c, err := dns.Dial(network, addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		conns[network] = c
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		for _, c := range conns {
			c.Close()
		}
	})
	return conns
}

func question(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
}

func ask(t *testing.T, c *dns.Conn, m *dns.Msg) *dns.Msg {
	t.Helper()
	if err := c.WriteMsg(m); err != nil {
		t.Fatal(err)
	}
	r, err := c.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	if r.Id != m.Id {
		t.Fatalf("answer to query %d, asked %d", r.Id, m.Id)
	}
	return r
}

// summary is the rcode, the AA bit and the answers' data.
func summary(r *dns.Msg) string {
	s := fmt.Sprintf("%s aa=%v", dns.RcodeToString[r.Rcode], r.Authoritative)
	for _, rr := range r.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			s += " " + rr.A.String()
		case *dns.AAAA:
			s += " " + rr.AAAA.String()
		}
	}
	return s
}

func TestAnswers(t *testing.T) {
	s := New(Options{TTL: 7})
	s.Set("gw1.example.org", four, six)
	s.Set("gw2.example.org.", six)
	s.Set("empty.example.org")
	s.Set("gone.example.org", four)
	s.Delete("GONE.example.org")
	conns := start(t, s)

	tests := []struct {
		mode  Mode
		name  string
		qtype uint16
		want  string
	}{
		{Normal, "gw1.example.org", dns.TypeA, "NOERROR aa=true 192.0.2.1"},
		{Normal, "gw1.example.org", dns.TypeAAAA, "NOERROR aa=true 2001:db8::1"},
		{Normal, "GW1.Example.ORG", dns.TypeA, "NOERROR aa=true 192.0.2.1"},
		{Normal, "gw2.example.org", dns.TypeA, "NOERROR aa=true"},
		{Normal, "gw2.example.org", dns.TypeAAAA, "NOERROR aa=true 2001:db8::1"},
		{Normal, "gw1.example.org", dns.TypeTXT, "NOERROR aa=true"},
		{Normal, "empty.example.org", dns.TypeA, "NOERROR aa=true"},
		{Normal, "gone.example.org", dns.TypeA, "NXDOMAIN aa=true"},
		{Normal, "other.example.org", dns.TypeA, "NXDOMAIN aa=true"},
		{ServFail, "gw1.example.org", dns.TypeA, "SERVFAIL aa=false"},
		{DropAAAA, "gw1.example.org", dns.TypeA, "NOERROR aa=true 192.0.2.1"},
	}
	for _, tt := range tests {
		for network, c := range conns {
			t.Run(fmt.Sprintf("%v/%s/%s/%s", tt.mode, network, tt.name, dns.TypeToString[tt.qtype]),
				func(t *testing.T) {
					s.SetMode(tt.mode)
					r := ask(t, c, question(tt.name, tt.qtype))
					if got := summary(r); got != tt.want {
						t.Errorf("got %q, want %q", got, tt.want)
					}
					for _, rr := range r.Answer {
						if ttl := rr.Header().Ttl; ttl != 7 {
							t.Errorf("TTL %d", ttl)
						}
					}
					if wantSOA := len(r.Answer) == 0 && tt.mode != ServFail; wantSOA != (len(r.Ns) == 1) {
						t.Errorf("authority section %v", r.Ns)
					}
				})
		}
	}
}

// A dropped query is heard; the next answer on the socket belongs to the query after it.
func TestDropped(t *testing.T) {
	queries := make(chan Query, 8)
	s := New(Options{OnQuery: func(q Query) { queries <- q }})
	s.Set("gw1.example.org", four, six)
	for network, c := range start(t, s) {
		for _, mode := range []Mode{Dead, DropAAAA} {
			s.SetMode(mode)
			if err := c.WriteMsg(question("gw1.example.org", dns.TypeAAAA)); err != nil {
				t.Fatal(err)
			}
			want := Query{From: c.LocalAddr(), Network: network, Name: "gw1.example.org.", Type: "AAAA", Mode: mode}
			got := <-queries
			if got.From.String() != want.From.String() {
				t.Errorf("%v/%s: query from %v, want %v", mode, network, got.From, want.From)
			}
			got.From, want.From = nil, nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v/%s: %s", mode, network, diff)
			}
			s.SetMode(Normal)
			ask(t, c, question("gw1.example.org", dns.TypeA))
			<-queries
		}
	}
}

// Servers that know nothing of EDNS0 answer plain queries, and fail those with its record in their own way.
func TestWithoutEDNS(t *testing.T) {
	queries := make(chan Query, 8)
	s := New(Options{OnQuery: func(q Query) { queries <- q }})
	s.Set("gw1.example.org", four)
	for network, c := range start(t, s) {
		for mode, want := range map[Mode]string{FormErrEDNS: "FORMERR aa=false",
			NotImpEDNS: "NOTIMP aa=false", DropEDNS: ""} {
			s.SetMode(mode)
			edns := question("gw1.example.org", dns.TypeA).SetEdns0(1232, false)
			if want == "" {
				if err := c.WriteMsg(edns); err != nil {
					t.Fatal(err)
				}
			} else if got := summary(ask(t, c, edns)); got != want {
				t.Errorf("%v/%s: got %q, want %q", mode, network, got, want)
			}
			<-queries
			// It is the next answer on the socket.
			if got := summary(ask(t, c, question("gw1.example.org", dns.TypeA))); got != "NOERROR aa=true 192.0.2.1" {
				t.Errorf("%v/%s: without the record %q", mode, network, got)
			}
			<-queries
		}
	}
}

func TestTruncation(t *testing.T) {
	s := New(Options{})
	var addrs []netip.Addr
	for i := range 100 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	s.Set("many.example.org", addrs...)
	conns := start(t, s)

	// The client reads at most 512 bytes, so an answer that parses was no longer.
	if r := ask(t, conns["udp"], question("many.example.org", dns.TypeA)); !r.Truncated || len(r.Answer) == 0 {
		t.Errorf("udp: truncated %v, %d answers", r.Truncated, len(r.Answer))
	}
	big := question("many.example.org", dns.TypeA).SetEdns0(4096, false)
	conns["udp"].UDPSize = 4096
	if r := ask(t, conns["udp"], big); r.Truncated || len(r.Answer) != 100 || r.IsEdns0() == nil {
		t.Errorf("udp with EDNS0: truncated %v, %d answers", r.Truncated, len(r.Answer))
	}
	if r := ask(t, conns["tcp"], question("many.example.org", dns.TypeA)); r.Truncated || len(r.Answer) != 100 {
		t.Errorf("tcp: truncated %v, %d answers", r.Truncated, len(r.Answer))
	}
}

func TestServeErrors(t *testing.T) {
	ctx := context.Background()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Serve(ctx, pc, ln); err == nil {
		t.Error("no error for a socket that was closed before")
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the other socket was left open")
	}
}
