package netlink

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listener is a socket that hears of changes.
type Listener struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

// Listen subscribes to groups (RTNLGRP_LINK and so on). Those of optional are left out where the kernel has no such
// group.
func Listen(groups []int, optional ...int) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	l := &Listener{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 32<<10)}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, group := range groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	for _, group := range optional {
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
	}
	if err == nil {
		l.raw, err = l.file.SyscallConn()
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("subscribe to the kernel's changes: %w", err)
	}
	return l, nil
}

// Close gives the socket back.
func (l *Listener) Close() { l.file.Close() }

// SyscallConn gives the socket, for its options.
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.raw, nil }

// Wake ends the present wait, or the next one, with os.ErrDeadlineExceeded.
func (l *Listener) Wake() { l.file.SetReadDeadline(time.Unix(1, 0)) }

// Receive hands all datagrams that are there to take, and gives their number; with wait, it waits for the first. The
// error is os.ErrDeadlineExceeded when it was woken, once for each time; ENOBUFS when messages were lost. take must not
// keep what it is given.
func (l *Listener) Receive(take func(b []byte), wait bool) (n int, err error) {
	var failed error
	err = l.raw.Read(func(fd uintptr) bool {
		for {
			size, err := unix.Read(int(fd), l.buf)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return !wait || n > 0 || failed != nil
			case err == unix.ENOBUFS:
				failed = err // what is left is older than what was lost: out with it
			case err != nil:
				failed = err
				return true
			default:
				n++
				take(l.buf[:size])
			}
		}
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// What woke us has set its reason before, and the caller looks at it after this.
		if derr := l.file.SetReadDeadline(time.Time{}); derr != nil {
			return n, derr
		}
	}
	if err == nil {
		err = failed
	}
	return n, err
}
