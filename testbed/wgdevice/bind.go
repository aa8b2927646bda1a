package wgdevice

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// udpBind is the UDP side of wireguard-go: one socket for each address family, one datagram for each system call.
//
// It stands in for conn.StdNetBind, which after an IPv4 send puts only the first four bytes of the next IPv6 address
// into a pooled net.UDPAddr, and so loses handshakes whenever nodes of both families are about
// (WireGuard/wireguard-go#135).
type udpBind struct {
	mu     sync.RWMutex
	v4, v6 *net.UDPConn // nil while closed, and where the kernel lacks the family
}

// Open makes the sockets in the namespace of the calling thread, on the same port for both families.
func (b *udpBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.v4 != nil || b.v6 != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	var fns []conn.ReceiveFunc
	for _, s := range []struct {
		network string
		pc      **net.UDPConn
	}{{"udp4", &b.v4}, {"udp6", &b.v6}} {
		pc, err := net.ListenUDP(s.network, &net.UDPAddr{Port: int(port)})
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("%s port %s: %w", s.network, strconv.Itoa(int(port)), err), b.close())
		}
		*s.pc = pc
		port = uint16(pc.LocalAddr().(*net.UDPAddr).Port)
		fns = append(fns, receiveFrom(pc))
	}
	if len(fns) == 0 {
		return nil, 0, unix.EAFNOSUPPORT
	}
	return fns, port, nil
}

func receiveFrom(pc *net.UDPConn) conn.ReceiveFunc {
	return func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, from, err := pc.ReadFromUDPAddrPort(bufs[0])
		if err != nil {
			return 0, err
		}
		sizes[0] = n
		eps[0] = &conn.StdNetEndpoint{AddrPort: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
		return 1, nil
	}
}

// Send sends each buffer as one datagram, up to the first error.
func (b *udpBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	dst := ep.(*conn.StdNetEndpoint).AddrPort
	b.mu.RLock()
	pc := b.v4
	if dst.Addr().Is6() {
		pc = b.v6
	}
	b.mu.RUnlock()
	if pc == nil {
		return fmt.Errorf("send to %v: %w", dst, unix.EAFNOSUPPORT)
	}
	for _, buf := range bufs {
		if _, err := pc.WriteToUDPAddrPort(buf, dst); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the receive functions with net.ErrClosed.
func (b *udpBind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.close()
}

func (b *udpBind) close() error {
	var errs []error
	for _, pc := range []**net.UDPConn{&b.v4, &b.v6} {
		if *pc != nil {
			errs = append(errs, (*pc).Close())
			*pc = nil
		}
	}
	return errors.Join(errs...)
}

// SetMark is never called with a mark: a device of the lab has none.
func (b *udpBind) SetMark(mark uint32) error {
	if mark != 0 {
		return fmt.Errorf("firewall mark %#x: %w", mark, errors.ErrUnsupported)
	}
	return nil
}

func (b *udpBind) ParseEndpoint(s string) (conn.Endpoint, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, err
	}
	return &conn.StdNetEndpoint{AddrPort: ap}, nil
}

func (b *udpBind) BatchSize() int { return 1 }
