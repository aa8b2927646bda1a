package health

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
	"wguplink/agent/nowait"
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
	socks   map[sockKey]*sock
	seq     uint16
	sent    [outstanding]time.Time // of the latest requests, by sequence number
	wg      sync.WaitGroup
	closed  bool
}

type sockKey struct {
	device string
	v6     bool
}

// sock has a socket for each direction. The runtime is told when a socket may be written to again, and wakes up for it:
// so it does not know of the one that sends.
type sock struct {
	index   int // of the device: a new device of the same name needs new sockets
	send    int
	receive *os.File
}

func (s *sock) close() {
	unix.Close(s.send)
	s.receive.Close()
}

// outstanding is how many requests can be waiting for an answer at a time, more than are sent within a minute's
// round trip.
const outstanding = 64

// NewEcho makes an Echo. replied is called from another goroutine for each answer, with the time that it took.
func NewEcho(replied func(from netip.Addr, rtt time.Duration)) *Echo {
	e := &Echo{replied: replied, socks: map[sockKey]*sock{}}
	rand.Read(e.cookie[:])
	return e
}

// Close ends the receivers; replied is not called any more after it returned.
func (e *Echo) Close() {
	e.mu.Lock()
	e.closed = true
	e.drop(func(*sock) bool { return true })
	e.mu.Unlock()
	e.wg.Wait()
}

// drop closes the sockets that which says. e.mu is held.
func (e *Echo) drop(which func(*sock) bool) {
	for k, s := range e.socks {
		if which(s) {
			s.close()
			delete(e.socks, k)
		}
	}
}

// Send sends one echo request to addr by the device. Link-local addresses are taken as those of that device.
func (e *Echo) Send(device string, addr netip.Addr) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.send(sockKey{device, addr.Is6()}, addr); err != nil {
		return fmt.Errorf("probe %s by %s: %w", addr, device, err)
	}
	return nil
}

func (e *Echo) send(k sockKey, addr netip.Addr) error {
	if e.closed {
		return net.ErrClosed
	}
	e.seq++
	e.sent[e.seq%outstanding] = time.Now()
	m := request(e.cookie, k.v6, e.seq, minMessage)
	if s := e.socks[k]; s != nil {
		err := nowait.Send(s.send, m, addr)
		if err == nil {
			return nil
		}
		// A socket goes on with a device that is gone, also when there is another of that name.
		if index, gone := netlink.Index(k.device); gone != nil || index == s.index {
			return err
		}
	}
	s, err := e.open(k)
	if err != nil {
		return err
	}
	return nowait.Send(s.send, m, addr)
}

// open makes the sockets for a device, in place of those for others. e.mu is held.
func (e *Echo) open(k sockKey) (*sock, error) {
	index, err := netlink.Index(k.device)
	if err != nil {
		return nil, err
	}
	e.drop(func(s *sock) bool { return s.index != index })
	s := &sock{index: index}
	if s.receive, err = listen(k.device, k.v6); err == nil {
		if s.send, err = open(k.device, k.v6, false); err != nil {
			s.receive.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	e.socks[k] = s
	e.wg.Add(1)
	go e.receive(s.receive, k.v6)
	return s, nil
}

// listen opens an ICMP socket that can be waited for.
func listen(device string, v6 bool) (*os.File, error) {
	fd, err := open(device, v6, true)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), device), nil
}

// icmpFilter is ICMP_FILTER (linux/icmp.h): a bit for each type below 32 that is not to be heard.
const icmpFilter = 1

// open opens an ICMP socket that is bound to a device, and hears echo replies or nothing.
func open(device string, v6, replies bool) (fd int, err error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if v6 {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	if fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol); err == nil {
		if err = unix.BindToDevice(fd, device); err == nil {
			err = filter(fd, v6, replies)
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("open a socket on %s (needs CAP_NET_RAW): %w", device, err)
	}
	return fd, nil
}

func filter(fd int, v6, replies bool) error {
	if !v6 {
		block := -1
		if replies {
			block &^= 1 << echoReply4
		}
		return unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, block)
	}
	// RFC 3542, section 3.2; Linux has a bit for each type that is blocked.
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = 0xffffffff
	}
	if replies {
		f.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	}
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

// receive tells of the answers until the socket is closed.
func (e *Echo) receive(f *os.File, v6 bool) {
	defer e.wg.Done()
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 128)
	for {
		n, from, err := receive(raw, buf)
		if err != nil {
			// It was closed, or the device went away. The next Send opens a socket on the new one.
			e.mu.Lock()
			e.drop(func(s *sock) bool { return s.receive == f })
			e.mu.Unlock()
			return
		}
		if m, ok := reply(buf[:n], v6, e.cookie); ok {
			e.replied(from, e.since(binary.BigEndian.Uint16(m[6:8])))
		}
	}
}

// receive waits for a packet. The error is os.ErrDeadlineExceeded, that of a closed socket, or the kernel's.
func receive(raw syscall.RawConn, b []byte) (n int, from netip.Addr, err error) {
	end := raw.Read(func(fd uintptr) bool {
		n, from, err = nowait.Receive(int(fd), b)
		return !nowait.Again(err)
	})
	if end != nil {
		err = end
	}
	return n, from.Unmap(), err
}

// reply gives the message of a packet; ok is false when it is no answer to a request with this cookie.
func reply(p []byte, v6 bool, cookie [8]byte) (m []byte, ok bool) {
	m, want := p, byte(echoReply6)
	if !v6 {
		// A raw socket gives the IPv4 header, too (raw(7)). Its length is in words of four bytes (RFC 791).
		want = echoReply4
		if len(p) == 0 || len(p) < int(p[0]&0xf)*4 {
			return nil, false
		}
		m = p[int(p[0]&0xf)*4:]
	}
	return m, len(m) >= minMessage && m[0] == want && string(m[8:16]) == string(cookie[:])
}

// since is how long ago a request was sent.
func (e *Echo) since(seq uint16) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Since(e.sent[seq%outstanding])
}
