package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"wguplink/peerselector"
)

// Assign makes addresses a node's at layer 3, in place of those that it had: they become allowed IPs of its peer, and
// are routed to it, now or as soon as its key is added.
func (g *Gateway) Assign(key peerselector.Key, addrs []netip.Prefix) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.Equal(g.own3[key], addrs) {
		return nil
	}
	_, known := g.keys[key]
	if known && g.wg != nil {
		if err := g.c.Do(func() error { return g.unrouteAssigned(key) }); err != nil {
			return g.errorf("key %v: %w", key, err)
		}
	}
	g.own3[key] = slices.Clone(addrs)
	if !known || g.wg == nil {
		return nil
	}
	return g.addKey(key, true)
}

// ownAddrs are the WireGuard device's.
func (g *Gateway) ownAddrs() []netip.Prefix {
	own := []netip.Prefix{netip.PrefixFrom(g.c.LinkAddress, g.c.LinkPrefix)}
	if g.c.Layer3.IsValid() {
		own = append(own, netip.PrefixFrom(g.c.Layer3, g.c.Layer3.BitLen()))
	}
	return own
}

// allowed are the allowed IPs of a node. The caller holds mu.
func (g *Gateway) allowed(key peerselector.Key, link netip.Addr) []netip.Prefix {
	return append([]netip.Prefix{netip.PrefixFrom(link, link.BitLen())}, g.own3[key]...)
}

// routeAssigned and unrouteAssigned run inside the namespace. The caller holds mu.
func (g *Gateway) routeAssigned(key peerselector.Key) error {
	for _, p := range g.own3[key] {
		if err := netlink.RouteReplace(g.route(p)); err != nil {
			return fmt.Errorf("route to %v: %w", p, err)
		}
	}
	return nil
}

func (g *Gateway) unrouteAssigned(key peerselector.Key) error {
	var errs []error
	for _, p := range g.own3[key] {
		if err := netlink.RouteDel(g.route(p)); err != nil {
			errs = append(errs, fmt.Errorf("route to %v: %w", p, err))
		}
	}
	return errors.Join(errs...)
}
