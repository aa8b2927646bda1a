// Package nowait has the system calls that an agent at rest makes again and again. None of them can wait for anything,
// nor be interrupted, so Go's runtime need not know of them. Before any other call it wakes its monitor thread
// (entersyscall in runtime/proc.go), which then looks every 20 us for a while whether the call takes long: several
// times the work of the calls themselves.
package nowait

import (
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// old says that the kernel may lack the calls for packets: on 386 it has them since Linux 4.3, and before only another
// one for all of them.
const old = runtime.GOARCH == "386"

// Send sends a packet by a raw socket to an address, in the zone of the device that the socket is bound to. The error
// is a syscall.Errno; EAGAIN when there is no room.
func Send(fd int, b []byte, to netip.Addr) error {
	var sa unix.RawSockaddrInet6 // the larger one
	size := uintptr(unix.SizeofSockaddrInet6)
	if to.Is4() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(&sa)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.As4()}
		size = unix.SizeofSockaddrInet4
	} else {
		sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.As16()}
	}
	_, _, err := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa)), size)
	switch {
	case err == 0:
		return nil
	case old && err == unix.ENOSYS:
		return sendOld(fd, b, to)
	}
	return err
}

func sendOld(fd int, b []byte, to netip.Addr) error {
	if to.Is4() {
		return unix.Sendto(fd, b, unix.MSG_DONTWAIT, &unix.SockaddrInet4{Addr: to.As4()})
	}
	return unix.Sendto(fd, b, unix.MSG_DONTWAIT, &unix.SockaddrInet6{Addr: to.As16()})
}

// Receive takes a packet from a socket. The error is a syscall.Errno; EAGAIN when there is none.
func Receive(fd int, b []byte) (n int, from netip.Addr, err error) {
	var sa unix.RawSockaddrInet6 // the larger one
	size := uint32(unix.SizeofSockaddrInet6)
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	switch {
	case errno == 0:
		return int(got), sender(&sa), nil
	case old && errno == unix.ENOSYS:
		return receiveOld(fd, b)
	}
	return 0, from, errno
}

func receiveOld(fd int, b []byte) (n int, from netip.Addr, err error) {
	n, sa, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		from = netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		from = netip.AddrFrom16(sa.Addr)
	}
	return n, from, err
}

// sender is the address without its zone.
func sender(sa *unix.RawSockaddrInet6) netip.Addr {
	if sa.Family == unix.AF_INET {
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr)
	}
	return netip.AddrFrom16(sa.Addr)
}

// Read reads from where the file is: of one of /proc, whose text the kernel makes from memory, or of a timer. The error
// is a syscall.Errno; EAGAIN when a timer has not ended.
func Read(fd int, b []byte) (n int, err error) {
	got, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}

// Rewind goes to the beginning of a file of /proc.
func Rewind(fd int) error {
	if _, _, err := unix.RawSyscall(unix.SYS_LSEEK, uintptr(fd), 0, unix.SEEK_SET); err != 0 {
		return err
	}
	return nil
}

// SetTimer has a timer (timerfd_create(2)) end once after that time, and not before.
func SetTimer(fd int, after time.Duration) error {
	// With zero it would never end.
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(after, 1)))}
	_, _, err := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	if err != 0 {
		return err
	}
	return nil
}

// SinceBoot is how long the machine has been up, suspend included (CLOCK_BOOTTIME).
func SinceBoot() (time.Duration, error) {
	var ts unix.Timespec
	_, _, err := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0)
	if err != 0 {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

// Again says that there was nothing to read.
func Again(err error) bool { return err == unix.EAGAIN }
