package wan

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// Local is what the node has on the devices of the WAN.
type Local struct {
	Addresses []netip.Prefix // with the lengths of their networks
	Gateways  []netip.Addr   // the next hops of default routes, of all tables
	// Shared4 and Shared6 say that the main table has routes by these devices, beside link-local ones.
	Shared4, Shared6 bool
}

// ReadLocal reads what is on these devices; one that does not exist, or "", has nothing.
func ReadLocal(devices ...string) (Local, error) {
	h, err := netlink.NewHandle()
	if err != nil {
		return Local{}, fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	var out Local
	for _, name := range devices {
		link, err := h.LinkByName(name)
		if name == "" || errors.As(err, new(netlink.LinkNotFoundError)) {
			continue
		}
		if err != nil {
			return Local{}, fmt.Errorf("look up %s: %w", name, err)
		}
		if err := out.read(h, link); err != nil {
			return Local{}, fmt.Errorf("read addresses and routes of %s: %w", name, err)
		}
	}
	return out, nil
}

func (l *Local) read(h *netlink.Handle, link netlink.Link) error {
	addresses, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			ones, _ := a.Mask.Size()
			l.Addresses = append(l.Addresses, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		want := &netlink.Route{LinkIndex: link.Attrs().Index, Table: unix.RT_TABLE_UNSPEC}
		routes, err := h.RouteListFiltered(family, want, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if gateway, ok := netip.AddrFromSlice(r.Gw); ok && toAll(r) {
				l.Gateways = append(l.Gateways, gateway.Unmap())
			}
			if r.Table != unix.RT_TABLE_MAIN || r.Dst != nil &&
				(r.Dst.IP.IsLinkLocalUnicast() || r.Dst.IP.IsMulticast()) {
				continue
			}
			if family == netlink.FAMILY_V4 {
				l.Shared4 = true
			} else {
				l.Shared6 = true
			}
		}
	}
	return nil
}

// toAll says that a route is a default route.
func toAll(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}
