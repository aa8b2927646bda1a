package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// exitProtocol marks the default routes by a tunnel: the original's number (noderoute.lua in ffbs-mesh-vpn-parker), so
// that either program finds and replaces the other's.
const exitProtocol = 23

// exitMetric is that of the IPv6 default route. The kernel's own is 1024, which router advertisements get, too: with a
// smaller one ours is preferred without touching theirs.
const exitMetric = 512

// Exit are the default routes by one of the devices. The zero value wants none.
type Exit struct {
	Device     string
	Via4, Via6 netip.Addr // the other end; the zero Addr leaves the family without a route
	// MTU4 is what the IPv4 route says of packets by it, in bytes, where that is less than the device takes; 0 for
	// nothing.
	MTU4 int
	// Keep names the devices of the WAN. Where the main table has their default route, a second one there would have
	// the tunnel's own packets go through the tunnel: it is left out, with a warning.
	Keep []string
}

// exit makes the default routes of the main table that carry our number those that are wanted. One that exists is
// replaced in one message, so that there is no moment without; routes of others are left alone. A family that cannot
// have its route does not keep the other from its own: that is a warning, unless neither can.
func (t *Tunnel) exit(e Exit) (warnings []string, err error) {
	var errs []error
	for _, f := range []struct {
		family, metric, mtu int
		via                 netip.Addr
		name                string
	}{{netlink.FAMILY_V4, 0, e.MTU4, e.Via4, "IPv4"}, {netlink.FAMILY_V6, exitMetric, 0, e.Via6, "IPv6"}} {
		have, err := t.defaults(f.family)
		if err != nil {
			return nil, err
		}
		want := netlink.Route{
			Protocol: exitProtocol, Table: unix.RT_TABLE_MAIN, Priority: f.metric, MTU: f.mtu, Gw: f.via.AsSlice(),
			Dst: ipNet(netip.PrefixFrom(unspecified(f.family), 0)),
		}
		wanted := e.Device != "" && f.via.IsValid()
		if wanted {
			link, err := t.h.LinkByName(e.Device)
			if err != nil {
				return nil, fmt.Errorf("look up %s: %w", e.Device, err)
			}
			want.LinkIndex = link.Attrs().Index
			if dev := t.kept(have, e.Keep); dev != "" {
				wanted = false
				warnings = append(warnings,
					fmt.Sprintf(
						"no %s default route by the tunnel: the main routing table has that of the WAN by %s; give "+
							"the WAN a table of its own (option ip4table, ip6table)", f.name, dev))
			}
		}
		if err := t.oneDefault(have, want, wanted, f.name); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 1 {
		return append(warnings, errs[0].Error()), nil
	}
	return warnings, errors.Join(errs...)
}

// oneDefault leaves want as the only default route with our number, or none. It comes before those of others with the
// same metric, which stay.
func (t *Tunnel) oneDefault(have []netlink.Route, want netlink.Route, wanted bool, family string) error {
	top := slices.IndexFunc(have, func(r netlink.Route) bool { return r.Priority == want.Priority })
	replace, keep := false, -1
	if wanted && top >= 0 && have[top].Protocol == exitProtocol {
		keep = top
		replace = have[top].LinkIndex != want.LinkIndex || !have[top].Gw.Equal(want.Gw) || have[top].MTU != want.MTU
	}
	remove := func() error {
		for i, r := range have {
			if r.Protocol != exitProtocol || i == keep {
				continue
			}
			if err := t.change(func() error { return t.h.RouteDel(&r) }); err != nil {
				return fmt.Errorf("remove the %s default route via %s: %w", family, r.Gw, err)
			}
		}
		return nil
	}
	if !wanted || keep >= 0 && !replace {
		return remove()
	}
	put := t.h.RouteReplace
	if !replace {
		put = t.h.RouteAddEcmp // that is, in front; there is no second hop
		if err := remove(); err != nil {
			return err // one of ours that another program's has been put before
		}
	}
	if err := t.change(func() error { return put(&want) }); err != nil {
		return fmt.Errorf("put the %s default route via %s: %w", family, want.Gw, err)
	}
	if !replace {
		return nil
	}
	return remove()
}

// defaults lists the default routes of the main table, in the order in which the kernel would take them.
func (t *Tunnel) defaults(family int) ([]netlink.Route, error) {
	all, err := t.h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list default routes: %w", err)
	}
	return slices.DeleteFunc(all, func(r netlink.Route) bool {
		p, ok := destination(r)
		return !ok || p.Bits() != 0 || r.Type != unix.RTN_UNICAST
	}), nil
}

// kept finds a default route by one of the devices that must keep theirs.
func (t *Tunnel) kept(have []netlink.Route, keep []string) string {
	for _, r := range have {
		if r.Protocol == exitProtocol {
			continue
		}
		if l, err := t.h.LinkByIndex(r.LinkIndex); err == nil && slices.Contains(keep, l.Attrs().Name) {
			return l.Attrs().Name
		}
	}
	return ""
}

func unspecified(family int) netip.Addr {
	if family == netlink.FAMILY_V4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
