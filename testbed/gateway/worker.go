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

// connectedFor is the age up to which a handshake counts a node as connected: WireGuard's Reject-After-Time.
const connectedFor = 180 * time.Second

// PeerStats is what WireGuard knows of one node.
type PeerStats struct {
	LinkAddress netip.Addr
	wgdevice.PeerStats
}

// AddKey does what the worker does for a key from the broker: the peer with its link address as the only allowed IP, a
// route to that address, and one more flooding entry of the VXLAN device. A known key is renewed.
func (g *Gateway) AddKey(key peerselector.Key) error {
	g.mu.Lock()
	err := g.addKey(key)
	g.mu.Unlock()
	if err == nil {
		g.event(Added, key)
	}
	return err
}

func (g *Gateway) addKey(key peerselector.Key) error {
	if g.wg == nil {
		return g.errorf("key %v: %w", key, ErrDown)
	}
	addr := g.c.LinkLocal(key)
	host := netip.PrefixFrom(addr, addr.BitLen())
	err := g.c.Do(func() error {
		if err := g.wg.SetPeer(key, host); err != nil {
			return err
		}
		if err := netlink.RouteReplace(g.route(host)); err != nil {
			return fmt.Errorf("route to %v: %w", host, err)
		}
		if g.c.VXLAN.ID == 0 {
			return nil
		}
		return flood(g.vxIdx, addr, g.wgIdx, true)
	})
	if err != nil {
		return g.errorf("key %v: %w", key, err)
	}
	g.keys[key] = addr
	return nil
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
	host := netip.PrefixFrom(addr, addr.BitLen())
	err := g.c.Do(func() error {
		errs := []error{g.wg.RemovePeer(key), netlink.RouteDel(g.route(host))}
		if g.c.VXLAN.ID != 0 {
			errs = append(errs, flood(g.vxIdx, addr, g.wgIdx, false))
		}
		return errors.Join(errs...)
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

// Connected returns how many nodes had a handshake in the three minutes before now: what the worker reports to the
// broker as connected_peers.
func (g *Gateway) Connected(now time.Time) (int, error) {
	stats, err := g.Stats()
	n := 0
	for _, s := range stats {
		if !s.LastHandshake.IsZero() && now.Sub(s.LastHandshake) < connectedFor {
			n++
		}
	}
	return n, err
}

func (g *Gateway) route(dst netip.Prefix) *netlink.Route {
	return &netlink.Route{LinkIndex: g.wgIdx, Dst: wgdevice.IPNet(dst), Protocol: unix.RTPROT_STATIC}
}

// flood appends (or deletes) the all-zero-MAC entry that makes a VXLAN device send frames for everybody to dst through
// the device via; like "bridge fdb append 00:00:00:00:00:00 dev VX dst DST via VIA". An entry that is there already is
// not doubled: the kernel compares dst and via.
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
