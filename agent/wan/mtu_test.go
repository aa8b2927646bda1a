package wan

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var (
	far4 = netip.MustParseAddrPort("203.0.113.7:51820")
	far6 = netip.MustParseAddrPort("[2001:db8:7::7]:51820")
)

func TestMTU(t *testing.T) {
	const v4, v6 = netlink.FAMILY_V4, netlink.FAMILY_V6
	p := Path{Mark: 1}
	for _, tt := range []struct {
		name       string
		set        func(t *testing.T, wan, mesh netlink.Link)
		want4      int
		want6      int
		unroutable bool
	}{
		{"that of the device", func(t *testing.T, wan, _ netlink.Link) {
			add(t, defaultRoute(wan, v4, 254, 0))
			add(t, defaultRoute(wan, v6, 254, 10))
		}, 1492, 1492, false},
		{"that of the device in our table, the mesh's default in the main table",
			func(t *testing.T, wan, mesh netlink.Link) {
				rule(t, v4, 1, 1)
				rule(t, v6, 1, 1)
				add(t, defaultRoute(wan, v4, 1, 0))
				add(t, defaultRoute(wan, v6, 1, 10))
				add(t, defaultRoute(mesh, v4, 254, 0))
				add(t, defaultRoute(mesh, v6, 254, 10))
			}, 1492, 1492, false},
		{"that of the route", func(t *testing.T, wan, _ netlink.Link) {
			r4, r6 := defaultRoute(wan, v4, 254, 0), defaultRoute(wan, v6, 254, 10)
			r4.MTU, r6.MTU = 1400, 1410
			add(t, r4)
			add(t, r6)
		}, 1400, 1410, false},
		// The kernel puts what a router advertises here.
		{"that of a router advertisement", func(t *testing.T, wan, _ netlink.Link) {
			add(t, defaultRoute(wan, v4, 254, 0))
			add(t, defaultRoute(wan, v6, 254, 10))
			ok(t, os.WriteFile("/proc/sys/net/ipv6/conf/uplink/mtu", []byte("1440"), 0))
		}, 1492, 1440, false},
		{"no route", func(*testing.T, netlink.Link, netlink.Link) {}, 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.set(t, link(t, "uplink", 1492, "192.0.2.1/24", "2001:db8::1/64"),
				link(t, "mesh", 1500, "10.0.0.1/8", "fd00::1/64"))
			for _, far := range []struct {
				to   netip.AddrPort
				want int
			}{
				{far4, tt.want4}, {far6, tt.want6},
				{netip.AddrPortFrom(netip.AddrFrom16(far4.Addr().As16()), far4.Port()), tt.want4}, // IPv4 within IPv6
			} {
				got, err := p.MTU(far.to)
				if got != far.want || tt.unroutable != errors.Is(err, unix.ENETUNREACH) ||
					tt.unroutable != (err != nil) {
					t.Errorf("to %s: %d, %v; want %d", far.to, got, err, far.want)
				}
			}
		})
	}
}

// A router on the way says that a packet is too big. The kernel remembers, for sockets that come later too.
func TestMTULearned(t *testing.T) {
	router := tunDevice(t, "uplink", "192.0.2.1/24", "2001:db8::1/64")
	l, err := netlink.LinkByName("uplink")
	ok(t, err)
	// Routes of the device itself would do in the main table; these show that the mark counts.
	rule(t, netlink.FAMILY_V4, 1, 1)
	rule(t, netlink.FAMILY_V6, 1, 1)
	add(t, defaultRoute(l, netlink.FAMILY_V4, 1, 0))
	add(t, defaultRoute(l, netlink.FAMILY_V6, 1, 10))
	p := Path{Mark: 1}
	for _, far := range []netip.AddrPort{far4, far6} {
		if got, err := p.MTU(far); got != 1500 || err != nil {
			t.Errorf("to %s before: %d, %v", far, got, err)
		}
		c, err := p.DialContext(context.Background(), "udp", far.String())
		ok(t, err)
		// A new device drops packets before the kernel has seen to everything, so this may take several.
		got, buf := 0, make([]byte, 2000)
		for deadline := time.Now().Add(20 * time.Second); got != 1390 && time.Now().Before(deadline); {
			_, err = c.Write(make([]byte, 1300))
			ok(t, err)
			ok(t, router.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
			for {
				n, err := router.Read(buf)
				if err != nil {
					break
				}
				if m := tooBig(buf[:n], far.Addr(), 1390); m != nil {
					_, err = router.Write(m) // taken in before it returns
					ok(t, err)
					break
				}
			}
			got, err = p.MTU(far)
			ok(t, err)
		}
		c.Close()
		if got != 1390 {
			t.Errorf("to %s after a router said 1390: %d", far, got)
		}
	}
}

// tunDevice makes a device whose other end is a file.
func tunDevice(t *testing.T, name string, addrs ...string) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	ok(t, err)
	req, err := unix.NewIfreq(name)
	ok(t, err)
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	ok(t, unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	l, err := netlink.LinkByName(name)
	ok(t, err)
	raise(t, l, addrs)
	return f
}

// tooBig is what a router says of a packet to dst (RFC 1191, section 4; RFC 4443, section 3.2); nil for another packet.
func tooBig(packet []byte, dst netip.Addr, mtu uint16) []byte {
	router4, router6 := net.IPv4(192, 0, 2, 9).To4(), netip.MustParseAddr("2001:db8::9").AsSlice()
	switch {
	case dst.Is4() && packet[0]>>4 == 4 && netip.AddrFrom4([4]byte(packet[16:20])) == dst:
		m := make([]byte, 28, 56)
		m[0], m[3], m[8], m[9] = 0x45, 56, 64, unix.IPPROTO_ICMP
		copy(m[12:], router4)
		copy(m[16:], packet[12:16])
		m[20], m[21] = 3, 4
		binary.BigEndian.PutUint16(m[26:], mtu)
		m = append(m, packet[:28]...)
		binary.BigEndian.PutUint16(m[10:], sum(m[:20]))
		binary.BigEndian.PutUint16(m[22:], sum(m[20:]))
		return m
	case dst.Is6() && packet[0]>>4 == 6 && netip.AddrFrom16([16]byte(packet[24:40])) == dst:
		icmp := make([]byte, 8, 56)
		icmp[0] = 2
		binary.BigEndian.PutUint16(icmp[6:], mtu)
		icmp = append(icmp, packet[:48]...)
		m := make([]byte, 40, 96)
		m[0], m[5], m[6], m[7] = 0x60, byte(len(icmp)), unix.IPPROTO_ICMPV6, 64
		copy(m[8:], router6)
		copy(m[24:], packet[8:24])
		pseudo := append(append([]byte(nil), m[8:40]...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, unix.IPPROTO_ICMPV6)
		binary.BigEndian.PutUint16(icmp[2:], sum(append(pseudo, icmp...)))
		return append(m, icmp...)
	}
	return nil
}

// sum is the checksum of RFC 1071 over an even number of bytes.
func sum(m []byte) uint16 {
	var s uint32
	for i := 0; i < len(m); i += 2 {
		s += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
