package tunnel

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/testns"
)

// capture hears what goes out by a device.
func capture(t *testing.T, name string) (fd, index int) {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	proto := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	index = link.Attrs().Index
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: index}); err != nil {
		t.Fatal(err)
	}
	return fd, index
}

// source sends a frame by the VXLAN, and gives the address that its packet on the WireGuard device comes from.
func source(t *testing.T) netip.Addr {
	t.Helper()
	below, _ := capture(t, "wg_mesh")
	above, index := capture(t, "mesh-vpn")
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x43, 5}, make([]byte, 46)...)
	end := time.Now().Add(10 * time.Second)
	if err := unix.SetsockoptTimeval(below, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(above, frame, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	for time.Now().Before(end) {
		n, _, err := unix.Recvfrom(below, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		// An IPv6 packet of UDP to VXLAN's port.
		if p := buf[:n]; n > 48 && p[0]>>4 == 6 && p[6] == unix.IPPROTO_UDP && binary.BigEndian.Uint16(p[42:]) == 8472 {
			return netip.AddrFrom16([16]byte(p[8:24]))
		}
	}
	t.Fatal("no packet of the VXLAN on wg_mesh")
	return netip.Addr{}
}

// Frames come from the new address at once after it has changed in place: a gateway drops those from the old one.
func TestVXLANSource(t *testing.T) {
	// The route that the kernel remembers is that of one processor.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &all)

	tun := open(t, testns.WireGuard(t))
	d := desired(t)
	apply(t, tun, d)
	if a := source(t); a != netip.MustParseAddr("fe80::a:b") {
		t.Errorf("frames come from %v", a)
	}
	d.Devices[0].PrivateKey = pointer(newKey(t))
	d.Devices[0].Addresses = []Address{{Prefix: netip.MustParsePrefix("fe80::c:d/64")}}
	apply(t, tun, d)
	if a := source(t); a != netip.MustParseAddr("fe80::c:d") {
		t.Errorf("after the change frames come from %v", a)
	}
}
