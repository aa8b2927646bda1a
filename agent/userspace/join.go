//go:build userspace

package userspace

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A run of UDP packets of one flow over IPv6, as VXLAN makes them, goes to the tun as one packet that the kernel takes
// apart (Linux 6.2). It needs a header before each packet: struct virtio_net_hdr in Linux,
// include/uapi/linux/virtio_net.h.
const (
	headerSize    = 10
	ipv6Size      = 40
	udpSize       = 8
	headersSize   = ipv6Size + udpSize
	sumOffset     = ipv6Size + 6
	maxJoinedSize = 1<<16 - 1
)

// joinable returns how many of packets, from the first on, are one run. Each begins at offset of its buffer. A packet
// with a wrong checksum is left out: the kernel would not check it again.
func joinable(packets [][]byte, offset int) int {
	if len(packets) < 2 {
		return 1
	}
	first := packets[0][offset:]
	if !isUDP(first) || !sound(first) {
		return 1
	}
	total := len(first)
	for i, b := range packets[1:] {
		p := b[offset:]
		total += len(p) - headersSize
		if len(p) > len(first) || total > maxJoinedSize || !isUDP(p) || !sameFlow(first, p) || !sound(p) {
			return i + 1
		}
		if len(p) < len(first) {
			return i + 2
		}
	}
	return len(packets)
}

// isUDP tells whether p is UDP over IPv6 with some payload, whole and without extension headers. VXLAN of ours uses
// IPv6.
func isUDP(p []byte) bool {
	return len(p) > headersSize && p[0]>>4 == 6 && p[6] == unix.IPPROTO_UDP &&
		int(binary.BigEndian.Uint16(p[4:])) == len(p)-ipv6Size &&
		int(binary.BigEndian.Uint16(p[ipv6Size+4:])) == len(p)-ipv6Size
}

// sameFlow tells whether the headers of two packets differ in lengths and checksums only.
func sameFlow(a, b []byte) bool {
	return string(a[:4]) == string(b[:4]) && string(a[6:ipv6Size+4]) == string(b[6:ipv6Size+4]) &&
		hasSum(a) == hasSum(b)
}

func hasSum(p []byte) bool { return p[sumOffset]|p[sumOffset+1] != 0 }

// sound tells whether the UDP checksum is right, or there is none.
func sound(p []byte) bool {
	return !hasSum(p) || fold(sum(p[ipv6Size:], pseudo(p, len(p)-ipv6Size))) == 0xffff
}

// pseudo sums the pseudo header of a UDP datagram of size bytes.
func pseudo(p []byte, size int) uint64 {
	return sum(p[8:ipv6Size], uint64(unix.IPPROTO_UDP+size))
}

// sum adds the words of b to s, and fold makes 16 bits of it: the sum in one's complement of RFC 1071, whose chapter 2
// allows wider words and folding at the end.
func sum(b []byte, s uint64) uint64 {
	for ; len(b) >= 16; b = b[16:] {
		s += uint64(binary.BigEndian.Uint32(b)) + uint64(binary.BigEndian.Uint32(b[4:])) +
			uint64(binary.BigEndian.Uint32(b[8:])) + uint64(binary.BigEndian.Uint32(b[12:]))
	}
	for len(b) > 0 {
		var word [4]byte
		b = b[copy(word[:], b):]
		s += uint64(binary.BigEndian.Uint32(word[:]))
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// joined is a run as the kernel takes it.
type joined struct {
	parts [][]byte
	head  [headerSize]byte
	saved [headersSize]byte // the first packet's headers before
}

// set makes one packet of a run. It changes the headers of the first one, which restore undoes.
func (j *joined) set(packets [][]byte, offset int) {
	first := packets[0][offset:]
	copy(j.saved[:], first)
	j.parts = append(j.parts[:0], j.head[:], first)
	size := len(first) - ipv6Size
	for _, p := range packets[1:] {
		payload := p[offset+headersSize:]
		j.parts = append(j.parts, payload)
		size += len(payload)
	}
	binary.BigEndian.PutUint16(first[4:], uint16(size))
	binary.BigEndian.PutUint16(first[ipv6Size+4:], uint16(size))
	// The kernel adds the rest to it in each packet.
	binary.BigEndian.PutUint16(first[sumOffset:], fold(pseudo(first, size)))

	j.head[0], j.head[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_UDP_L4
	for i, v := range []int{headersSize, len(first) - headersSize, ipv6Size, sumOffset - ipv6Size} {
		binary.NativeEndian.PutUint16(j.head[2+2*i:], uint16(v))
	}
}

func (j *joined) restore(packets [][]byte, offset int) {
	copy(packets[0][offset:], j.saved[:])
}
