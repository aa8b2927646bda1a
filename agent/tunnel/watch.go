package tunnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Watch sends on changed whenever one of the devices that mine tells appears, disappears or changes, or loses an address, and,
// with exits, whenever a default route does, until ctx ends. A send that would block is left out: the channel should hold
// one. The error is nil when ctx ended.
func Watch(ctx context.Context, mine func(device string) bool, exits bool, changed chan<- struct{}) error {
	groups := []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR}
	if exits {
		groups = append(groups, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	}
	sub, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return fmt.Errorf("subscribe to link changes: %w", err)
	}
	stop := context.AfterFunc(ctx, sub.Close)
	defer stop()
	defer sub.Close()
	for {
		msgs, _, err := sub.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // some were lost
		case err != nil:
			return fmt.Errorf("receive link changes: %w", err)
		case !slices.ContainsFunc(msgs, func(m syscall.NetlinkMessage) bool { return concerns(m, mine) }):
			continue
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

func concerns(m syscall.NetlinkMessage, mine func(string) bool) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		h := unix.NlMsghdr(m.Header)
		link, err := netlink.LinkDeserialize(&h, m.Data)
		return err == nil && mine(link.Attrs().Name)
	case unix.RTM_DELADDR:
		return true // seldom, and carries no name
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m.Data) > 1 && m.Data[1] == 0 // rtm_dst_len: a default route
	}
	return false
}
