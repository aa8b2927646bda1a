package netlab

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wguplink/testbed/vclock"
)

// Lab is a set of hosts and the wires between them.
type Lab struct {
	mu    sync.Mutex
	hosts map[string]*Host
}

// New returns a lab without hosts.
func New() *Lab { return &Lab{hosts: make(map[string]*Host)} }

// Host returns the host called name and makes it when there is none: a network
// namespace with nothing but lo, up, and a mount namespace of its own. IPv4 and
// IPv6 addresses work at once (no duplicate address detection), nothing is
// forwarded, and no reverse path filter is on.
//
// Outside Main this is an error: the host would be the machine's to clean up.
func (l *Lab) Host(name string) (*Host, error) {
	if !inside {
		return nil, fmt.Errorf("netlab: host %s: not inside the lab's namespaces; call netlab.Main first", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.hosts[name]; h != nil {
		return h, nil
	}
	h := &Host{name: name, net: -1, mnt: -1, clock: vclock.New(0), keep: map[string]bool{"lo": true}}
	if err := h.open(); err != nil {
		h.close()
		return nil, fmt.Errorf("netlab: host %s: %w", name, err)
	}
	l.hosts[name] = h
	return h, nil
}

// Wire joins two hosts by a veth pair, both ends up.
func (l *Lab) Wire(a *Host, aDev string, b *Host, bDev string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aDev
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: bDev, PeerNamespace: netlink.NsFd(int(b.net))}
	if err := a.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("netlab: wire %s/%s to %s/%s: %w", a.name, aDev, b.name, bDev, err)
	}
	a.Keep(aDev)
	b.Keep(bDev)
	return errors.Join(a.LinkUp(aDev), b.LinkUp(bDev))
}

// Take moves a device from the caller's namespace to the host, under a new name,
// and sets it up. It stays there until the lab is closed.
func (h *Host) Take(from, dev string) error {
	link, err := netlink.LinkByName(from)
	if err != nil {
		return fmt.Errorf("netlab: host %s: take %s: %w", h.name, from, err)
	}
	err = errors.Join(netlink.LinkSetDown(link), netlink.LinkSetName(link, dev))
	if err == nil {
		err = netlink.LinkSetNsFd(link, int(h.net))
	}
	if err != nil {
		return fmt.Errorf("netlab: host %s: take %s: %w", h.name, from, err)
	}
	h.Keep(dev)
	return h.LinkUp(dev)
}

// Close ends all programs on all hosts and lets go of the hosts. Sockets that
// the lab opened inside them are the caller's to close.
func (l *Lab) Close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for name, h := range l.hosts {
		errs = append(errs, h.Kill(ctx))
		h.close()
		delete(l.hosts, name)
	}
	return errors.Join(errs...)
}

// open makes the host's namespaces. The threads they are made on go away; the
// descriptors keep the namespaces.
func (h *Host) open() error {
	err := onThread(func() (err error) {
		if h.net, err = netns.New(); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		var own ownMounts
		if h.mnt, own, err = hostMounts(); err != nil {
			return err
		}
		h.own.Store(&own)
		return nil
	})
	if err != nil {
		return err
	}
	// Before anything is written there.
	if err := h.Inside(func() error { return nil }); err != nil {
		return err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(h.net), &stat); err != nil {
		return fmt.Errorf("identify network namespace: %w", err)
	}
	h.inode = stat.Ino
	if h.nl, err = netlink.NewHandleAt(h.net, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	// Explicit, because a new namespace starts with the machine's settings.
	for _, s := range [][2]string{
		{"net.ipv4.ip_forward", "0"},
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv6.conf.all.forwarding", "0"},
		{"net.ipv6.conf.all.disable_ipv6", "0"},
		{"net.ipv6.conf.default.disable_ipv6", "0"},
		{"net.ipv6.conf.all.accept_dad", "0"},
		{"net.ipv6.conf.default.accept_dad", "0"},
		{"net.ipv6.conf.default.dad_transmits", "0"},
	} {
		if err := h.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	return h.LinkUp("lo")
}

func (h *Host) close() {
	if h.nl != nil {
		h.nl.Close()
	}
	if h.mnt >= 0 {
		unix.Close(h.mnt)
	}
	if h.net.IsOpen() {
		h.net.Close()
	}
	h.nl, h.mnt = nil, -1
}
