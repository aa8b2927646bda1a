// Package wan is the way out: the route that the kernel chooses for our packets, sockets that take it, and names
// resolved through it.
//
// The kernel decides, not we: it is asked for its route to the destinations of the configuration, so that each rule and
// each kind of route counts. A route into our own mesh is no way out, even where a worse one leads out of the WAN: the
// kernel does not send by that.
//
// On a community router the main routing table may lead into the mesh, that is, through our own tunnel. The firmware
// therefore keeps the uplink's default route in a table of its own, selected by a mark (Gluon: fwmark 1, table 1, IPv6
// only; Parker: both families). Everything the agent sends to the outside carries that mark.
package wan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"wguplink/agent/names"
	"wguplink/agent/netlink"
)

// Path is the way out for one uplink.
type Path struct {
	// Mark is the socket mark (SO_MARK); 0 for none.
	Mark uint32
	// DNS are the servers to ask; empty for those of resolv.conf.
	DNS []netip.AddrPort
	// Own tells the names of our own devices: a route by them, or by what stands on them, is no way out. nil: there are
	// none.
	Own func(device string) bool
	// To are the destinations that the way out is asked for. nil: none is known, and all the world stands for them.
	To *Targets
}

// DialContext dials like net.Dialer, out of the WAN. The host is an address; Resolve gives those of a name.
func (p Path) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Control: p.control}).DialContext(ctx, network, addr)
}

// ByName gives a dialer out of the WAN that takes names, and remembers which of their addresses are good.
func (p Path) ByName() *names.Dialer { return &names.Dialer{Lookup: p.Resolve, Dial: p.DialContext} }

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

// Resolve gives the addresses of a host name or of an IP literal that it asks for through the WAN. The error is a
// *names.Error.
func (p Path) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return names.Resolver{Servers: p.DNS, Control: p.control, Local: p.local}.Lookup(ctx, host)
}

// local asks the kernel whether packets to an address stay on this machine, or go to more than one host.
func (p Path) local(a netip.Addr) bool {
	routes, err := netlink.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{Mark: p.Mark})
	if err != nil {
		return false // no route at all, yet
	}
	for _, r := range routes {
		if r.Type == unix.RTN_LOCAL || r.Type == unix.RTN_BROADCAST || r.Type == unix.RTN_MULTICAST {
			return true
		}
	}
	return false
}
