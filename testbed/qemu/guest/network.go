package guest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// deviceTime is how long a device may take to be found.
const deviceTime = 30 * time.Second

// network sets up lo, eth0 and bat0.
func network(c Config) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := awaitFile("/sys/class/net/eth0", deviceTime); err != nil {
		return err
	}
	if len(c.Addresses) > 0 {
		if err := up("eth0", c.Addresses...); err != nil {
			return err
		}
	}
	for _, gw := range c.Gateways {
		if err := netlink.RouteAdd(&netlink.Route{Gw: gw.AsSlice()}); err != nil {
			return fmt.Errorf("default route by %v: %w", gw, err)
		}
	}
	if c.Batman == nil {
		return nil
	}
	if err := MakeBatman("bat0", c.Batman.Algorithm); err != nil {
		return err
	}
	if err := setMAC("bat0", c.Batman.MAC); err != nil {
		return err
	}
	return up("bat0", c.Batman.Address)
}

func setMAC(name, text string) error {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetHardwareAddr(link, mac)
	}
	if err != nil {
		return fmt.Errorf("%s: address %v: %w", name, mac, err)
	}
	return nil
}

func up(name string, addrs ...netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, p := range addrs {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, a); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: address %v: %w", name, p, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
