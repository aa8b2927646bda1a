package wan

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// State is what the routing tables say about the way out.
type State struct {
	V4, V6 bool   // there is a default route of that family
	Dev4   string // the devices they leave by
	Dev6   string
	MTU    int // smallest MTU of these devices, in bytes; 0 when there is no route
	Table4 int // the tables that the mark selects
	Table6 int
}

// Up says that there is a way out at all.
func (s State) Up() bool { return s.V4 || s.V6 }

func (s State) String() string {
	switch {
	case s.V4 && s.V6:
		return fmt.Sprintf("IPv6 by %s, IPv4 by %s", s.Dev6, s.Dev4)
	case s.V6:
		return "IPv6 by " + s.Dev6
	case s.V4:
		return "IPv4 by " + s.Dev4
	}
	return fmt.Sprintf("no default route in table %d (IPv4) or %d (IPv6)", s.Table4, s.Table6)
}

// State reads the routing tables as they are now.
func (p Path) State() (State, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return State{}, fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	return p.state(h)
}

// state reads until the kernel gives a consistent list: it says so when the tables change while they are being read.
func (p Path) state(h *netlink.Handle) (s State, err error) {
	for range 10 {
		if s, err = p.read(h); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return s, err
}

func (p Path) read(h *netlink.Handle) (State, error) {
	var s State
	var err error
	if s.Table4, s.Dev4, err = p.defaultRoute(h, netlink.FAMILY_V4, &s.MTU); err != nil {
		return State{}, err
	}
	if s.Table6, s.Dev6, err = p.defaultRoute(h, netlink.FAMILY_V6, &s.MTU); err != nil {
		return State{}, err
	}
	s.V4, s.V6 = s.Dev4 != "", s.Dev6 != ""
	return s, nil
}

// table is the one that the first rule for our mark selects; the main table where there is no such rule.
func (p Path) table(h *netlink.Handle, family int) (int, error) {
	if p.Mark == 0 {
		return unix.RT_TABLE_MAIN, nil
	}
	rules, err := h.RuleList(family)
	if err != nil {
		return 0, fmt.Errorf("list routing rules: %w", err)
	}
	table, best := unix.RT_TABLE_MAIN, -1
	for _, r := range rules {
		mask := uint32(0xffffffff)
		if r.Mask != nil {
			mask = *r.Mask
		}
		// Rules that also look at addresses or interfaces may not hold for our packets.
		if r.Mark == 0 || p.Mark&mask != r.Mark || r.Src != nil || r.Dst != nil || r.IifName != "" || r.OifName != "" || r.Table == 0 {
			continue
		}
		if best < 0 || r.Priority < best {
			table, best = r.Table, r.Priority
		}
	}
	return table, nil
}

// defaultRoute finds the default route with the lowest metric in the table of a family, and its device. dev is "" where
// there is none. mtu is lowered to the device's.
func (p Path) defaultRoute(h *netlink.Handle, family int, mtu *int) (table int, dev string, err error) {
	if table, err = p.table(h, family); err != nil {
		return 0, "", err
	}
	routes, err := h.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return 0, "", fmt.Errorf("list routes of table %d: %w", table, err)
	}
	metric := -1
	for _, r := range routes {
		if !isDefault(r) || metric >= 0 && r.Priority >= metric {
			continue
		}
		links := []int{r.LinkIndex}
		for _, hop := range r.MultiPath {
			links = append(links, hop.LinkIndex)
		}
		for _, i := range links {
			l, err := h.LinkByIndex(i)
			if err != nil || p.own(l.Attrs().Name) {
				continue // gone since, or ourselves
			}
			dev, metric = l.Attrs().Name, r.Priority
			if *mtu == 0 || l.Attrs().MTU < *mtu {
				*mtu = l.Attrs().MTU
			}
			break
		}
	}
	return table, dev, nil
}

func isDefault(r netlink.Route) bool {
	if r.Type != unix.RTN_UNICAST || r.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 {
		return false
	}
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0
}

func (p Path) own(dev string) bool { return p.Own != nil && p.Own(dev) }

// Watch sends the present state, then each new one, until ctx ends; the caller must keep reading. It waits for netlink
// events and polls nothing. The error is nil when ctx ended.
func (p Path) Watch(ctx context.Context, out chan<- State) error {
	sub, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return fmt.Errorf("subscribe to route changes: %w", err)
	}
	stop := context.AfterFunc(ctx, sub.Close)
	defer stop()
	defer sub.Close()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	var last State
	for first := true; ; first = false {
		s, err := p.state(h)
		if err != nil {
			return err
		}
		if first || s != last {
			last = s
			select {
			case out <- s:
			case <-ctx.Done():
				return nil
			}
		}
		// A lost message (ENOBUFS) is also a reason to look again; only a dead socket ends the loop.
		if _, _, err := sub.Receive(); err != nil && ctx.Err() != nil {
			return nil
		} else if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("receive route changes: %w", err)
		}
	}
}
