package line

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

var (
	natNode   = [4]byte{192, 0, 2, 10}
	natServer = [4]byte{203, 0, 113, 6}
)

// udp4 makes the frame of a UDP packet from the node to the server, with checksum.
func udp4(from, to uint16, payload string) []byte {
	size := ip4Size + udpSize + len(payload)
	f := frame4(size)
	ip := f[etherSize:]
	ip[9] = unix.IPPROTO_UDP
	copy(ip[12:], natNode[:])
	copy(ip[16:], natServer[:])
	u := ip[ip4Size:]
	binary.BigEndian.PutUint16(u, from)
	binary.BigEndian.PutUint16(u[2:], to)
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	copy(u[udpSize:], payload)
	binary.BigEndian.PutUint16(u[6:], udpSum(ip))
	return f
}

// turned gives the answer to a frame: addresses and ports the other way round, which leaves the checksum right.
func turned(frame []byte) []byte {
	f := bytes.Clone(frame)
	p, q := parse(f), parse(frame)
	copy(p.ip[12:], q.ip[16:20])
	copy(p.ip[16:], q.ip[12:16])
	copy(p.upper, q.upper[2:4])
	copy(p.upper[2:], q.upper[:2])
	return f
}

// icmpError makes the frame of a router's "fragmentation needed" for a frame, which it quotes as far as the UDP header.
func icmpError(frame []byte) []byte {
	quote := frame[etherSize : etherSize+ip4Size+udpSize]
	f := frame4(ip4Size + 8 + len(quote))
	ip := f[etherSize:]
	ip[9] = unix.IPPROTO_ICMP
	copy(ip[12:], natServer[:])
	copy(ip[16:], natNode[:])
	m := ip[ip4Size:]
	m[0], m[1] = 3, 4
	copy(m[8:], quote)
	binary.BigEndian.PutUint16(m[2:], ^sum16(m))
	return f
}

// sum16 is the sum of RFC 1071, not complemented.
func sum16(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i, v := range b {
			if i%2 == 0 {
				s += uint32(v) << 8
			} else {
				s += uint32(v)
			}
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// udpSum computes the checksum of a packet with the checksum field still zero (RFC 768).
func udpSum(ip []byte) uint16 {
	u := ip[ip4Size:]
	s := ^sum16(ip[12:20], []byte{0, unix.IPPROTO_UDP}, u[4:6], u)
	if s == 0 {
		return 0xffff
	}
	return s
}

// checked says whether the UDP checksum of a frame is right.
func checked(frame []byte) bool {
	f := bytes.Clone(frame)
	ip := f[etherSize:]
	got := binary.BigEndian.Uint16(ip[ip4Size+6:])
	clear(ip[ip4Size+6 : ip4Size+8])
	return got == udpSum(ip)
}

func TestNATChecksum(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var n nat
	n.set(true)
	for range 20000 {
		payload := make([]byte, random.IntN(20))
		for i := range payload {
			payload[i] = byte(random.UintN(256))
		}
		f := udp4(uint16(32768+random.IntN(8)), NATPort, string(payload))
		before := bytes.Clone(f)
		if !n.outgoing(f) || bytes.Equal(f, before) || !checked(f) {
			t.Fatalf("%x became %x", before, f)
		}
		back := turned(f)
		if !n.incoming(back) || !bytes.Equal(back, turned(before)) {
			t.Fatalf("the answer to %x became %x", before, back)
		}
	}
	// No checksum stays none.
	f := udp4(32768, NATPort, "x")
	clear(f[etherSize+ip4Size+6 : etherSize+ip4Size+8])
	if n.outgoing(f); binary.BigEndian.Uint16(f[etherSize+ip4Size+6:]) != 0 {
		t.Error("a packet without a checksum got one")
	}
}

// Both zeros of ones' complement: a sum that becomes 0 is written 0xffff, since 0 means none.
func TestNATChecksumZero(t *testing.T) {
	var n nat
	n.set(true)
	seen := false
	for b := range 1 << 16 {
		f := udp4(40000, NATPort, string([]byte{byte(b >> 8), byte(b)}))
		n.outgoing(f)
		if !checked(f) {
			t.Fatalf("payload %04x: checksum of %x", b, f)
		}
		seen = seen || binary.BigEndian.Uint16(f[etherSize+ip4Size+6:]) == 0xffff
	}
	if !seen {
		t.Error("no payload with that checksum")
	}
}

func TestNATMappings(t *testing.T) {
	var n nat
	port := func(f []byte) uint16 { return binary.BigEndian.Uint16(parse(f).upper) }
	send := func(from uint16) (outer uint16, ok bool) {
		f := udp4(from, NATPort, "x")
		ok = n.outgoing(f)
		return port(f), ok
	}
	answered := func(outer uint16) bool { return n.incoming(turned(udp4(outer, NATPort, "x"))) }

	if p, ok := send(40000); !ok || p != 40000 || !answered(5) {
		t.Errorf("off: port %d, %v", p, ok)
	}
	n.set(true)
	a, _ := send(40000)
	b, _ := send(40001)
	if again, _ := send(40000); again != a || a == b || a == 40000 {
		t.Errorf("ports %d, %d, %d", a, b, again)
	}
	if !answered(a) || answered(40000) || answered(b+1) {
		t.Error("wrong answers passed")
	}
	if got := n.ports(); !slices.Equal(got, []uint16{40000, 40001}) {
		t.Errorf("ports %v", got)
	}
	n.forget()
	if answered(a) || len(n.ports()) != 0 {
		t.Error("a lost mapping is there")
	}
	c, _ := send(40000)
	if c == a || c == b || !answered(c) {
		t.Errorf("ports %d and %d, then %d", a, b, c)
	}
	n.block([]uint16{40000})
	if _, ok := send(40000); ok || answered(c) {
		t.Error("a blocked mapping passes")
	}
	n.forget()
	if _, ok := send(40000); ok {
		t.Error("a block was forgotten")
	}
	if d, ok := send(40002); !ok || !answered(d) {
		t.Error("another port is blocked")
	}
	// Other traffic is none of its business.
	f := udp4(40003, 53, "x")
	if before := bytes.Clone(f); !n.outgoing(f) || !bytes.Equal(f, before) || !n.incoming(turned(before)) {
		t.Error("DNS is translated")
	}
	n.set(false)
	n.set(true)
	if _, ok := send(40000); !ok {
		t.Error("off did not end the block")
	}
}

// A fragment behind the first has no ports; what looks like them stays.
func TestNATFragment(t *testing.T) {
	var n nat
	n.set(true)
	f := udp4(40000, NATPort, "x")
	f[etherSize+7] = 1
	if before := bytes.Clone(f); !n.outgoing(f) || !bytes.Equal(f, before) {
		t.Error("changed")
	}
}

func TestNATFull(t *testing.T) {
	var n nat
	n.set(true)
	for i := range lastPort - firstPort + 1 {
		if !n.outgoing(udp4(uint16(lastPort+1+i), NATPort, "")) {
			t.Fatalf("no mapping after %d", i)
		}
	}
	if n.outgoing(udp4(1, NATPort, "")) {
		t.Error("more mappings than ports")
	}
}

// A router's error reaches the node's port, with right checksums.
func TestNATError(t *testing.T) {
	var n nat
	n.set(true)
	inner := udp4(40000, NATPort, "")
	f := bytes.Clone(inner)
	n.outgoing(f)
	e := icmpError(f)
	if !n.incoming(e) {
		t.Fatal("lost")
	}
	if want := icmpError(inner); !bytes.Equal(e, want) {
		t.Errorf("%x, want %x", e, want)
	}
	n.forget()
	if n.incoming(icmpError(f)) {
		t.Error("passed without a mapping")
	}
	for _, other := range [][]byte{icmpError(udp4(40000, 53, "")), frame4(20)} {
		if before := bytes.Clone(other); !n.incoming(other) || !bytes.Equal(other, before) {
			t.Errorf("%x became %x", before, other)
		}
	}
}
