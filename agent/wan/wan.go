// Package wan is the way out: the route that the kernel chooses for our packets, sockets that take it, and names resolved
// through it.
//
// The kernel decides, not we: it is asked for its route to the destinations of the configuration, so that each rule and each
// kind of route counts. A route into our own mesh is no way out, even where a worse one leads out of the WAN: the kernel does
// not send by that.
//
// On a community router the main routing table may lead into the mesh, that is, through our own tunnel. The firmware
// therefore keeps the uplink's default route in a table of its own, selected by a mark (Gluon: fwmark 1, table 1, IPv6
// only; Parker: both families). Everything the agent sends to the outside carries that mark.
package wan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Path is the way out for one uplink.
type Path struct {
	// Mark is the socket mark (SO_MARK); 0 for none.
	Mark uint32
	// DNS are the servers to ask; empty for those of resolv.conf.
	DNS []netip.AddrPort
	// Own tells the names of our own devices: a route by them, or by what stands on them, is no way out. nil: there are none.
	Own func(device string) bool
	// To are the destinations that the way out is asked for. nil: none is known, and all the world stands for them.
	To *Targets
}

// Dialer gives a dialer whose sockets take the way out.
func (p Path) Dialer() *net.Dialer {
	return &net.Dialer{Control: p.control, Resolver: p.resolver()}
}

// DialContext dials like net.Dialer, out of the WAN.
func (p Path) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return p.Dialer().DialContext(ctx, network, addr)
}

func (p Path) control(_, _ string, c syscall.RawConn) error {
	if p.Mark == 0 {
		return nil
	}
	var serr error
	err := c.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(p.Mark))
	})
	if err == nil {
		err = serr
	}
	if err != nil {
		return fmt.Errorf("set mark %#x on a socket (needs CAP_NET_ADMIN): %w", p.Mark, err)
	}
	return nil
}

func (p Path) resolver() *net.Resolver {
	// Not p.Dialer: that would ask this resolver for the address of the name server.
	d := net.Dialer{Control: p.control}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if len(p.DNS) == 0 {
			return d.DialContext(ctx, network, addr)
		}
		if strings.HasPrefix(network, "udp") && len(p.DNS) > 1 {
			return askAll(ctx, d, p.DNS)
		}
		var err error
		for _, s := range p.DNS {
			var c net.Conn
			if c, err = d.DialContext(ctx, network, s.String()); err == nil {
				return c, nil
			}
		}
		return nil, err
	}}
}

// ResolutionDelay is how long one family's answer waits for the other's (RFC 8305, section 3, recommends 50 ms; slow
// lines get a little more).
const ResolutionDelay = 100 * time.Millisecond

// Resolve gives the addresses of a host name or of an IP literal, asking for both families at once. A server that
// answers for one family only does not hold the other up for longer than ResolutionDelay.
func (p Path) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
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
	r := p.resolver()
	for _, network := range []string{"ip6", "ip4"} {
		go func() {
			a, err := r.LookupNetIP(ctx, network, host)
			answers <- answer{a, err}
		}()
	}
	var all []netip.Addr
	var first error
	var late <-chan time.Time
	for range 2 {
		select {
		case a := <-answers:
			for _, addr := range a.addrs {
				all = append(all, addr.Unmap())
			}
			if a.err != nil && first == nil {
				first = a.err
			}
			if len(a.addrs) > 0 {
				t := time.NewTimer(ResolutionDelay)
				defer t.Stop()
				late = t.C
			}
		case <-late:
			return all, nil
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("resolve %s through the WAN: %w", host, p.explain(first))
	}
	return all, nil
}

// explain names the servers that were asked. Package net names the first of resolv.conf, whoever was asked.
func (p Path) explain(err error) error {
	var dns *net.DNSError
	if len(p.DNS) == 0 || !errors.As(err, &dns) {
		return err
	}
	asked := *dns
	asked.Server = ""
	for i, s := range p.DNS {
		if i > 0 {
			asked.Server += ", "
		}
		asked.Server += s.String()
	}
	return &asked
}
