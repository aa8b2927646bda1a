//go:build userspace

package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/mtu"
)

// udpPacket is a UDP packet with a right checksum, or none.
func udpPacket(src, dst netip.AddrPort, payload []byte, checksum bool) []byte {
	size := udpSize + len(payload)
	p := []byte{0x60, 0, 0, 0, 0, 0, unix.IPPROTO_UDP, 64}
	binary.BigEndian.PutUint16(p[4:], uint16(size))
	p = append(p, src.Addr().AsSlice()...)
	p = append(p, dst.Addr().AsSlice()...)
	p = binary.BigEndian.AppendUint16(p, src.Port())
	p = binary.BigEndian.AppendUint16(p, dst.Port())
	p = binary.BigEndian.AppendUint16(p, uint16(size))
	p = append(append(p, 0, 0), payload...)
	if checksum {
		s := ^fold(sum(p[ipv6Size:], pseudo(p, size)))
		if s == 0 {
			s = 0xffff
		}
		binary.BigEndian.PutUint16(p[sumOffset:], s)
	}
	return p
}

// The checksum as RFC 1071 has it, word by word.
func TestSum(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for size := range 200 {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(random.Uint32() | 0xf0*uint32(size&1))
		}
		start := uint64(random.Uint32())
		want := start
		for i, v := range b {
			want += uint64(v) << (8 * (1 - i%2))
		}
		if got := fold(sum(b, start)); got != fold(want) {
			t.Errorf("%d bytes: %#x, want %#x", size, got, fold(want))
		}
	}
	if got := fold(sum(bytes.Repeat([]byte{0xff}, 2000), 1<<32-1)); got != 0xffff {
		t.Errorf("all ones: %#x, want 0xffff", got)
	}
}

func TestJoinable(t *testing.T) {
	src, dst := netip.MustParseAddrPort("[fe80::1]:1000"), netip.MustParseAddrPort("[fe80::2]:8472")
	other := netip.MustParseAddrPort("[fe80::1]:1001")
	sized := func(n int) []byte { return udpPacket(src, dst, bytes.Repeat([]byte{7}, n), true) }
	broken := sized(500)
	broken[len(broken)-1]++
	short := sized(500)
	short = short[:len(short)-1]
	v4 := packet(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), 100, 1)
	tests := []struct {
		name    string
		packets [][]byte
		want    int
	}{
		{"one", [][]byte{sized(500)}, 1},
		{"three", [][]byte{sized(500), sized(500), sized(500)}, 3},
		{"a short one ends it", [][]byte{sized(500), sized(500), sized(3), sized(500)}, 3},
		{"a longer one is another", [][]byte{sized(500), sized(501)}, 1},
		{"another flow", [][]byte{sized(500), udpPacket(other, dst, bytes.Repeat([]byte{7}, 500), true)}, 1},
		{"wrong checksum at first", [][]byte{broken, sized(500)}, 1},
		{"wrong checksum then", [][]byte{sized(500), sized(500), broken}, 2},
		{"none", [][]byte{udpPacket(src, dst, []byte{1, 2}, false), udpPacket(src, dst, []byte{3}, false)}, 2},
		{"none beside some", [][]byte{sized(500), udpPacket(src, dst, bytes.Repeat([]byte{7}, 500), false)}, 1},
		{"cut", [][]byte{sized(500), short}, 1},
		{"no payload", [][]byte{sized(0), sized(0)}, 1},
		{"IPv4", [][]byte{v4, v4}, 1},
		{"IPv4 then", [][]byte{sized(500), v4}, 1},
		{"nothing", [][]byte{{}, {}}, 1},
	}
	for _, tt := range tests {
		if got := joinable(shift(tt.packets), offset); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	var many [][]byte
	for range 50 {
		many = append(many, sized(1400))
	}
	if got := joinable(shift(many), offset); got < 40 || got*1400 > maxJoinedSize {
		t.Errorf("%d packets of 1400 bytes are joined", got)
	}
}

const offset = 16

// shift puts room before each packet.
func shift(packets [][]byte) [][]byte {
	var all [][]byte
	for _, p := range packets {
		all = append(all, append(make([]byte, offset), p...))
	}
	return all
}

// What is written in runs comes out of the kernel as it was, checksum or not, and so it does on a kernel that takes
// none.
func TestWriteRuns(t *testing.T) {
	for _, joins := range []bool{true, false} {
		for _, checksum := range []bool{true, false} {
			t.Run(fmt.Sprintf("joins %v, checksum %v", joins, checksum),
				func(t *testing.T) { writeRuns(t, joins, checksum) })
		}
	}
}

func writeRuns(t *testing.T, joins, checksum bool) {
	n := newNamespace(t)
	tun := n.openTUN("fd00::1/64")
	file := tun.file.(*tunFile)
	able := kernelSince(t, 6, 2)
	if got := file.joins.Load(); got != able {
		t.Errorf("the kernel is said to take runs: %v, want %v", got, able)
	}
	file.joins.Store(joins) // an older kernel refuses the first
	to, from := netip.MustParseAddrPort("[fd00::1]:4000"), netip.MustParseAddrPort("[fd00::2]:5000")
	c := n.listen(to.String())
	if !checksum {
		n.do(func() error { return noCheck(c) })
	}
	probe(t, tun, c, udpPacket(from, to, []byte("probe"), true))
	var packets, payloads [][]byte
	for i, size := range []int{1300, 1300, 1300, 700, 1300, 1301, 64, 64, 64} {
		payloads = append(payloads, bytes.Repeat([]byte{byte('a' + i)}, size))
		packets = append(packets, udpPacket(from, to, payloads[i], checksum))
	}
	if k, err := tun.Write(shift(packets), offset); err != nil || k != len(packets) {
		t.Fatalf("written %d: %v", k, err)
	}
	buf := make([]byte, 2000)
	c.SetReadDeadline(time.Now().Add(patience))
	for i, want := range payloads {
		k, _, err := c.ReadFromUDPAddrPort(buf)
		for err == nil && string(buf[:k]) == "probe" {
			k, _, err = c.ReadFromUDPAddrPort(buf)
		}
		if err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
		if !bytes.Equal(buf[:k], want) {
			t.Errorf("datagram %d is %d times %q, want %d times %q", i, k, buf[:1], len(want), want[:1])
		}
	}
	if got := file.joins.Load(); got != (joins && able) {
		t.Errorf("afterwards runs are written: %v, want %v", got, joins && able)
	}
}

// kernelSince tells whether the kernel is of that version or a later one.
func kernelSince(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); err != nil {
		t.Fatal(err)
	}
	return a > major || a == major && b >= minor
}

// openTUN makes a tun with an address.
func (n *namespace) openTUN(cidr string) *tunDevice {
	n.t.Helper()
	var tun *tunDevice
	n.do(func() (err error) {
		tun, err = openTUN(name("j"), n.t.Logf)
		return err
	})
	n.t.Cleanup(func() { tun.Close() })
	tun.doors = newDoors(wide)
	n.up(name("j"), cidr)
	return tun
}

// A run that the kernel does not take leaves its packets as they were.
func TestRestore(t *testing.T) {
	src, dst := netip.MustParseAddrPort("[fe80::1]:1000"), netip.MustParseAddrPort("[fe80::2]:8472")
	packets := shift([][]byte{udpPacket(src, dst, []byte("one"), true), udpPacket(src, dst, []byte("two"), true)})
	want := bytes.Clone(packets[0])
	var j joined
	j.set(packets, offset)
	if bytes.Equal(packets[0], want) {
		t.Error("the headers are those of one packet")
	}
	j.restore(packets, offset)
	if !bytes.Equal(packets[0], want) {
		t.Errorf("restored to %x, want %x", packets[0], want)
	}
}

// probe writes a packet until it arrives: the kernel is not ready for an address of IPv6 at once.
func probe(t *testing.T, tun *tunDevice, c *net.UDPConn, p []byte) {
	t.Helper()
	buf := make([]byte, 100)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := tun.Write(shift([][]byte{p}), offset); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(askAgain))
		if _, _, err := c.ReadFromUDPAddrPort(buf); err == nil {
			return
		}
	}
	t.Fatal("a packet written to the tun does not arrive")
}

// noCheck lets a socket of IPv6 take datagrams without a checksum.
func noCheck(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX, 1)
	})
}

// The tun gives whole packets, one by one, with their checksums.
func TestReadPackets(t *testing.T) {
	n := newNamespace(t)
	tun := n.openTUN("fd00::1/64")
	n.do(func() error {
		l, err := netlink.LinkByName(name("j"))
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, mtu.Userspace)
	})
	to := netip.MustParseAddrPort("[fd00::2]:9")
	c := n.listen("[fd00::1]:0")
	bufs, sizes := make([][]byte, 4), make([]int, 4)
	for i := range bufs {
		bufs[i] = make([]byte, bufferSize)
	}
	var want [][]byte
	for i, size := range []int{100, 1300, 1900, 7} {
		want = append(want, bytes.Repeat([]byte{byte('a' + i)}, size))
		if _, err := c.WriteToUDPAddrPort(want[i], to); err != nil {
			t.Fatal(err)
		}
	}
	for len(want) > 0 {
		k, err := tun.file.ReadBatch(bufs, sizes, offset)
		if err != nil {
			t.Fatal(err)
		}
		for i := range k {
			p := bufs[i][offset : offset+sizes[i]]
			if !isUDP(p) {
				continue // the kernel's own
			}
			if !sound(p) || !bytes.Equal(p[headersSize:], want[0]) {
				t.Errorf("packet of %d bytes, sound: %v; want %d bytes of payload", len(p), sound(p), len(want[0]))
			}
			want = want[1:]
		}
	}
}
