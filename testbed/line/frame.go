package line

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Sizes of headers: Ethernet, IPv4 without options, IPv6, UDP.
const (
	etherSize = 14
	ip4Size   = 20
	ip6Size   = 40
	udpSize   = 8
)

// packet is what the line wants to know of a frame.
type packet struct {
	size     int  // of the IP packet; 0: it is none, or a broken one
	fragment bool // of a larger IP packet
	unicast  bool // at the Ethernet level
	neighbor bool // ARP or neighbour discovery

	v4    bool
	proto uint8
	ip    []byte // the header of an IPv4 packet and what follows, up to its length
	upper []byte // what follows the IP headers; nil behind the first fragment
}

// losable says whether loss at random may hit it.
func (p packet) losable() bool { return p.size > 0 && p.unicast }

// parse reads an Ethernet frame as far as it can. The result shares its memory.
func parse(frame []byte) (p packet) {
	if len(frame) < etherSize {
		return p
	}
	p.unicast = frame[0]&1 == 0
	body := frame[etherSize:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_ARP:
		p.neighbor = true
	case unix.ETH_P_IP:
		p.parse4(body)
	case unix.ETH_P_IPV6:
		p.parse6(body)
	}
	return p
}

// parse4 reads an IPv4 packet (RFC 791).
func (p *packet) parse4(b []byte) {
	if len(b) < ip4Size || b[0]>>4 != 4 {
		return
	}
	head, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if head < ip4Size || total < head || total > len(b) {
		return
	}
	p.v4, p.size, p.proto, p.ip = true, total, b[9], b[:total]
	flags := binary.BigEndian.Uint16(b[6:])
	const more, offset = 0x2000, 0x1fff
	p.fragment = flags&(more|offset) != 0
	if flags&offset == 0 {
		p.upper = b[head:total]
	}
}

// parse6 reads an IPv6 packet with its extension headers (RFC 8200).
func (p *packet) parse6(b []byte) {
	if len(b) < ip6Size || b[0]>>4 != 6 {
		return
	}
	total := ip6Size + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return
	}
	p.size, p.proto = total, b[6]
	for b = b[ip6Size:total]; len(b) >= 8; {
		size := 8
		switch p.proto {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			size = 8 * (int(b[1]) + 1)
		case unix.IPPROTO_FRAGMENT:
			p.fragment = true
			if binary.BigEndian.Uint16(b[2:])>>3 != 0 {
				return // behind the first
			}
		default:
			p.upper = b
			// Router Solicitation to Redirect (RFC 4861, section 4).
			p.neighbor = p.proto == unix.IPPROTO_ICMPV6 && b[0] >= 133 && b[0] <= 137
			return
		}
		if size > len(b) {
			return
		}
		p.proto, b = b[0], b[size:]
	}
}
