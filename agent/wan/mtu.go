package wan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MTU gives the largest packet, in bytes with its IP header, that the kernel would send to that address through the WAN
// in one piece. The kernel takes it from the device, the route (also as a router advertised it), and what routers on
// the way have said of packets that were too big; it knows nothing of what is dropped silently. No packet is sent.
func (p Path) MTU(to netip.AddrPort) (int, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	network, level, option := "udp4", unix.IPPROTO_IP, unix.IP_MTU
	if to.Addr().Is6() {
		network, level, option = "udp6", unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	// Connecting is what makes the kernel look for the route; UDP sends nothing by it.
	c, err := p.DialContext(context.Background(), network, to.String())
	if err != nil {
		return 0, fmt.Errorf("look up the MTU to %s through the WAN: %w", to.Addr(), err)
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("look up the MTU to %s through the WAN: %w", to.Addr(), err)
	}
	var mtu int
	var serr error
	if err = raw.Control(func(fd uintptr) { mtu, serr = unix.GetsockoptInt(int(fd), level, option) }); err == nil {
		err = serr
	}
	if err != nil {
		return 0, fmt.Errorf("read the MTU to %s from a socket: %w", to.Addr(), err)
	}
	return mtu, nil
}

// MTU6 gives what the kernel takes for IPv6 as the MTU of a device, in bytes: a router advertisement can make it
// smaller than the device's own (net.ipv6.conf.DEVICE.mtu).
func MTU6(device string) (int, error) {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + device + "/mtu")
	if err != nil {
		return 0, fmt.Errorf("read the IPv6 MTU of %s: %w", device, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("read the IPv6 MTU of %s: %w", device, err)
	}
	return n, nil
}
