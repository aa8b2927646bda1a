package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrDumpInterrupted says that a list changed while the kernel wrote it: it may have gaps, and is to be asked for
// again.
var ErrDumpInterrupted = errors.New("the kernel's list changed while it was read")

// errShort is for a message that ends before its header says so.
var errShort = errors.New("the kernel's answer is cut short")

// Handle asks the kernel by one socket. It may be used by several goroutines.
type Handle struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
}

// answerWithin is how long to wait for an answer, in seconds. The kernel writes it while it takes the request in, so
// only a broken kernel reaches this.
const answerWithin = 60

// NewHandle opens a socket of the family NETLINK_ROUTE.
func NewHandle() (*Handle, error) { return newHandle(unix.NETLINK_ROUTE) }

func newHandle(protocol int) (*Handle, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	wait := unix.Timeval{Sec: answerWithin}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, o := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err == nil {
			err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, o, &wait)
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &Handle{fd: fd}, nil
}

// Close gives the socket back. The Handle is of no use after it.
func (h *Handle) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd >= 0 {
		unix.Close(h.fd)
		h.fd = -1
	}
}

// once calls f with a Handle that is closed after it.
func once(f func(*Handle) error) error {
	h, err := NewHandle()
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h)
}

// Execute sends a request and gives the messages of the answer that have the kind, each without its netlink header;
// with kind 0, it gives none and waits for the kernel's word that it has done it. The error is a syscall.Errno, wrapped
// in the kernel's own words where it has some, or ErrDumpInterrupted, with the messages that came nevertheless.
func (h *Handle) Execute(r *Request, kind uint16) (list [][]byte, err error) {
	err = h.Each(r, kind, func(m []byte) { list = append(list, slices.Clone(m)) })
	return list, err
}

// Each is Execute that hands over each message. f must not keep what it is given.
func (h *Handle) Each(r *Request, kind uint16, f func(m []byte)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	if err := unix.Sendto(h.fd, r.finish(h.seq, kind), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send a netlink request: %w", err)
	}
	return h.answer(h.seq, kind, f)
}

// answer takes in the answer to the request with that number.
func (h *Handle) answer(seq uint32, kind uint16, f func(m []byte)) error {
	interrupted := false
	for {
		b, err := h.receive()
		if err != nil {
			return err
		}
		done := false
		err = Messages(b, func(hdr Header, m []byte) error {
			if hdr.Seq != seq || done { // the rest of an answer that was given up
				return nil
			}
			interrupted = interrupted || hdr.Flags&unix.NLM_F_DUMP_INTR != 0
			switch hdr.Kind {
			case unix.NLMSG_ERROR:
				done = true
				return failure(hdr, m)
			case unix.NLMSG_DONE:
				done = true
				if len(m) >= 4 { // a dump that failed on its way
					return failure(hdr, m[:4])
				}
				return nil
			}
			done = hdr.Flags&unix.NLM_F_MULTI == 0 && kind != 0
			if hdr.Kind == kind {
				f(m)
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case done && interrupted:
			return ErrDumpInterrupted
		case done:
			return nil
		}
	}
}

// receive reads one datagram from the kernel. It is valid until the next call.
func (h *Handle) receive() ([]byte, error) {
	if h.buf == nil {
		h.buf = make([]byte, 8<<10) // the kernel fills what it is given, and a link takes some 1500 bytes
	}
	for {
		n, from, err := unix.Recvfrom(h.fd, h.buf, unix.MSG_PEEK|unix.MSG_TRUNC)
		if err == nil && n > len(h.buf) {
			h.buf = make([]byte, n)
			continue
		}
		if err == nil {
			n, from, err = unix.Recvfrom(h.fd, h.buf, 0)
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receive a netlink answer: %w", err)
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid == 0 { // from the kernel, not from another program
			return h.buf[:n], nil
		}
	}
}

// failure is the error of an NLMSG_ERROR; nil when it says that all is well.
func failure(hdr Header, m []byte) error {
	if len(m) < 4 {
		return errShort
	}
	if n := int32(binary.NativeEndian.Uint32(m)); n != 0 {
		return syscall.Errno(-n)
	}
	return nil
}

// Header is what counts of a message's header (struct nlmsghdr, linux/netlink.h).
type Header struct {
	Kind, Flags uint16
	Seq         uint32
}

// Messages calls f for each message of a datagram, until it gives an error.
func Messages(b []byte, f func(h Header, m []byte) error) error {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return errShort
		}
		h := Header{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]),
			binary.NativeEndian.Uint32(b[8:])}
		if err := f(h, b[unix.SizeofNlMsghdr:size]); err != nil {
			return err
		}
		b = b[min(len(b), align(size)):]
	}
	return nil
}

// align rounds up to the four bytes at which messages and attributes begin.
func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }
