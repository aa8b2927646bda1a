package wan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// How long to gather messages after a look: a burst costs one look each time. The first looks follow fast, because a
// WAN that comes up is a burst itself (link, address, route); while messages keep coming, the time doubles.
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
	defer l.Close()
	defer context.AfterFunc(ctx, l.Wake)()
	k, err := openKernel(p) // after the subscription: nothing is missed
	if err != nil {
		return err
	}
	defer k.close()
	return k.watch(ctx, l, out)
}

func (k *kernel) watch(ctx context.Context, l *netlink.Listener, out chan<- State) error {
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
			stop = wakeWhen(l, changed)
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
		n, err := l.Receive(c.take, false)
		if n > 0 {
			window = min(2*window, gatherMost)
		} else if err == nil {
			window = gatherLeast
			_, err = l.Receive(c.take, true)
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

// listen subscribes to changes of routes, rules, addresses and devices.
func listen() (*netlink.Listener, error) {
	// An address that goes takes IPv4 routes with it, and one that comes may be the source that a route is for; neither
	// says so of the routes. Kernels before 5.3 have no nexthop objects, and no such group.
	return netlink.Listen([]int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR}, unix.RTNLGRP_NEXTHOP)
}

// wakeWhen wakes l when the channel is closed. The function that it gives ends that.
func wakeWhen(l *netlink.Listener, changed <-chan struct{}) (stop func()) {
	if changed == nil {
		return func() {}
	}
	end := make(chan struct{})
	go func() {
		select {
		case <-changed:
			l.Wake()
		case <-end:
		}
	}()
	return sync.OnceFunc(func() { close(end) })
}

// concern finds out whether messages may change the way out.
type concern struct {
	links graph // kept up to date by the messages
	all   []target
	found bool
}

// take looks at the messages of one datagram.
func (c *concern) take(b []byte) {
	err := netlink.Messages(b, func(h netlink.Header, m []byte) error {
		c.message(h.Kind, m)
		return nil
	})
	c.found = c.found || err != nil // not understood
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
	netlink.Attributes(m[unix.SizeofRtMsg:], func(kind uint16, v []byte) {
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
