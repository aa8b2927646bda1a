package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// routeProtocol marks the routes to the peers' allowed IPs, and those to their endpoints (rtm_protocol; 64 and up are
// free for programs, rtnetlink(7)).
const routeProtocol = 119

// routes points the allowed IPs of the promoted peers at the device, except those that are withheld. A route of
// another program that is in the way stays; it is a warning.
func (t *Tunnel) routes(link netlink.Link, d Device, withheld []netip.Prefix) (warnings []string, err error) {
	var list []netip.Prefix // in the order of the configuration
	want := map[netip.Prefix]bool{}
	for _, p := range routed(d) {
		if !want[p] && !slices.Contains(withheld, p) && !(p.Addr().Is6() && t.memory(d.Interface).no6) {
			list, want[p] = append(list, p), true
		}
	}
	have, err := t.ours()
	if err != nil {
		return nil, err
	}
	var stale []netlink.Route
	for _, r := range have {
		if r.LinkIndex != link.Attrs().Index || r.Table != unix.RT_TABLE_MAIN || isDetour(r) {
			continue
		}
		if p, ok := destination(r); ok && want[p] {
			delete(want, p)
		} else {
			stale = append(stale, r)
		}
	}
	for _, p := range list {
		if !want[p] {
			continue // there already
		}
		w, err := t.addRoute(link, p)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, w...)
	}
	w, err := t.behind(link, list)
	if err != nil {
		return nil, err
	}
	warnings = append(warnings, w...)
	for _, r := range stale {
		if err := t.change(func() error { return t.h.RouteDel(&r) }); err != nil && !errors.Is(err, unix.ESRCH) {
			return nil, fmt.Errorf("remove route to %s by %s: %w", r.Dst, d.Interface, err)
		}
	}
	return warnings, nil
}

// routed are the prefixes that go by a device.
func routed(d Device) (list []netip.Prefix) {
	for _, p := range d.Reach {
		list = append(list, p.Masked())
	}
	if d.Unrouted {
		return list
	}
	for _, p := range d.Peers {
		for _, a := range p.AllowedIPs {
			list = append(list, a.Masked())
		}
	}
	return list
}

func (t *Tunnel) addRoute(link netlink.Link, p netip.Prefix) (warnings []string, err error) {
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p), Protocol: routeProtocol,
		Scope: netlink.SCOPE_LINK}
	put := t.h.RouteAdd
	if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
		// Each link has link-local addresses of its own: another link's route to the same is not in the way.
		put = t.h.RouteAddEcmp
	}
	err = put(r)
	if errors.Is(err, unix.EEXIST) {
		by, err := t.inTheWay(link, p)
		if by != "" {
			warnings = append(warnings, fmt.Sprintf(
				"no route to %s by %s: there is one %s already, which stays; remove it, take the prefix out of "+
					"allowed_ips, or set route_allowed_ips '0' where another program sees to the routes", p,
				link.Attrs().Name, by))
		}
		return warnings, err
	}
	if err := t.change(func() error { return err }); err != nil {
		return nil, fmt.Errorf("add route to %s by %s: %w", p, link.Attrs().Name, err)
	}
	return nil, nil
}

// inTheWay describes the route to the same prefix because of which the kernel does not take ours; "" when that one
// leads by our device, too.
func (t *Tunnel) inTheWay(link netlink.Link, p netip.Prefix) (string, error) {
	family := netlink.FAMILY_V4
	if p.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := t.h.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return "", fmt.Errorf("list routes to %s: %w", p, err)
	}
	by := ""
	for _, r := range all {
		if dst, ok := destination(r); !ok || dst != p {
			continue
		}
		if r.LinkIndex == link.Attrs().Index {
			return "", nil
		}
		if by == "" {
			by = t.leads(r)
		}
	}
	return by, nil
}

// metric6 is that of an IPv6 route which was made without one (IP6_RT_PRIO_USER in linux/ipv6_route.h), as ours are. An
// IPv4 route without one comes before all others.
const metric6 = 1024

// behind warns of routes of ours that are not used, because another's to the same prefix has a lower metric.
func (t *Tunnel) behind(link netlink.Link, list []netip.Prefix) (warnings []string, err error) {
	list = slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool {
		return p.Addr().Is4() || p.Addr().IsLinkLocalUnicast()
	})
	if len(list) == 0 {
		return nil, nil
	}
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	all, err := t.h.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list IPv6 routes: %w", err)
	}
	to := func(r netlink.Route, p netip.Prefix) bool { dst, ok := destination(r); return ok && dst == p }
	for _, p := range list {
		ours := func(r netlink.Route) bool { return r.LinkIndex == link.Attrs().Index && to(r, p) }
		first := slices.IndexFunc(all, func(r netlink.Route) bool {
			return r.LinkIndex != link.Attrs().Index && r.SourceBits == 0 && r.Priority < metric6 && to(r, p)
		})
		if first >= 0 && slices.ContainsFunc(all, ours) {
			warnings = append(warnings, fmt.Sprintf("the route to %s by %s is not used: one %s comes before it, "+
				"with metric %d; remove that, take the prefix out of allowed_ips, or set route_allowed_ips '0' where "+
				"another program sees to the routes", p, link.Attrs().Name, t.leads(all[first]), all[first].Priority))
		}
	}
	return warnings, nil
}

// leads says where a route leads, for people.
func (t *Tunnel) leads(r netlink.Route) string {
	s := ""
	if r.Gw != nil {
		s = "via " + r.Gw.String() + " "
	}
	if l, err := t.h.LinkByIndex(r.LinkIndex); err == nil {
		return s + "by " + l.Attrs().Name
	}
	if len(r.MultiPath) > 0 {
		return "by several ways"
	}
	return s + "of another kind"
}

// ours lists the routes of all tables that carry our number.
func (t *Tunnel) ours() ([]netlink.Route, error) {
	filter := &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_UNSPEC}
	have, err := t.h.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list our routes: %w", err)
	}
	return have, nil
}

func destination(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil {
		if r.Family == netlink.FAMILY_V4 {
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
		}
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0), true
	}
	return prefix(*r.Dst)
}
