package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ICMP types (RFC 792, RFC 4443).
const (
	echoReply4, echoRequest4 = 0, 8
	echoRequest6, echoReply6 = 128, 129
)

// Echo sends echo requests out of one device and reports the addresses that answer. Its methods may be called from
// several goroutines.
type Echo struct {
	replied func(netip.Addr)
	cookie  [8]byte // tells our requests from those of a ping command beside us
	mu      sync.Mutex
	socks   map[sockKey]*net.IPConn
	seq     uint16
	wg      sync.WaitGroup
	closed  bool
}

type sockKey struct {
	index int // of the device: a new device of the same name needs a new socket
	v6    bool
}

// NewEcho makes an Echo. replied is called from another goroutine for each answer.
func NewEcho(replied func(netip.Addr)) *Echo {
	e := &Echo{replied: replied, socks: map[sockKey]*net.IPConn{}}
	rand.Read(e.cookie[:])
	return e
}

// Close ends the receivers; replied is not called any more after it returned.
func (e *Echo) Close() {
	e.mu.Lock()
	e.closed = true
	for k, c := range e.socks {
		c.Close()
		delete(e.socks, k)
	}
	e.mu.Unlock()
	e.wg.Wait()
}

// Send sends one echo request to addr by the device. Link-local addresses are taken as those of that device.
func (e *Echo) Send(device string, addr netip.Addr) error {
	ifc, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("probe %s by %s: %w", addr, device, err)
	}
	c, seq, err := e.socket(sockKey{ifc.Index, addr.Is6()}, device)
	if err != nil {
		return fmt.Errorf("open a socket to probe %s by %s (needs CAP_NET_RAW): %w", addr, device, err)
	}
	dst := &net.IPAddr{IP: addr.AsSlice()}
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		dst.Zone = device
	}
	if _, err := c.WriteToIP(e.request(addr.Is6(), seq), dst); err != nil {
		return fmt.Errorf("probe %s by %s: %w", addr, device, err)
	}
	return nil
}

func (e *Echo) socket(k sockKey, device string) (*net.IPConn, uint16, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, 0, net.ErrClosed
	}
	e.seq++
	if c := e.socks[k]; c != nil {
		return c, e.seq, nil
	}
	for old, c := range e.socks {
		if old.index != k.index {
			c.Close()
			delete(e.socks, old)
		}
	}
	network := "ip4:1"
	if k.v6 {
		network = "ip6:58"
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var serr error
		if err := rc.Control(func(fd uintptr) { serr = restrict(int(fd), device, k.v6) }); err != nil {
			return err
		}
		return serr
	}}
	pc, err := lc.ListenPacket(context.Background(), network, "")
	if err != nil {
		return nil, 0, err
	}
	c := pc.(*net.IPConn)
	e.socks[k] = c
	e.wg.Add(1)
	go e.receive(c, k.v6)
	return c, e.seq, nil
}

// restrict binds the socket to the device and, for IPv6, lets only echo replies wake us.
func restrict(fd int, device string, v6 bool) error {
	if err := unix.BindToDevice(fd, device); err != nil {
		return err
	}
	if !v6 {
		return nil
	}
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = 0xffffffff
	}
	f.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
}

// request is type, code, checksum, identifier, sequence number, then the cookie. The kernel fills in the IPv6 checksum,
// and knows none for IPv4 on a raw socket.
func (e *Echo) request(v6 bool, seq uint16) []byte {
	m := make([]byte, 8, 16)
	m[0] = echoRequest6
	if !v6 {
		m[0] = echoRequest4
	}
	copy(m[4:6], e.cookie[:2])
	binary.BigEndian.PutUint16(m[6:8], seq)
	m = append(m, e.cookie[:]...)
	if !v6 {
		binary.BigEndian.PutUint16(m[2:4], checksum(m))
	}
	return m
}

// checksum is that of RFC 1071 over an even number of bytes.
func checksum(m []byte) uint16 {
	var sum uint32
	for i := 0; i < len(m); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(m[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (e *Echo) receive(c *net.IPConn, v6 bool) {
	defer e.wg.Done()
	want := byte(echoReply6)
	if !v6 {
		want = echoReply4
	}
	buf := make([]byte, 128)
	for {
		n, from, err := c.ReadFromIP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// The device went away. The next Send opens a socket on the new one.
			e.drop(c)
			return
		}
		m := buf[:n]
		if n < 16 || m[0] != want || string(m[8:16]) != string(e.cookie[:]) {
			continue
		}
		if a, ok := netip.AddrFromSlice(from.IP); ok {
			e.replied(a.Unmap())
		}
	}
}

func (e *Echo) drop(c *net.IPConn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, have := range e.socks {
		if have == c {
			delete(e.socks, k)
		}
	}
	c.Close()
}
