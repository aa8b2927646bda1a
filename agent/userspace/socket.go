//go:build userspace

package userspace

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxDatagram is the largest payload of UDP over IPv4 in bytes, also as a sum of segments.
	maxDatagram = 1<<16 - 1 - 20 - 8

	// maxSegments is how many segments the kernel takes at once (UDP_MAX_SEGMENTS in Linux, include/linux/udp.h).
	maxSegments = 64
)

// socket is a UDP socket of one address family. Packets of one size to one peer go to the kernel in one call where it
// can take them apart (UDP_SEGMENT, Linux 4.18), else in one call each.
type socket struct {
	*net.UDPConn
	raw      syscall.RawConn
	segments atomic.Bool // the kernel takes segments

	mu  sync.Mutex // guards out
	out outgoing
}

// outgoing is a call that sends segments.
type outgoing struct {
	packets [][]byte
	to4     unix.SockaddrInet4
	to6     unix.SockaddrInet6
	to      unix.Sockaddr
	control []byte
	err     error
	call    func(fd uintptr) bool
}

// newSocket takes c over. memory bounds what waits in the kernel until it is read, in bytes, when that is more than
// usual.
func newSocket(c *net.UDPConn, memory int) *socket {
	s := &socket{UDPConn: c}
	s.raw, _ = c.SyscallConn() // fails for no socket only
	err := control(s.raw, func(fd int) error {
		// The kernel doubles what is set, and tells the double.
		if now, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil && now < 2*memory {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, memory) // only costs speed when it fails
		}
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		return err
	})
	s.segments.Store(err == nil)
	s.out.control = make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&s.out.control[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	s.out.call = s.sendmsg
	return s
}

// send sends packets to dst, in order.
func (s *socket) send(packets [][]byte, dst netip.AddrPort) error {
	for len(packets) > 0 {
		n := 1
		if s.segments.Load() && dst.Addr().Zone() == "" {
			n = run(packets)
		}
		if n > 1 {
			err := s.sendSegments(packets[:n], dst)
			switch {
			case errors.Is(err, unix.EIO):
				s.segments.Store(false) // the device has no checksums in hardware, an old kernel wants them for it
			case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EMSGSIZE):
				// Larger than the path's MTU: single ones are fragmented.
			case err != nil:
				return err
			default:
				packets = packets[n:]
				continue
			}
		}
		for _, p := range packets[:n] {
			if _, err := s.WriteToUDPAddrPort(p, dst); err != nil {
				return err
			}
		}
		packets = packets[n:]
	}
	return nil
}

// run returns how many of packets, from the first on, the kernel takes as segments: all of one size, but for the last,
// which may be smaller.
func run(packets [][]byte) int {
	size := len(packets[0])
	total := size
	for i, p := range packets[1:] {
		total += len(p)
		if len(p) > size || total > maxDatagram || i+1 == maxSegments {
			return i + 1
		}
		if len(p) < size {
			return i + 2
		}
	}
	return len(packets)
}

func (s *socket) sendSegments(packets [][]byte, dst netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.out
	if a := dst.Addr(); a.Is4() {
		o.to4.Port, o.to4.Addr = int(dst.Port()), a.As4()
		o.to = &o.to4
	} else {
		o.to6.Port, o.to6.Addr = int(dst.Port()), a.As16()
		o.to = &o.to6
	}
	binary.NativeEndian.PutUint16(o.control[unix.CmsgLen(0):], uint16(len(packets[0])))
	o.packets, o.err = packets, nil
	err := s.raw.Write(o.call)
	o.packets = nil
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", o.err)
}

// sendmsg tells whether the call is over; if not, it is made again when the socket can be written to.
func (s *socket) sendmsg(fd uintptr) bool {
	o := &s.out
	for {
		_, o.err = unix.SendmsgBuffers(int(fd), o.packets, o.control, o.to, 0)
		if o.err != unix.EINTR {
			return o.err != unix.EAGAIN
		}
	}
}
