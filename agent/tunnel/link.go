package tunnel

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes to the peers' allowed IPs (rtm_protocol; 64 and up are free for programs, rtnetlink(7)).
const routeProtocol = 119

// present gives an error, ENODEV, when there is no such device. It is asked every other second: a request by netlink would read the
// answer into two buffers of 64 KiB.
func present(ifname string) error {
	name, err := unix.NewIfreq(ifname)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, name)
}

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

// addresses brings the WireGuard device up with its MTU and its addresses. On a device of ours every other link-local or
// point-to-point address goes: it is the kernel's own, or of another key or configuration. What else there is may be a
// layer-3 mesh's.
func (t *Tunnel) addresses(link netlink.Link, d Device, ours bool) error {
	// The kernel gives a tun device a random link-local address of its own; gateways know only the derived one.
	if err := t.sysctl("net/ipv6/conf/"+d.Interface+"/addr_gen_mode", "1"); err != nil {
		return err
	}
	if err := t.up(link, d.MTU); err != nil {
		return portOf(d.Interface, d.ListenPort, err)
	}
	have, err := t.h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", d.Interface, err)
	}
	missing := slices.Clone(d.Addresses)
	for i, a := range missing {
		if a.Peer == a.Prefix.Addr() {
			missing[i].Peer = netip.Addr{} // as the kernel has it
		}
	}
	for _, a := range have {
		is := address(a)
		if i := slices.Index(missing, is); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			continue
		}
		if ours && (is.Prefix.Addr().IsLinkLocalUnicast() || is.Peer.IsValid()) {
			if err := t.change(func() error { return t.h.AddrDel(link, &a) }); err != nil {
				return fmt.Errorf("remove address %s from %s: %w", a.IPNet, d.Interface, err)
			}
		}
	}
	for _, want := range missing {
		addr := &netlink.Addr{IPNet: ipNet(want.Prefix)}
		if want.Peer.IsValid() {
			addr.Peer = ipNet(netip.PrefixFrom(want.Peer, want.Peer.BitLen()))
		}
		if want.Prefix.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := t.change(func() error { return t.h.AddrReplace(link, addr) }); err != nil {
			return fmt.Errorf("add address %s to %s: %w", want.Prefix, d.Interface, err)
		}
	}
	return nil
}

// address is what the kernel has, in our terms. It names an address without another end as its own other end.
func address(a netlink.Addr) (is Address) {
	own, _ := netip.AddrFromSlice(a.IP)
	ones, _ := a.Mask.Size()
	is.Prefix = netip.PrefixFrom(own.Unmap(), ones)
	if a.Peer == nil {
		return is
	}
	if peer, ok := netip.AddrFromSlice(a.Peer.IP); ok && peer.Unmap() != own.Unmap() {
		is.Peer = peer.Unmap()
		is.Prefix = netip.PrefixFrom(own.Unmap(), own.Unmap().BitLen())
	}
	return is
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
func (t *Tunnel) routes(link netlink.Link, d Device) error {
	if d.Unrouted {
		return nil
	}
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
