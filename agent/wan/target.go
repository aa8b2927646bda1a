package wan

import (
	"net/netip"
	"slices"
	"sync"
)

// Destinations are the addresses that the way out is asked for. A port of 0 is one that is not known.
type Destinations struct {
	// Gateways are the endpoints of gateways.
	Gateways []netip.AddrPort
	// Brokers are asked over TCP.
	Brokers []netip.AddrPort
	// Servers are name and NTP servers.
	Servers []netip.AddrPort
	// System are the name servers of resolv.conf. A Path adds them.
	System []netip.AddrPort
	// Names says that gateways or brokers have names, which may stand for other addresses than those that are known.
	Names bool
	// Told says that a broker tells of gateways.
	Told bool
}

func (d Destinations) equal(e Destinations) bool {
	return d.Names == e.Names && d.Told == e.Told && slices.Equal(d.Gateways, e.Gateways) &&
		slices.Equal(d.Brokers, e.Brokers) && slices.Equal(d.Servers, e.Servers)
}

// Targets hold the present destinations. They are safe for concurrent use. nil holds none.
type Targets struct {
	mu      sync.Mutex
	now     Destinations
	changed chan struct{} // closed with the next change
}

// Set makes d the present destinations; each watch of the way out looks again when they differ.
func (t *Targets) Set(d Destinations) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.equal(t.now) {
		return
	}
	t.now = d
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// Get gives the destinations, and a channel that is closed when they have changed; nil for one that never is.
func (t *Targets) Get() (Destinations, <-chan struct{}) {
	if t == nil {
		return Destinations{Names: true}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.now, t.changed
}

// Addresses that stand for all the world where no destination is known: servers of the DNS root (k.root-servers.net).
// The kernel is asked for its route; no packet is sent.
var (
	world4 = netip.MustParseAddr("193.0.14.129")
	world6 = netip.MustParseAddr("2001:7fd::1")
)

// target is one address to ask the kernel for.
type target struct {
	netip.AddrPort
	tcp bool
	// routed counts only where a router is the next hop: a name server on our own link says nothing of what is behind
	// it.
	routed bool
}

// targets are what to ask the kernel about a family; one that is reached is enough. None means that there is nothing to
// reach by that family.
func (d Destinations) targets(six bool) (all []target) {
	add := func(from []netip.AddrPort, t target) {
		for _, a := range from {
			t.AddrPort = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
			if ip := t.Addr(); ip.Is6() == six && routable(ip) {
				all = append(all, t)
			}
		}
	}
	world := target{AddrPort: netip.AddrPortFrom(world4, 0)}
	if six {
		world.AddrPort = netip.AddrPortFrom(world6, 0)
	}
	add(d.Gateways, target{})
	add(d.Brokers, target{tcp: true})
	switch known := len(all) > 0; {
	case known && d.Names:
		add(d.Servers, target{routed: true})
		all = append(all, world)
		add(d.System, target{routed: true})
		return all
	case known:
		return all
	case !d.Names && !d.Told && slices.ContainsFunc(d.Gateways,
		func(a netip.AddrPort) bool { return routable(a.Addr().Unmap()) }):
		return nil
	}
	if add(d.Servers, target{}); len(all) > 0 {
		return all
	}
	all = []target{world}
	add(d.System, target{routed: true})
	return all
}

// routable leaves out addresses of this host or of a single link: they are no reason to have a WAN.
func routable(a netip.Addr) bool {
	return a.IsValid() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}
