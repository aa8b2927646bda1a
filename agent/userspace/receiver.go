//go:build userspace

package userspace

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// streamSize is what the kernel may join of datagrams of one sender, in bytes.
const streamSize = 1 << 16

// receiver reads the datagrams of a socket. Where the kernel can (UDP_GRO, Linux 5.12), it joins those of one sender
// and one size, so that many come in one call. One goroutine calls receive.
type receiver struct {
	s     *socket
	wait  func()
	admit func(packet []byte) bool
	last  *endpoint // the sender

	stream  []byte // nil when the kernel does not join
	rest    []byte // of stream: datagrams that are still to be handed on
	size    int    // of each datagram in rest, but for the last, which may be smaller
	control []byte
}

func newReceiver(s *socket, wait func(), admit func([]byte) bool) *receiver {
	r := &receiver{s: s, wait: wait, admit: admit, last: new(endpoint)}
	// Reading it back needs 5.12: that leaves out the kernels where joining is young.
	err := control(s.raw, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
			return err
		}
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO)
		return err
	})
	if err != nil {
		r.single()
		return r
	}
	r.stream = make([]byte, streamSize) // no memory until it is written to
	r.control = make([]byte, unix.CmsgSpace(4))
	return r
}

// single has the kernel join no datagrams.
func (r *receiver) single() {
	r.stream = nil
	control(r.s.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 0)
	})
}

// receive is a conn.ReceiveFunc.
func (r *receiver) receive(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
	for failures := 0; ; {
		r.wait()
		if n := r.split(bufs, sizes, eps); n > 0 {
			return n, nil
		}
		var n int
		var err error
		if r.stream == nil {
			buf := bufs[0][:bufferSize] // see newBuffer; a longer datagram is cut and fails authentication
			if n, err = r.read(buf); err == nil && r.admit(buf[:n]) {
				sizes[0], eps[0] = n, r.last
				return 1, nil
			}
		} else if n, err = r.readJoined(); err == nil {
			r.rest = r.stream[:n]
		}
		if err == nil {
			failures = 0
			continue
		}
		if failures++; errors.Is(err, net.ErrClosed) || failures > maxReceiveErrors {
			return 0, err
		}
	}
}

// split hands on what is left of stream, as far as there are buffers.
func (r *receiver) split(bufs [][]byte, sizes []int, eps []conn.Endpoint) int {
	n := 0
	for n < len(bufs) && len(r.rest) > 0 {
		d := r.rest[:min(r.size, len(r.rest))]
		r.rest = r.rest[len(d):]
		// A longer one is no packet of ours.
		if len(d) <= bufferSize && r.admit(d) {
			sizes[n], eps[n] = copy(bufs[n][:bufferSize], d), r.last
			n++
		}
	}
	return n
}

// read reads one datagram.
func (r *receiver) read(buf []byte) (int, error) {
	n, from, err := r.s.ReadFromUDPAddrPort(buf)
	r.note(from)
	return n, err
}

// readJoined reads one datagram, or several of one size that the kernel has joined, to stream.
func (r *receiver) readJoined() (int, error) {
	n, controls, _, from, err := r.s.ReadMsgUDPAddrPort(r.stream, r.control)
	if err != nil {
		return 0, err
	}
	r.note(from)
	r.size = n
	if size := segmentSize(r.control[:controls]); size > 0 && size <= n {
		r.size = size
	} else if size != 0 {
		// The emulation of another byte order tells sizes that cannot be.
		r.single()
		return 0, nil
	}
	return n, nil
}

func (r *receiver) note(from netip.AddrPort) {
	// The sockets of IPv6 take nothing else, those of IPv4 give plain addresses.
	if from != r.last.dst {
		r.last = &endpoint{from}
	}
}

// segmentSize returns the size of the datagrams that the kernel has joined, 0 when it has not. It is an int in Linux,
// udp_cmsg_recv in include/linux/udp.h.
func segmentSize(controls []byte) int {
	if len(controls) < unix.CmsgLen(4) {
		return 0
	}
	h, data, _, err := unix.ParseOneSocketControlMessage(controls)
	if err != nil || h.Level != unix.SOL_UDP || h.Type != unix.UDP_GRO || len(data) < 4 {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(data)))
}
