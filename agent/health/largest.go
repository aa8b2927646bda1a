package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/nowait"
)

// ErrSilent says that not even the smallest request was answered.
var ErrSilent = errors.New("no answer to an echo request")

// tries is how often each size is asked for, evenly over three times the wait. A line that loses 30 % in each direction
// answers every second request: all six are lost in one of 60 cases. The one size that decides the result is asked for
// twice over, which makes that one of 3000.
const tries = 6

// Sizes of IP headers in bytes.
const (
	ipHeader4 = 20
	ipHeader6 = 40
)

// Largest gives the size in bytes, IP header included, of the largest echo request between lo and hi that addr answers
// by the device. hi is tried first: where it passes, that is one packet. Otherwise the size is searched for; a size
// counts as one that does not pass when it was asked for several times and no answer came within three times wait, or
// when the kernel refuses to send it. wait should not be shorter than a normal round trip, but an answer that comes
// late counts all the same. Requests are not to be fragmented on their way; answers may come in pieces.
//
// The error wraps ErrSilent when not even lo is answered. When ctx ends it wraps the cause, and the size is what was
// answered until then, 0 for nothing.
func Largest(ctx context.Context, device string, addr netip.Addr, lo, hi int, wait time.Duration) (int, error) {
	s := search{addr: addr.Unmap(), header: ipHeader6, wait: wait}
	if !s.addr.Is6() {
		s.header = ipHeader4
	}
	if least := s.header + minMessage; lo < least || lo > hi || hi > 65535 || wait <= 0 {
		return 0,
			fmt.Errorf(
				"measure packets of %d to %d bytes to %s with a wait of %v: want sizes from %d to 65535, and a wait",
				lo, hi, addr, wait, least)
	}
	rand.Read(s.cookie[:])
	s.buf = make([]byte, hi+1) // a longer answer is not for us
	f, err := listen(device, s.addr.Is6())
	if err == nil {
		defer f.Close()
		err = s.open(f)
	}
	if err != nil {
		return 0, fmt.Errorf("measure packets to %s by %s: %w", addr, device, err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()

	if ctx.Err() == nil {
		err = s.run(lo, hi)
	}
	if ctx.Err() != nil && s.best < hi {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("measure packets to %s by %s: %w", addr, device, err)
	}
	return s.best, err
}

// whole keeps packets from being cut: here, or (IPv4) by a router. What the kernel has learned of the path does not
// count, it is to be measured; packets over the device's own MTU are refused with EMSGSIZE.
func whole(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
}

// search is one call of Largest.
type search struct {
	file   *os.File
	raw    syscall.RawConn // of file
	addr   netip.Addr
	cookie [8]byte
	header int
	wait   time.Duration
	buf    []byte
	best   int // largest size answered
	failed []int
}

func (s *search) open(f *os.File) (err error) {
	s.file = f
	if s.raw, err = f.SyscallConn(); err != nil {
		return err
	}
	return s.control(func(fd int) error { return whole(fd, s.addr.Is6()) })
}

// control calls f with the socket.
func (s *search) control(f func(fd int) error) (err error) {
	if closed := s.raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return closed
	}
	return err
}

// run asks for hi, then lo, then halves what is between the largest that passed and the smallest above it that did not.
func (s *search) run(lo, hi int) error {
	if err := s.ask(hi); err != nil || s.best == hi {
		return err
	}
	if lo < hi && s.best == 0 {
		if err := s.ask(lo); err != nil {
			return err
		}
	}
	if s.best == 0 {
		return fmt.Errorf("%w of %d bytes", ErrSilent, lo)
	}
	again := 0 // the size that was asked for twice
	for s.best < hi {
		limit := s.limit()
		size := s.best + (limit-s.best)/2
		if size == s.best {
			// limit decides. Had its requests been lost by bad luck, the result would be too small.
			if size = limit; size == again {
				return nil
			}
			again = size
		}
		if err := s.ask(size); err != nil {
			return err
		}
	}
	return nil
}

// limit is the smallest size that did not pass, of those over what did: a late answer may have shown that another one
// does.
func (s *search) limit() int {
	s.failed = slices.DeleteFunc(s.failed, func(n int) bool { return n <= s.best })
	return slices.Min(s.failed) // hi is among them until it is answered
}

// ask finds out whether a size passes: then best is at least that, else it is among the failed.
func (s *search) ask(size int) error {
	m := request(s.cookie, s.addr.Is6(), uint16(size), size-s.header)
	for range tries {
		until := time.Now().Add(3 * s.wait / tries)
		if err := s.file.SetReadDeadline(until); err != nil {
			return err
		}
		err := s.control(func(fd int) error { return nowait.Send(fd, m, s.addr) })
		if errors.Is(err, unix.EMSGSIZE) {
			break
		}
		// A full queue loses a packet as any line may.
		if err != nil && !nowait.Again(err) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		if err := s.listen(size); err != nil || s.best >= size {
			return err
		}
	}
	s.failed = append(s.failed, size)
	return nil
}

// listen takes answers in until one is as large as wanted, or the deadline.
func (s *search) listen(size int) error {
	for s.best < size {
		n, from, err := receive(s.raw, s.buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		m, ok := reply(s.buf[:n], s.addr.Is6(), s.cookie)
		if !ok {
			continue
		}
		// The sequence number is the size that was asked for. A host that cuts an answer short has not answered.
		if got := s.header + len(m); from == s.addr && got == int(binary.BigEndian.Uint16(m[6:8])) {
			s.best = max(s.best, got)
		}
	}
	return nil
}
