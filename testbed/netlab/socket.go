package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Listen is net.Listen on the host. The address is numeric; network "unix"
// takes a path of the host.
func (h *Host) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = h.socket(network, address, func(address string) (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket is net.ListenPacket on the host.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (c net.PacketConn, err error) {
	err = h.socket(network, address, func(address string) (err error) {
		c, err = new(net.ListenConfig).ListenPacket(ctx, network, address)
		return err
	})
	return c, err
}

// Dial is net.Dialer.DialContext from the host, and fits where that is wanted.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = h.socket(network, address, func(address string) (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// socket runs open inside the host, with the address made fit for it. Names
// are refused, as the resolver works on goroutines of its own, outside.
func (h *Host) socket(network, address string, open func(address string) error) error {
	enter := h.Do
	var err error
	if strings.HasPrefix(network, "unix") {
		enter = h.Inside
	} else if address, err = h.numeric(network, address); err != nil {
		return fmt.Errorf("netlab: host %s: %s %s: %w", h.name, network, address, err)
	}
	if err := enter(func() error { return open(address) }); err != nil {
		return fmt.Errorf("netlab: host %s: %w", h.name, err)
	}
	return nil
}

// numeric checks that an address needs no resolver and writes its zone, if any,
// as a number: package net remembers interface names for the whole process,
// whichever host they are of.
func (h *Host) numeric(network, address string) (string, error) {
	host, port := address, ""
	if !strings.HasPrefix(network, "ip") {
		var err error
		if host, port, err = net.SplitHostPort(address); err != nil {
			return address, err
		}
	}
	if host == "" {
		return address, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() == "" {
		return address, err
	}
	if _, err := strconv.Atoi(addr.Zone()); err != nil {
		link, err := h.nl.LinkByName(addr.Zone())
		if err != nil {
			return address, err
		}
		addr = addr.WithZone(strconv.Itoa(link.Attrs().Index))
	}
	if port == "" {
		return addr.String(), nil
	}
	return net.JoinHostPort(addr.String(), port), nil
}
