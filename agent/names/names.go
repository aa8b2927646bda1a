// Package names finds the addresses of hosts, and connects to hosts that have several.
//
// It asks by package net's own resolver, over connections of its own: each question goes to all name servers at once,
// is repeated when it may have been lost, and has no EDNS0 record. Some name servers and home routers answer FORMERR or
// NOTIMP to that record, or drop the question (RFC 6891 section 6.2.2 and 7); without it an answer has at most 512
// bytes, and a longer one comes over TCP. Where there is no TCP, the part of it that came by UDP is used.
package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Resolver finds addresses. The zero Resolver asks the name servers of resolv.conf.
type Resolver struct {
	// Servers are asked all at once; none: those of resolv.conf, one after the other.
	Servers []netip.AddrPort
	// Control sets each socket up; it may be nil.
	Control func(network, address string, c syscall.RawConn) error
	// Local tells whether an address is one of this machine, or of no single host; it may be nil.
	Local func(netip.Addr) bool
}

// ResolutionDelay is how long one family's answer waits for the other's (RFC 8305, section 3, recommends 50 ms; slow
// lines get a little more).
const ResolutionDelay = 100 * time.Millisecond

// Lookup gives the addresses of a host name or of an IP literal, asking for both families at once. A server that
// answers for one family only does not hold the other up for longer than ResolutionDelay. What no other host can have
// is left out of the addresses of a name: unspecified, loopback, multicast, link-local and our own ones. The error is
// an *Error.
func (r Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	answers := make(chan answer, 2)
	heard := &codes{host: host}
	resolver := r.resolver(heard)
	for _, network := range []string{"ip6", "ip4"} {
		go func() {
			a, err := resolver.LookupNetIP(ctx, network, host)
			answers <- answer{a, err}
		}()
	}
	var all []netip.Addr
	var errs []error
	var late <-chan time.Time
	for n := 0; n < 2; n++ {
		select {
		case a := <-answers:
			all = append(all, a.addrs...)
			errs = append(errs, a.err)
			if len(a.addrs) > 0 && late == nil {
				t := time.NewTimer(ResolutionDelay)
				defer t.Stop()
				late = t.C
			}
		case <-late:
			n = 2
		}
	}
	if len(all) == 0 {
		return nil, r.failure(host, errs, heard)
	}
	var good, left []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); Unicast(a) && (r.Local == nil || !r.Local(a)) {
			good = append(good, a)
		} else {
			left = append(left, a)
		}
	}
	if len(good) == 0 {
		return nil, &Error{Host: host, Reason: Unusable, Servers: r.asked(), Err: fmt.Errorf("it has %v only", left)}
	}
	return good, nil
}

var (
	thisNet  = netip.MustParsePrefix("0.0.0.0/8")   // RFC 1122 section 3.2.1.3
	reserved = netip.MustParsePrefix("240.0.0.0/4") // RFC 1112 section 4, with the broadcast address
	v4compat = netip.MustParsePrefix("::/96")       // RFC 4291 section 2.5.5.1
)

// Unicast tells whether a host elsewhere can have an address. Private addresses are good: a mesh may have its gateways
// in one.
func Unicast(a netip.Addr) bool {
	return a.Zone() == "" && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() &&
		!thisNet.Contains(a) && !reserved.Contains(a) && !v4compat.Contains(a)
}

// resolver is package net's, over connections of ours.
func (r Resolver) resolver(heard *codes) *net.Resolver {
	d := net.Dialer{Control: r.Control}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		servers := []string{addr}
		if len(r.Servers) > 0 {
			servers = nil
			for _, s := range r.Servers {
				servers = append(servers, s.String())
			}
		}
		if strings.HasPrefix(network, "udp") {
			return askAll(ctx, d, servers, heard)
		}
		return &stream{ctx: ctx, dial: d, servers: servers, codes: heard}, nil
	}}
}

// failure makes one error of those of both families.
func (r Resolver) failure(host string, errs []error, heard *codes) *Error {
	e := &Error{Host: host, Servers: r.asked()}
	for _, err := range errs {
		reason := heard.reason(err)
		if e.Err == nil || reason > e.Reason {
			e.Reason, e.Err = reason, err
		}
	}
	// Package net names the first server of resolv.conf, whichever was asked.
	var dns *net.DNSError
	if errors.As(e.Err, &dns) {
		if e.Servers == "" {
			e.Servers = dns.Server
		}
		e.detail = dns.Err
	}
	return e
}

// asked names the servers; "" when they are those of resolv.conf.
func (r Resolver) asked() string {
	var all []string
	for _, s := range r.Servers {
		all = append(all, s.String())
	}
	return strings.Join(all, ", ")
}
