package wgdevice

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LinkUp gives a WireGuard device its addresses, sets it up and returns its index. The kernel must not make up a
// link-local address of its own on a tun device.
func LinkUp(name string, addrs ...netip.Prefix) (int, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	const none = 1 // IN6_ADDR_GEN_MODE_NONE of linux/if_link.h
	if err := netlink.LinkSetIP6AddrGenMode(link, none); err != nil {
		return 0, fmt.Errorf("addr_gen_mode none: %w", err)
	}
	index := link.Attrs().Index
	for _, a := range addrs {
		if err := AddAddr(index, a); err != nil {
			return 0, fmt.Errorf("address %v: %w", a, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return 0, fmt.Errorf("up: %w", err)
	}
	return index, nil
}

// AddAddr adds an address that is usable at once: without duplicate address detection.
func AddAddr(index int, p netip.Prefix) error {
	a := &netlink.Addr{IPNet: IPNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}, a)
}

// IPNet is the form of a prefix that the libraries take.
func IPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
