package wan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long to gather messages after a look: a burst costs one look each time. The first looks follow fast, because a WAN that
// comes up is a burst itself (link, address, route); while messages keep coming, the time doubles.
const (
	gatherLeast = 10 * time.Millisecond
	gatherMost  = 160 * time.Millisecond
)

// Watch sends the present state, then each new one, until ctx ends; the caller must keep reading. It waits for netlink
// events and for changes of the destinations, and polls nothing. The error is nil when ctx ended.
func (p Path) Watch(ctx context.Context, out chan<- State) error {
	l, err := listen()
	if err != nil {
		return err
	}
	defer l.close()
	defer context.AfterFunc(ctx, l.wake)()
	k, err := openKernel(p) // after the subscription: nothing is missed
	if err != nil {
		return err
	}
	defer k.close()
	return k.watch(ctx, l, out)
}

func (k *kernel) watch(ctx context.Context, l *listener, out chan<- State) error {
	var last State
	var d Destinations
	var changed <-chan struct{}
	var stop func()
	defer func() { stop() }()
	window, first, look := gatherLeast, true, true
	for {
		if look {
			if stop != nil {
				stop()
			}
			d, changed = k.p.destinations()
			stop = l.wakeWhen(changed)
			s, err := k.state(d)
			if err != nil {
				return err
			}
			if first || s != last {
				first, last = false, s
				select {
				case out <- s:
				case <-ctx.Done():
					return nil
				}
			}
		}
		if !pause(ctx, window) {
			return nil
		}
		c := concern{links: k.links, all: append(d.targets(false), d.targets(true)...)}
		n, err := l.receive(&c, false)
		if n > 0 {
			window = min(2*window, gatherMost)
		} else if err == nil {
			window = gatherLeast
			_, err = l.receive(&c, true)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // some messages were lost
			if err = k.relink(); err != nil {
				return err
			}
			c.found = true
		case errors.Is(err, os.ErrDeadlineExceeded): // woken
		case err != nil:
			return fmt.Errorf("receive route changes: %w", err)
		}
		look = c.found
		select {
		case <-changed:
			look = true
		default:
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// listener is a netlink socket that hears of routes, rules, addresses and devices.
type listener struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

func listen() (*listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("subscribe to route changes: %w", err)
	}
	l := &listener{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, 32<<10)}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	// An address that goes takes IPv4 routes with it, and one that comes may be the source that a route is for; neither says so
	// of the routes.
	for _, group := range []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
		}
	}
	if err == nil {
		// Kernels before 5.3 have no nexthop objects, and no such group.
		_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_NEXTHOP)
		l.raw, err = l.file.SyscallConn()
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("subscribe to route changes: %w", err)
	}
	return l, nil
}

func (l *listener) close() { l.file.Close() }

// wake ends the present wait, or the next one, with os.ErrDeadlineExceeded.
func (l *listener) wake() { l.file.SetReadDeadline(time.Unix(1, 0)) }

// wakeWhen wakes when the channel is closed. The function that it gives ends that.
func (l *listener) wakeWhen(changed <-chan struct{}) (stop func()) {
	if changed == nil {
		return func() {}
	}
	end := make(chan struct{})
	go func() {
		select {
		case <-changed:
			l.wake()
		case <-end:
		}
	}()
	return sync.OnceFunc(func() { close(end) })
}

// receive takes in all messages that are there and gives their number; with wait, it waits for the first. The error is
// os.ErrDeadlineExceeded when it was woken, once for each time; ENOBUFS when messages were lost.
func (l *listener) receive(c *concern, wait bool) (n int, err error) {
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
				c.take(l.buf[:size])
			}
		}
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// Whoever woke us has set its reason before, and the caller looks at it after this.
		if derr := l.file.SetReadDeadline(time.Time{}); derr != nil {
			return n, derr
		}
	}
	if err == nil {
		err = failed
	}
	return n, err
}

// concern finds out whether messages may change the way out.
type concern struct {
	links graph // kept up to date by the messages
	all   []target
	found bool
}

// take looks at the messages of one datagram.
func (c *concern) take(b []byte) {
	for len(b) >= unix.SizeofNlMsghdr {
		h := (*[unix.SizeofNlMsghdr]byte)(b)
		size, kind := number(h[:4]), binary.NativeEndian.Uint16(h[4:])
		if size < unix.SizeofNlMsghdr || size > len(b) {
			c.found = true // not understood
			return
		}
		c.message(kind, b[unix.SizeofNlMsghdr:size])
		b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
}

func (c *concern) message(kind uint16, m []byte) {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		c.found = c.links.take(kind, m) || c.found
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		c.found = c.found || c.route(m)
	default: // rules, addresses, nexthops: few
		c.found = true
	}
}

// route says whether one of the destinations lies in the route's prefix.
func (c *concern) route(m []byte) bool {
	if len(m) < unix.SizeofRtMsg {
		return false
	}
	six, bits := m[0] == unix.AF_INET6, int(m[1]) // rtm_family, rtm_dst_len
	var to []byte
	attributes(m[unix.SizeofRtMsg:], func(kind uint16, v []byte) {
		if kind == unix.RTA_DST {
			to = v
		}
	})
	addr, ok := netip.AddrFromSlice(to)
	if !ok && bits > 0 {
		return true // not understood
	}
	for _, t := range c.all {
		if t.Addr().Is6() != six {
			continue
		}
		if bits == 0 {
			return true
		}
		if p, err := addr.Prefix(bits); err != nil || p.Contains(t.Addr()) {
			return true
		}
	}
	return false
}
