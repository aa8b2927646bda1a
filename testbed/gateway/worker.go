package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"wguplink/peerselector"
	"wguplink/testbed/wgdevice"
)

// PeerStats is what WireGuard knows of one node.
type PeerStats struct {
	LinkAddress netip.Addr
	wgdevice.PeerStats
}

// AddKey does what the worker does for a key from the broker: the peer with its link address as the only allowed IP, a
// route to that address, and one more flooding entry of the VXLAN device. A known key is renewed.
func (g *Gateway) AddKey(key peerselector.Key) error { return g.add(key, true) }

// AddPeer adds the peer with its link address as the only allowed IP, and neither route nor flooding entry: what
// operators do at gateways where a glue sees to the rest.
func (g *Gateway) AddPeer(key peerselector.Key) error { return g.add(key, false) }

func (g *Gateway) add(key peerselector.Key, way bool) error {
	g.mu.Lock()
	err := g.addKey(key, way)
	g.mu.Unlock()
	if err == nil {
		g.event(Added, key)
	}
	return err
}

// addKey adds a peer, with the way to it if that is wanted. The caller holds mu.
func (g *Gateway) addKey(key peerselector.Key, way bool) error {
	if g.wg == nil {
		return g.errorf("key %v: %w", key, ErrDown)
	}
	addr := g.c.LinkLocal(key)
	err := g.c.Do(func() error {
		if err := g.wg.SetPeer(key, g.allowed(key, addr)...); err != nil {
			return err
		}
		if !way {
			return nil
		}
		return errors.Join(g.addWay(addr), g.routeAssigned(key))
	})
	if err != nil {
		return g.errorf("key %v: %w", key, err)
	}
	g.keys[key] = addr
	return nil
}

// SetWay adds or removes the route to a node and its flooding entry.
func (g *Gateway) SetWay(key peerselector.Key, present bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wg == nil {
		return g.errorf("way to %v: %w", key, ErrDown)
	}
	addr := g.c.LinkLocal(key)
	err := g.c.Do(func() error {
		if present {
			return g.addWay(addr)
		}
		return errors.Join(g.delWay(addr)...)
	})
	if err != nil {
		return g.errorf("way to %v: %w", key, err)
	}
	return nil
}

// addWay and delWay run inside the namespace.
func (g *Gateway) addWay(addr netip.Addr) error {
	host := netip.PrefixFrom(addr, addr.BitLen())
	if err := netlink.RouteReplace(g.route(host)); err != nil {
		return fmt.Errorf("route to %v: %w", host, err)
	}
	if g.c.VXLAN.ID == 0 {
		return nil
	}
	return flood(g.vxIdx, addr, g.wgIdx, true)
}

func (g *Gateway) delWay(addr netip.Addr) []error {
	errs := []error{netlink.RouteDel(g.route(netip.PrefixFrom(addr, addr.BitLen())))}
	if g.c.VXLAN.ID != 0 {
		errs = append(errs, flood(g.vxIdx, addr, g.wgIdx, false))
	}
	return errs
}

// RemoveKey undoes AddKey, as the worker does for a node that was silent for hours. An unknown key gives
// os.ErrNotExist.
func (g *Gateway) RemoveKey(key peerselector.Key) error {
	g.mu.Lock()
	err := g.removeKey(key)
	g.mu.Unlock()
	if err == nil {
		g.event(Removed, key)
	}
	return err
}

func (g *Gateway) removeKey(key peerselector.Key) error {
	if g.wg == nil {
		return g.errorf("key %v: %w", key, ErrDown)
	}
	addr, ok := g.keys[key]
	if !ok {
		return g.errorf("key %v: %w", key, os.ErrNotExist)
	}
	err := g.c.Do(func() error {
		return errors.Join(append(g.delWay(addr), g.unrouteAssigned(key), g.wg.RemovePeer(key))...)
	})
	if err != nil {
		return g.errorf("key %v: %w", key, err)
	}
	delete(g.keys, key)
	return nil
}

// ForgetKeys removes all keys: the gateway has lost them, the nodes do not know.
func (g *Gateway) ForgetKeys() error {
	var errs []error
	for _, key := range g.Keys() {
		if err := g.RemoveKey(key); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Keys returns the keys that were added and not removed, in no order.
func (g *Gateway) Keys() []peerselector.Key {
	g.mu.Lock()
	defer g.mu.Unlock()
	keys := make([]peerselector.Key, 0, len(g.keys))
	for key := range g.keys {
		keys = append(keys, key)
	}
	return keys
}

// Stats returns what WireGuard knows of the nodes, by key.
func (g *Gateway) Stats() (map[peerselector.Key]PeerStats, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wg == nil {
		return nil, g.errorf("peers: %w", ErrDown)
	}
	var known map[peerselector.Key]wgdevice.PeerStats
	err := g.c.Do(func() (err error) {
		known, err = g.wg.Stats()
		return err
	})
	if err != nil {
		return nil, g.errorf("peers: %w", err)
	}
	stats := make(map[peerselector.Key]PeerStats, len(known))
	for key, s := range known {
		stats[key] = PeerStats{LinkAddress: g.keys[key], PeerStats: s}
	}
	return stats, nil
}

// Handshakes gives the time of each node's last handshake; zero: none yet.
func (g *Gateway) Handshakes() (map[peerselector.Key]time.Time, error) {
	stats, err := g.Stats()
	if err != nil {
		return nil, err
	}
	at := make(map[peerselector.Key]time.Time, len(stats))
	for key, s := range stats {
		at[key] = s.LastHandshake
	}
	return at, nil
}

// Data is what nodes need to reach the gateway, but for its external address.
func (g *Gateway) Data() (port uint16, key peerselector.Key, linkAddress string) {
	if g.c.Layer3.IsValid() {
		return g.c.ListenPort, g.PublicKey(), g.c.Layer3.String()
	}
	return g.c.ListenPort, g.PublicKey(), g.c.LinkAddress.String()
}

func (g *Gateway) route(dst netip.Prefix) *netlink.Route {
	return &netlink.Route{LinkIndex: g.wgIdx, Dst: wgdevice.IPNet(dst), Protocol: unix.RTPROT_STATIC}
}

// flood appends (or deletes) the all-zero-MAC entry that makes a VXLAN device send broadcasts and frames to unknown
// addresses to dst through the device via; like "bridge fdb append 00:00:00:00:00:00 dev VX dst DST via VIA". An entry
// that is there already is not doubled: the kernel compares dst and via.
func flood(vxlan int, dst netip.Addr, via int, add bool) error {
	kind, flags, verb := unix.RTM_DELNEIGH, 0, "delete"
	if add {
		kind, flags, verb = unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "append"
	}
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	req.AddData(&netlink.Ndmsg{
		Family: unix.AF_BRIDGE,
		Index:  uint32(vxlan),
		State:  netlink.NUD_NOARP | netlink.NUD_PERMANENT,
		Flags:  netlink.NTF_SELF,
	})
	req.AddData(nl.NewRtAttr(netlink.NDA_LLADDR, make([]byte, 6)))
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, dst.AsSlice()))
	req.AddData(nl.NewRtAttr(netlink.NDA_IFINDEX, nl.Uint32Attr(uint32(via))))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("%s forwarding entry to %v: %w", verb, dst, err)
	}
	return nil
}
