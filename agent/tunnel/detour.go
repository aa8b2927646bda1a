package tunnel

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// A detour is a host route to a gateway's endpoint. It keeps WireGuard's own packets out of the tunnel where a route to
// allowed IPs covers the endpoint, and it gives them an address of the line as source where the kernel would take one
// of the tunnel's.

// The metric of a detour tells which uplink it belongs to: its upper half is always this. A host route comes before all
// others, so the metric decides nothing.
const detourMetric = 0x7767_0000

func metricOf(uplink string) int {
	return detourMetric | int(crc32.ChecksumIEEE([]byte(uplink))&0xffff)
}

func isDetour(r netlink.Route) bool {
	return r.Protocol == routeProtocol && r.Priority&^0xffff == detourMetric
}

// detours adds the detours that the peers need. It gives the allowed IPs that may not be routed, because an endpoint
// inside has no other way, and the detours that are obsolete now.
func (t *Tunnel) detours(d Desired, links []netlink.Link) (withheld []netip.Prefix, obsolete []netlink.Route,
	warnings []string, err error) {
	all, err := t.ours()
	if err != nil {
		return nil, nil, nil, err
	}
	metric := metricOf(d.Name)
	for _, r := range all {
		if isDetour(r) && r.Priority == metric {
			obsolete = append(obsolete, r)
		}
	}
	w, err := t.ways(d, links)
	if err != nil {
		return nil, nil, nil, err
	}
	seen := map[netip.Addr]bool{}
	for _, dev := range d.Devices {
		for _, p := range dev.Peers {
			e := p.Endpoint.Addr().Unmap()
			if !e.IsValid() || e.IsLinkLocalUnicast() || e.IsLoopback() || seen[e] {
				continue
			}
			seen[e] = true
			dst := netip.PrefixFrom(e, e.BitLen())
			is := func(r netlink.Route) bool { have, ok := destination(r); return ok && have == dst }
			i := slices.IndexFunc(obsolete, is)
			want, warning, err := t.detour(e, dev.FwMark, w, i >= 0)
			if err != nil {
				return nil, nil, nil, err
			}
			if warning != "" && !slices.Contains(warnings, warning) {
				warnings = append(warnings, warning)
			}
			if want == nil {
				if cover := w.cover(e); cover.IsValid() && w.blind[e] {
					withheld = append(withheld, w.covers(e)...)
				}
				continue
			}
			want.Priority = metric
			if i >= 0 && sameWay(obsolete[i], *want) {
				obsolete = slices.Delete(obsolete, i, i+1)
				continue
			}
			if i >= 0 && obsolete[i].Table == want.Table {
				obsolete = slices.Delete(obsolete, i, i+1)
			}
			// What has our number and the uplink's metric is our own: nothing of others is replaced.
			if err := t.change(func() error { return t.h.RouteReplace(want) }); err != nil {
				return nil, nil, nil, fmt.Errorf("keep the way to %s outside the tunnel: %w", e, err)
			}
		}
	}
	return withheld, obsolete, warnings, nil
}

// dropDetours removes detours.
func (t *Tunnel) dropDetours(list []netlink.Route) error {
	for _, r := range list {
		if err := t.change(func() error { return t.h.RouteDel(&r) }); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove the route to the endpoint %s: %w", r.Dst, err)
		}
	}
	return nil
}

func (t *Tunnel) removeDetours(uplink string) error {
	all, err := t.ours()
	if err != nil {
		return err
	}
	metric := metricOf(uplink)
	return t.dropDetours(slices.DeleteFunc(all, func(r netlink.Route) bool {
		return !isDetour(r) ||
			r.Priority != metric
	}))
}

// ways is what the detours of one Apply have in common.
type ways struct {
	own      map[int]bool        // links that are ours, or stand on ours
	inside   map[netip.Addr]bool // addresses of our devices that could be taken as a source
	prefixes []netip.Prefix      // that the devices route
	blind    map[netip.Addr]bool // endpoints without any way outside the tunnel
}

func (t *Tunnel) ways(d Desired, links []netlink.Link) (*ways, error) {
	w := &ways{own: map[int]bool{}, inside: map[netip.Addr]bool{}, blind: map[netip.Addr]bool{}}
	for _, l := range links {
		w.own[l.Attrs().Index] = true
		addrs, err := t.h.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
		}
		for _, a := range addrs {
			if is := address(a).Prefix.Addr(); !is.IsLinkLocalUnicast() {
				w.inside[is] = true
			}
		}
	}
	if d.VXLAN != nil {
		// The mesh on top, and the bridge that has it as a port, are reached by the tunnel alone.
		for l, err := t.h.LinkByName(d.VXLAN.Name); err == nil &&
			!w.own[l.Attrs().Index]; l, err = t.h.LinkByIndex(l.Attrs().MasterIndex) {
			w.own[l.Attrs().Index] = true
			if l.Attrs().MasterIndex == 0 {
				break
			}
		}
	}
	for _, dev := range d.Devices {
		w.prefixes = append(w.prefixes, routed(dev)...)
	}
	return w, nil
}

// covers are the routed prefixes that contain an address; cover is the longest of them.
func (w *ways) covers(a netip.Addr) (list []netip.Prefix) {
	for _, p := range w.prefixes {
		if p.Contains(a) {
			list = append(list, p)
		}
	}
	return list
}

func (w *ways) cover(a netip.Addr) (longest netip.Prefix) {
	for _, p := range w.covers(a) {
		if !longest.IsValid() || p.Bits() > longest.Bits() {
			longest = p
		}
	}
	return longest
}

// detour gives the detour to an endpoint; nil when none is needed or possible.
func (t *Tunnel) detour(e netip.Addr, mark uint32, w *ways, there bool) (want *netlink.Route,
	warning string, err error) {
	cover, table := w.cover(e), unix.RT_TABLE_MAIN
	answer, err := t.h.RouteGetWithOptions(e.AsSlice(), &netlink.RouteGetOptions{Mark: mark})
	outside := err == nil && len(answer) > 0 && !w.own[answer[0].LinkIndex]
	if outside {
		a := answer[0]
		if a.Type == unix.RTN_LOCAL {
			return nil, "", nil
		}
		if a.Table != 0 {
			table = a.Table
		}
		src, _ := netip.AddrFromSlice(a.Src)
		if !there && !w.inside[src.Unmap()] && (!cover.IsValid() || table != unix.RT_TABLE_MAIN) {
			return nil, "", nil
		}
	} else if !cover.IsValid() {
		return nil, "", nil // no way at all: the WAN's business
	}
	base, err := t.best(e, table, w)
	if err != nil {
		return nil, "", err
	}
	if base == nil {
		if !cover.IsValid() || outside && table != unix.RT_TABLE_MAIN {
			return nil, "", nil
		}
		w.blind[e] = true
		return nil,
			fmt.Sprintf(
				"no route to %s by the tunnel: the endpoint %s of a gateway lies inside, and no other route "+
					"leads to it", cover, e), nil
	}
	baseDst, _ := destination(*base)
	loops := cover.IsValid() && table == unix.RT_TABLE_MAIN && baseDst.Bits() <= cover.Bits()
	src, warning, err := t.source(e, base, w)
	if err != nil {
		return nil, "", err
	}
	if !loops && src == nil {
		return nil, warning, nil
	}
	want = &netlink.Route{Dst: ipNet(netip.PrefixFrom(e, e.BitLen())), Table: table, Protocol: routeProtocol,
		LinkIndex: base.LinkIndex, Gw: base.Gw, Via: base.Via, MultiPath: base.MultiPath,
		Scope: base.Scope, Src: base.Src,
		Flags: base.Flags & int(netlink.FLAG_ONLINK)}
	if src != nil {
		want.Src = src
	}
	return want, warning, nil
}

// best is the route of a table by which an address would be reached without us; nil when there is none.
func (t *Tunnel) best(e netip.Addr, table int, w *ways) (*netlink.Route, error) {
	family := netlink.FAMILY_V4
	if e.Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := t.h.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes to %s: %w", e, err)
	}
	var best *netlink.Route
	bits := -1
	for _, r := range all {
		p, ok := destination(r)
		if !ok || !p.Contains(e) || isDetour(r) || w.own[r.LinkIndex] || r.Flags&unix.RTNH_F_DEAD != 0 {
			continue
		}
		if p.Bits() > bits || p.Bits() == bits && r.Priority < best.Priority {
			best, bits = &r, p.Bits()
		}
	}
	if best == nil || best.Type != unix.RTN_UNICAST {
		return nil, nil
	}
	return best, nil
}

// source gives the address that packets by a route have to come from, where the kernel would take one of the tunnel's.
// That is so where the line has no address of its own: the kernel then looks on all other links. The warning is for a
// node that has no other address at all.
func (t *Tunnel) source(e netip.Addr, base *netlink.Route, w *ways) (src net.IP, warning string, err error) {
	family := netlink.FAMILY_V4
	if e.Is6() {
		family = netlink.FAMILY_V6
	}
	competes := false
	for a := range w.inside {
		competes = competes || a.Is6() == e.Is6()
	}
	if !competes || base.Src != nil || base.LinkIndex == 0 {
		return nil, "", nil
	}
	addrs, err := t.h.AddrList(nil, family)
	if err != nil {
		return nil, "", fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		is := address(a).Prefix.Addr()
		if !is.IsGlobalUnicast() || w.own[a.LinkIndex] || a.Scope != int(netlink.SCOPE_UNIVERSE) ||
			a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			continue
		}
		if a.LinkIndex == base.LinkIndex {
			return nil, "", nil
		}
		if src == nil {
			src = is.AsSlice()
		}
	}
	if src != nil {
		return src, "", nil
	}
	line := "the line"
	if l, err := t.h.LinkByIndex(base.LinkIndex); err == nil {
		line = l.Attrs().Name
	}
	return nil,
		fmt.Sprintf(
			"packets to the gateway at %s leave by %s with an address of the tunnel as source, and no answer can "+
				"come back: "+
				"the node has no global address of its own there; give %s one, or leave that family out with "+
				"address_family",
			e, line, line), nil
}

// sameWay says that two host routes lead the same way.
func sameWay(a, b netlink.Route) bool {
	hops := func(x, y *netlink.NexthopInfo) bool { return x.LinkIndex == y.LinkIndex && x.Gw.Equal(y.Gw) }
	return a.Table == b.Table && a.LinkIndex == b.LinkIndex && a.Gw.Equal(b.Gw) && a.Src.Equal(b.Src) &&
		slices.EqualFunc(a.MultiPath, b.MultiPath, hops)
}
