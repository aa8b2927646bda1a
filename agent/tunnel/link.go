package tunnel

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks our routes in the routing table (rtm_protocol; 64 and up are free for programs, rtnetlink(7)).
const routeProtocol = 119

// removeLink deletes a device that carries our mark. One that is gone, or is not ours, is left as it is.
func (t *Tunnel) removeLink(ifname, uplink string) error {
	link, err := t.h.LinkByName(ifname)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", ifname, err)
	}
	if !owned(link, uplink) {
		return nil
	}
	if err := t.change(func() error { return t.h.LinkDel(link) }); err != nil && !isNotFound(err) {
		return fmt.Errorf("delete %s: %w", ifname, err)
	}
	return nil
}

// addresses brings the WireGuard device up with its MTU and link address.
func (t *Tunnel) addresses(link netlink.Link, d Desired) error {
	// The kernel gives a tun device a random link-local address of its own; gateways know only the derived one.
	if err := t.sysctl("net/ipv6/conf/"+d.Interface+"/addr_gen_mode", "1"); err != nil {
		return err
	}
	if err := t.up(link, d.MTU); err != nil {
		return err
	}
	have, err := t.h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", d.Interface, err)
	}
	found := false
	for _, a := range have {
		p, ok := prefix(*a.IPNet)
		addr, _ := netip.AddrFromSlice(a.IP)
		if ok && p == d.Address.Masked() && addr.Unmap() == d.Address.Addr() {
			found = true
			continue
		}
		// Of another key of ours, or the kernel's own. Others may be a layer-3 mesh's.
		if owned(link, d.Name) && addr.IsLinkLocalUnicast() {
			if err := t.change(func() error { return t.h.AddrDel(link, &a) }); err != nil {
				return fmt.Errorf("remove address %s from %s: %w", a.IPNet, d.Interface, err)
			}
		}
	}
	if found {
		return nil
	}
	addr := &netlink.Addr{IPNet: ipNet(d.Address)}
	if d.Address.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := t.change(func() error { return t.h.AddrReplace(link, addr) }); err != nil {
		return fmt.Errorf("add address %s to %s: %w", d.Address, d.Interface, err)
	}
	return nil
}

// up sets the MTU and brings the link up, where it is not so yet.
func (t *Tunnel) up(link netlink.Link, mtu int) error {
	a := link.Attrs()
	if mtu != 0 && a.MTU != mtu {
		if err := t.change(func() error { return t.h.LinkSetMTU(link, mtu) }); err != nil {
			return fmt.Errorf("set MTU %d on %s: %w", mtu, a.Name, err)
		}
	}
	if a.RawFlags&unix.IFF_UP == 0 {
		if err := t.change(func() error { return t.h.LinkSetUp(link) }); err != nil {
			return fmt.Errorf("bring %s up: %w", a.Name, err)
		}
	}
	return nil
}

func (t *Tunnel) sysctl(name, value string) error {
	path := "/proc/sys/" + name
	have, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s (is IPv6 switched off?): %w", path, err)
	}
	if strings.TrimSpace(string(have)) == value {
		return nil
	}
	if err := t.change(func() error { return os.WriteFile(path, []byte(value), 0) }); err != nil {
		return fmt.Errorf("set %s to %s: %w", path, value, err)
	}
	return nil
}

// routes points the allowed IPs of the promoted peers at the device.
func (t *Tunnel) routes(link netlink.Link, d Desired) error {
	want := map[netip.Prefix]bool{}
	for _, p := range d.Peers {
		for _, a := range p.AllowedIPs {
			want[a.Masked()] = true
		}
	}
	filter := &netlink.Route{LinkIndex: link.Attrs().Index, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}
	have, err := t.h.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("list routes by %s: %w", d.Interface, err)
	}
	var stale []netlink.Route
	for _, r := range have {
		if p, ok := destination(r); ok && want[p] {
			delete(want, p)
		} else {
			stale = append(stale, r)
		}
	}
	for p := range want {
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(p), Protocol: routeProtocol, Scope: netlink.SCOPE_LINK}
		if err := t.change(func() error { return t.h.RouteReplace(r) }); err != nil {
			return fmt.Errorf("add route to %s by %s: %w", p, d.Interface, err)
		}
	}
	for _, r := range stale {
		if err := t.change(func() error { return t.h.RouteDel(&r) }); err != nil {
			return fmt.Errorf("remove route to %s by %s: %w", r.Dst, d.Interface, err)
		}
	}
	return nil
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
