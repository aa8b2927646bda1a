package tunnel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// addresses brings a WireGuard device of ours up with its MTU and its addresses. Every other link-local or
// point-to-point address goes: it is the kernel's own, or of another key or configuration. What else there is may be a
// layer-3 mesh's. A device that does not need IPv6 goes without where there is none: that is a warning, if it was to
// have some.
func (t *Tunnel) addresses(link netlink.Link, d Device, vxlan bool) (warnings []string, err error) {
	missing := slices.Clone(d.Addresses)
	m := t.memory(d.Interface)
	err6 := t.ipv6(d.Interface)
	m.no6 = err6 != nil
	if err6 != nil {
		if needs6(d, vxlan) {
			return nil, fmt.Errorf("%s needs IPv6: %w", d.Interface, err6)
		}
		missing = slices.DeleteFunc(missing, func(a Address) bool { return a.Prefix.Addr().Is6() })
		warnings = append(warnings, fmt.Sprintf("%s goes without IPv6: %v", d.Interface, err6))
	}
	if err := t.up(link, d.MTU); err != nil {
		return nil, portOf(d.Interface, d.ListenPort, err)
	}
	have, err := t.h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", d.Interface, err)
	}
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
		if is.Prefix.Addr().IsLinkLocalUnicast() || is.Peer.IsValid() || slices.Contains(d.Gone, is.Prefix) {
			if err := t.change(func() error { return t.h.AddrDel(link, &a) }); err != nil {
				return nil, fmt.Errorf("remove address %s from %s: %w", a.IPNet, d.Interface, err)
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
			return nil, fmt.Errorf("add address %s to %s: %w", want.Prefix, d.Interface, err)
		}
	}
	return warnings, nil
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

// ipv6 lets a device of ours have IPv6 addresses, and only those that it is given: the kernel gives a tun device a
// random link-local address of its own, but gateways know only the derived one.
func (t *Tunnel) ipv6(ifname string) error {
	if _, err := os.Stat("/proc/sys/net/ipv6"); errors.Is(err, os.ErrNotExist) {
		return errors.New(
			"the kernel has no IPv6: it is not built in, or switched off by ipv6.disable=1 on the kernel's " +
				"command line")
	}
	dir := "net/ipv6/conf/" + ifname
	if err := t.sysctl(dir+"/addr_gen_mode", "1"); err != nil {
		return err
	}
	return t.sysctl(dir+"/disable_ipv6", "0") // as net.ipv6.conf.default.disable_ipv6 may have it otherwise
}

func (t *Tunnel) sysctl(name, value string) error {
	path := "/proc/sys/" + name
	have, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if strings.TrimSpace(string(have)) == value {
		return nil
	}
	if err := t.change(func() error { return os.WriteFile(path, []byte(value), 0) }); err != nil {
		return fmt.Errorf("set %s to %s: %w", path, value, err)
	}
	return nil
}

// needs6 says that a device is of no use without IPv6.
func needs6(d Device, vxlan bool) bool {
	four, six := false, false
	for _, p := range d.Peers {
		for _, a := range p.AllowedIPs {
			four, six = four || a.Addr().Is4(), six || a.Addr().Is6()
		}
	}
	return vxlan || six && !four
}
