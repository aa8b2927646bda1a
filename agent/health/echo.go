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
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// ICMP types (RFC 792, RFC 4443).
const (
	echoReply4, echoRequest4 = 0, 8
	echoRequest6, echoReply6 = 128, 129
)

// Echo sends echo requests out of one device and reports the addresses that answer. Its methods may be called from
// several goroutines.
type Echo struct {
	replied func(from netip.Addr, rtt time.Duration)
	cookie  [8]byte // tells our requests from those of a ping command beside us
	mu      sync.Mutex
	socks   map[sockKey]*net.IPConn
	seq     uint16
	sent    [outstanding]time.Time // of the latest requests, by sequence number
	wg      sync.WaitGroup
	closed  bool
}

type sockKey struct {
	index int // of the device: a new device of the same name needs a new socket
	v6    bool
}

// outstanding is how many requests can be waiting for an answer at a time, more than are sent within a minute's
// round trip.
const outstanding = 64

// NewEcho makes an Echo. replied is called from another goroutine for each answer, with the time that it took.
func NewEcho(replied func(from netip.Addr, rtt time.Duration)) *Echo {
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
	index, err := netlink.Index(device)
	if err != nil {
		return fmt.Errorf("probe %s by %s: %w", addr, device, err)
	}
	c, seq, err := e.socket(sockKey{index, addr.Is6()}, device)
	if err != nil {
		return fmt.Errorf("open a socket to probe %s by %s (needs CAP_NET_RAW): %w", addr, device, err)
	}
	// The socket is bound to the device, so a link-local address needs no zone. Package net remembers the zones of
	// names for a minute, and would take a new device for the old one.
	dst := &net.IPAddr{IP: addr.AsSlice()}
	if _, err := c.WriteToIP(request(e.cookie, addr.Is6(), seq, minMessage), dst); err != nil {
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
	e.sent[e.seq%outstanding] = time.Now()
	if c := e.socks[k]; c != nil {
		return c, e.seq, nil
	}
	for old, c := range e.socks {
		if old.index != k.index {
			c.Close()
			delete(e.socks, old)
		}
	}
	c, err := listen(k.v6, func(fd int) error { return restrict(fd, device, k.v6) })
	if err != nil {
		return nil, 0, err
	}
	e.socks[k] = c
	e.wg.Add(1)
	go e.receive(c, k.v6)
	return c, e.seq, nil
}

// listen opens an ICMP socket, with options set before it hears anything.
func listen(v6 bool, options func(fd int) error) (*net.IPConn, error) {
	network := "ip4:1"
	if v6 {
		network = "ip6:58"
	}
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		var serr error
		if err := rc.Control(func(fd uintptr) { serr = options(int(fd)) }); err != nil {
			return err
		}
		return serr
	}}
	pc, err := lc.ListenPacket(context.Background(), network, "")
	if err != nil {
		return nil, err
	}
	return pc.(*net.IPConn), nil
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

// minMessage is the shortest request in bytes: the ICMP header and the cookie.
const minMessage = 16

// request is type, code, checksum, identifier, sequence number, then the cookie, then zeros up to the length in bytes.
// The kernel fills in the IPv6 checksum, and knows none for IPv4 on a raw socket.
func request(cookie [8]byte, v6 bool, seq uint16, length int) []byte {
	m := make([]byte, length)
	m[0] = echoRequest6
	if !v6 {
		m[0] = echoRequest4
	}
	copy(m[4:6], cookie[:2])
	binary.BigEndian.PutUint16(m[6:8], seq)
	copy(m[8:16], cookie[:])
	if !v6 {
		binary.BigEndian.PutUint16(m[2:4], checksum(m))
	}
	return m
}

// checksum is that of RFC 1071.
func checksum(m []byte) uint16 {
	var sum uint32
	for ; len(m) > 1; m = m[2:] {
		sum += uint32(binary.BigEndian.Uint16(m))
	}
	if len(m) == 1 {
		sum += uint32(m[0]) << 8
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
		if n < minMessage || m[0] != want || string(m[8:16]) != string(e.cookie[:]) {
			continue
		}
		if a, ok := netip.AddrFromSlice(from.IP); ok {
			e.replied(a.Unmap(), e.since(binary.BigEndian.Uint16(m[6:8])))
		}
	}
}

// since is how long ago a request was sent.
func (e *Echo) since(seq uint16) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Since(e.sent[seq%outstanding])
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
