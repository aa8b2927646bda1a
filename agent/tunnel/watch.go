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

// Watch sends on changed whenever one of the named devices appears, disappears or changes, or loses an address, until ctx
// ends. A send that would block is left out: the channel should hold one. The error is nil when ctx ended.
func Watch(ctx context.Context, names []string, changed chan<- struct{}) error {
	sub, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR)
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
		case !slices.ContainsFunc(msgs, func(m syscall.NetlinkMessage) bool { return concerns(m, names) }):
			continue
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

func concerns(m syscall.NetlinkMessage, names []string) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		h := unix.NlMsghdr(m.Header)
		link, err := netlink.LinkDeserialize(&h, m.Data)
		return err == nil && slices.Contains(names, link.Attrs().Name)
	case unix.RTM_DELADDR:
		return true // seldom, and carries no name
	}
	return false
}
