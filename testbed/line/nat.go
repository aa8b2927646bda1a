package line

import (
	"encoding/binary"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// NATPort is the UDP port of the servers whose clients the NAT translates: WireGuard's usual one.
const NATPort = 51820

// The NAT's own ports. They are not Linux's ephemeral ones, so that a mapped port never looks like an unmapped one.
const firstPort, lastPort = 1024, 32767

// nat translates source ports. The node keeps its address.
type nat struct {
	mu      sync.Mutex
	on      bool
	next    uint16 // where to look for a free port
	out     map[socket]uint16
	in      map[socket]uint16
	blocked map[uint16]bool // by the node's ports
}

// socket is an IPv4 address with a port, on either side.
type socket struct {
	addr [4]byte
	port uint16
}

func (n *nat) set(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if on == n.on {
		return
	}
	n.on, n.out, n.in, n.blocked = on, map[socket]uint16{}, map[socket]uint16{}, map[uint16]bool{}
}

func (n *nat) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.out)
	clear(n.in)
}

func (n *nat) ports() []uint16 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ports []uint16
	for s := range n.out {
		ports = append(ports, s.port)
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (n *nat) block(ports []uint16) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range ports {
		if n.on {
			n.blocked[p] = true
		}
	}
}

// mapped gives the outer port of one of the node's; 0: there is no port left.
func (n *nat) mapped(s socket) uint16 {
	if port, ok := n.out[s]; ok {
		return port
	}
	for range lastPort - firstPort + 1 {
		if n.next < firstPort || n.next > lastPort {
			n.next = firstPort
		}
		port := n.next
		n.next++
		outer := socket{s.addr, port}
		if _, used := n.in[outer]; !used && port != s.port {
			n.out[s], n.in[outer] = port, s.port
			return port
		}
	}
	return 0
}

// outgoing translates a frame from the node; false: it is lost.
func (n *nat) outgoing(frame []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := parse(frame)
	if !n.on || !p.isUDP() || binary.BigEndian.Uint16(p.upper[2:]) != NATPort {
		return true
	}
	inner := binary.BigEndian.Uint16(p.upper)
	if n.blocked[inner] {
		return false
	}
	port := n.mapped(socket{[4]byte(p.ip[12:]), inner})
	if port == 0 {
		return false
	}
	setPort(p.upper, 0, port)
	return true
}

// incoming translates a frame to the node back; false: it is lost.
func (n *nat) incoming(frame []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := parse(frame)
	switch {
	case !n.on:
		return true
	case p.isUDP() && binary.BigEndian.Uint16(p.upper) == NATPort:
		inner, ok := n.inner(p.ip[16:], p.upper[2:])
		if ok {
			setPort(p.upper, 2, inner)
		}
		return ok
	case p.isICMPError():
		// An answer to one of the node's packets, which it quotes as it was behind the NAT (RFC 5508, REQ-3).
		const icmpSize = 8
		q := quoted(p.upper[icmpSize:])
		if !q.isUDP() || binary.BigEndian.Uint16(q.upper[2:]) != NATPort {
			return true
		}
		inner, ok := n.inner(q.ip[12:], q.upper)
		if ok {
			before := [2]uint16{binary.BigEndian.Uint16(q.upper), binary.BigEndian.Uint16(q.upper[6:])}
			setPort(q.upper, 0, inner)
			sum := binary.BigEndian.Uint16(p.upper[2:])
			sum = adjust(sum, before[0], binary.BigEndian.Uint16(q.upper))
			sum = adjust(sum, before[1], binary.BigEndian.Uint16(q.upper[6:]))
			binary.BigEndian.PutUint16(p.upper[2:], sum)
		}
		return ok
	}
	return true
}

// inner gives the node's port behind an address and an outer port, as they are in a packet. A blocked one is none.
func (n *nat) inner(addr, port []byte) (uint16, bool) {
	inner, ok := n.in[socket{[4]byte(addr), binary.BigEndian.Uint16(port)}]
	return inner, ok && !n.blocked[inner]
}

// isUDP says whether it is IPv4 with a whole UDP header (RFC 768).
func (p packet) isUDP() bool { return p.v4 && p.proto == unix.IPPROTO_UDP && len(p.upper) >= udpSize }

// isICMPError says whether it quotes the beginning of an IPv4 packet: destination unreachable, time exceeded, parameter
// problem (RFC 792).
func (p packet) isICMPError() bool {
	if !p.v4 || p.proto != unix.IPPROTO_ICMP || p.fragment || len(p.upper) < 8+ip4Size {
		return false
	}
	kind := p.upper[0]
	return kind == 3 || kind == 11 || kind == 12
}

// quoted reads an IPv4 packet that is cut off somewhere.
func quoted(b []byte) (p packet) {
	head := int(b[0]&0xf) * 4
	if b[0]>>4 != 4 || head < ip4Size || head+udpSize > len(b) || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return p
	}
	return packet{v4: true, proto: b[9], ip: b, upper: b[head:]}
}

// setPort changes the port at an offset of a UDP header, and the checksum with it, unless there is none.
func setPort(udp []byte, at int, port uint16) {
	old := binary.BigEndian.Uint16(udp[at:])
	binary.BigEndian.PutUint16(udp[at:], port)
	if sum := binary.BigEndian.Uint16(udp[6:]); sum != 0 {
		if sum = adjust(sum, old, port); sum == 0 {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(udp[6:], sum)
	}
}

// adjust gives the Internet checksum after one 16-bit word has changed (RFC 1624, equation 3).
func adjust(sum, old, now uint16) uint16 {
	s := uint32(^sum) + uint32(^old) + uint32(now)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}
