package tunnel

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// Watch sends on changed whenever one of the devices that mine tells appears, disappears or changes, or loses an
// address, and, with exits, whenever a default route does, until ctx ends. A send that would block is left out: the
// channel should hold one. The error is nil when ctx ended.
func Watch(ctx context.Context, mine func(device string) bool, exits bool, changed chan<- struct{}) error {
	groups := []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR}
	if exits {
		groups = append(groups, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	}
	l, err := netlink.Listen(groups)
	if err != nil {
		return err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, l.Wake)()
	for {
		concerned := false
		_, err := l.Receive(func(b []byte) {
			err := netlink.Messages(b, func(h netlink.Header, m []byte) error {
				concerned = concerned || concerns(h.Kind, m, mine)
				return nil
			})
			concerned = concerned || err != nil // not understood
		}, true)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // some were lost
		case err != nil:
			return fmt.Errorf("receive link changes: %w", err)
		case !concerned:
			continue
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

func concerns(kind uint16, m []byte, mine func(string) bool) bool {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		l := netlink.ParseLink(m)
		return l != nil && mine(l.Attrs().Name)
	case unix.RTM_DELADDR:
		return true // seldom, and carries no name
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m) > 1 && m[1] == 0 // rtm_dst_len: a default route
	}
	return false
}
