package concentrator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/peerselector"
	"wguplink/testbed/parker"
	"wguplink/testbed/wgdevice"
)

// become makes these the peers, and gives those that are new or different.
func (c *Concentrator) become(ctx context.Context, want map[peerselector.Key]parker.Node) (added []parker.Node,
	err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wg == nil || ctx.Err() != nil {
		return nil, nil
	}
	err = c.c.Do(func() error {
		var errs []error
		for key, old := range c.nodes {
			if n, ok := want[key]; !ok || n != old {
				errs = append(errs, c.remove(old, ok))
				delete(c.nodes, key)
			}
		}
		for key, n := range want {
			if _, ok := c.nodes[key]; ok {
				continue
			}
			if err := c.add(n); err != nil {
				errs = append(errs, err)
				continue
			}
			c.nodes[key] = n
			added = append(added, n)
		}
		return errors.Join(errs...)
	})
	close(c.changed)
	c.changed = make(chan struct{})
	if err != nil {
		return added, c.errorf("%w", err)
	}
	return added, nil
}

// add makes a node a peer with routes. An address inside one of its ranges needs no route of its own.
func (c *Concentrator) add(n parker.Node) error {
	prefixes := n.Prefixes()
	if err := c.wg.SetPeer(n.Key, prefixes...); err != nil {
		return fmt.Errorf("node %v: %w", n.Key, err)
	}
	for _, p := range routed(prefixes) {
		if err := netlink.RouteReplace(c.route(p)); err != nil {
			return fmt.Errorf("node %v: route to %v: %w", n.Key, p, err)
		}
	}
	return nil
}

// remove undoes add. A node that is to be changed keeps its peer, and with it its session.
func (c *Concentrator) remove(n parker.Node, keepPeer bool) error {
	var errs []error
	if !keepPeer {
		errs = append(errs, c.wg.RemovePeer(n.Key))
	}
	for _, p := range routed(n.Prefixes()) {
		if err := netlink.RouteDel(c.route(p)); !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("node %v: %w", n.Key, err)
	}
	return nil
}

func routed(prefixes []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool {
		return slices.ContainsFunc(prefixes, func(q netip.Prefix) bool {
			return q != p && q.Bits() <= p.Bits() &&
				q.Contains(p.Addr())
		})
	})
}

func (c *Concentrator) route(dst netip.Prefix) *netlink.Route {
	return &netlink.Route{LinkIndex: c.index, Dst: wgdevice.IPNet(dst), Protocol: unix.RTPROT_STATIC}
}
