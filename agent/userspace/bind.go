//go:build userspace

package userspace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

const (
	// maxOpenTries bounds the search for a port that is free in both address families.
	maxOpenTries = 100

	// maxReceiveErrors is how many errors in a row a receiver rides out. The device gives a socket up at the first.
	maxReceiveErrors = 16
)

// bind is wireguard-go's conn.Bind on one UDP socket per address family. Its receivers are one of the two doors where
// memory is bounded. Unlike conn.StdNetBind it has no sockets of 7 MiB, and no buffers of 64 KiB for each datagram.
type bind struct {
	batch  int // datagrams of one call
	memory int // for what a socket has received, in bytes; 0 leaves it to the kernel
	admit  func(packet []byte) bool
	wait   func() // returns when data may come in
	// sending hears of packets on their way to the network, 1 before and -1 after, when the kernel has taken them
	sending func(n int32)

	mu sync.RWMutex
	v4 *socket
	v6 *socket
}

func newBind(d *doors, memory int) *bind {
	return &bind{
		batch: d.batch, memory: memory, admit: d.admitInbound, wait: d.waitInbound, sending: d.send,
	}
}

// endpoint is the remote address of a peer. It never changes, so that packets can share one.
type endpoint struct{ dst netip.AddrPort }

// ClearSrc implements conn.Endpoint; we leave the source address to the kernel's routing.
func (e *endpoint) ClearSrc() {}

// SrcToString implements conn.Endpoint.
func (e *endpoint) SrcToString() string { return "" }

// SrcIP implements conn.Endpoint.
func (e *endpoint) SrcIP() netip.Addr { return netip.Addr{} }

// DstToString implements conn.Endpoint.
func (e *endpoint) DstToString() string { return e.dst.String() }

// DstIP implements conn.Endpoint.
func (e *endpoint) DstIP() netip.Addr { return e.dst.Addr() }

// DstToBytes implements conn.Endpoint: what a cookie is bound to.
func (e *endpoint) DstToBytes() []byte {
	b, _ := e.dst.MarshalBinary() // never fails
	return b
}

// ParseEndpoint implements conn.Bind.
func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, err
	}
	return &endpoint{netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, nil
}

// BatchSize implements conn.Bind.
func (b *bind) BatchSize() int { return b.batch }

// Open implements conn.Bind: both families on the same port. A family that the system does not have is left out.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.v4 != nil || b.v6 != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	v4, v6, err := openPair(port)
	if err != nil {
		return nil, 0, err
	}
	var fns []conn.ReceiveFunc
	for _, f := range []struct {
		conn *net.UDPConn
		s    **socket
	}{{v4, &b.v4}, {v6, &b.v6}} {
		if f.conn == nil {
			continue
		}
		*f.s = newSocket(f.conn, b.memory)
		port = f.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		fns = append(fns, newReceiver(*f.s, b.wait, b.admit).receive)
	}
	return fns, port, nil
}

func openPair(port uint16) (v4, v6 *net.UDPConn, err error) {
	for try := 0; ; try++ {
		v4, err = listen("udp4", port)
		if err != nil && !noFamily(err) {
			return nil, nil, err
		}
		port6 := port
		if v4 != nil {
			port6 = v4.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		}
		v6, err = listen("udp6", port6)
		switch {
		case err == nil:
			return v4, v6, nil
		case noFamily(err) && v4 != nil:
			return v4, nil, nil
		}
		if v4 != nil {
			v4.Close()
		}
		// The kernel chose the port for IPv4; another program may have it for IPv6.
		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) || try == maxOpenTries {
			return nil, nil, err
		}
	}
}

// noFamily tells whether the system lacks the address family altogether.
func noFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPROTONOSUPPORT) ||
		errors.Is(err, syscall.EADDRNOTAVAIL)
}

func listen(network string, port uint16) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		if network != "udp4" {
			return nil
		}
		// As the kernel's WireGuard: no DF bit, so that a filtered ICMP message does not make a black hole.
		return control(c, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		})
	}}
	c, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

func control(c syscall.RawConn, f func(fd int) error) error {
	var errFn error
	if err := c.Control(func(fd uintptr) { errFn = f(int(fd)) }); err != nil {
		return err
	}
	return errFn
}

// Send implements conn.Bind.
func (b *bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	e, ok := ep.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	b.mu.RLock()
	c := b.v4
	if e.dst.Addr().Is6() {
		c = b.v6
	}
	b.mu.RUnlock()
	if c == nil {
		return fmt.Errorf("send to %s: %w", e.dst, syscall.EAFNOSUPPORT)
	}
	b.sending(1)
	defer b.sending(-1)
	return c.send(bufs, e.dst)
}

// SetMark implements conn.Bind. The device sets the mark anew after each Open.
func (b *bind) SetMark(mark uint32) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, c := range []*socket{b.v4, b.v6} {
		if c == nil {
			continue
		}
		err := control(c.raw, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		})
		if err != nil {
			return fmt.Errorf("set mark %#x on UDP socket: %w", mark, err)
		}
	}
	return nil
}

// Close implements conn.Bind. The receivers return net.ErrClosed.
func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, c := range []*socket{b.v4, b.v6} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	b.v4, b.v6 = nil, nil
	return errors.Join(errs...)
}
