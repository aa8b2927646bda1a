package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
	"wguplink/agent/wireguard"
)

// device finds the WireGuard device or makes it, and sees that it is ours or lent to us.
func (t *Tunnel) device(ctx context.Context, uplink string, d Device) (netlink.Link, Backend, error) {
	link, err := t.h.LinkByName(d.Interface)
	if err == nil {
		if err := t.claimDevice(link, uplink, d); err != nil {
			return nil, 0, err
		}
		backend, err := t.backend(link)
		if err == nil || d.Borrowed {
			return link, backend, err
		}
		// It is ours, but does not work, or has become something else.
		if err := t.removeLink(d.Interface, uplink); err != nil {
			return nil, 0, err
		}
	} else if !isNotFound(err) {
		return nil, 0, fmt.Errorf("look up %s: %w", d.Interface, err)
	}
	delete(t.devices, d.Interface)
	if d.Borrowed {
		return nil, 0, fmt.Errorf("wait for the interface %s, which is to be made by its owner: %w",
			d.Interface, os.ErrNotExist)
	}
	if err = t.create(ctx, d, uplink); err == nil {
		link, err = t.h.LinkByName(d.Interface)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("create WireGuard device %s: %w", d.Interface, err)
	}
	if !owned(link, uplink) {
		if err := t.mark(link, uplink); err != nil {
			return nil, 0, err
		}
	}
	backend, err := t.backend(link)
	return link, backend, err
}

// backend says who does the work of a WireGuard device. The error says what is wrong with another one.
func (t *Tunnel) backend(link netlink.Link) (Backend, error) {
	name := link.Attrs().Name
	switch link.Type() {
	case "wireguard":
		return Kernel, nil
	case "tuntap", "tun":
		if _, err := t.wg.Device(name); err != nil {
			return 0,
				fmt.Errorf(
					"%s is a tun device without a WireGuard process behind it: delete it, or set option interface to "+
						"another name", name)
		}
		return Userspace, nil
	}
	return 0,
		fmt.Errorf("%s exists and is a %s device, not WireGuard: delete it, or set option interface to another name",
			name, link.Type())
}

func (t *Tunnel) create(ctx context.Context, d Device, uplink string) error {
	if d.Backend != Userspace {
		err := t.change(func() error {
			return t.h.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: d.Interface, Group: making}})
		})
		switch {
		case err == nil:
			// A client that was opened before the module was loaded cannot speak to it.
			return t.reopen()
		case !errors.Is(err, unix.EOPNOTSUPP):
			return err
		case d.Backend == Kernel || t.spawn == nil:
			return ErrNoWireGuard
		}
	}
	if t.spawn == nil {
		return ErrNoUserspace
	}
	return t.change(func() error { return t.spawn(ctx, d.Interface, mark(uplink)) })
}

func (t *Tunnel) reopen() error {
	wg, err := wireguard.New()
	if err != nil {
		return fmt.Errorf("open WireGuard control: %w", err)
	}
	t.wg.Close()
	t.wg = wg
	return nil
}

// configure sets the key, mark, port and the peers wanted. It gives the peers that are to be removed once nothing
// points at them any more.
func (t *Tunnel) configure(d Device) (obsolete []wgtypes.Key, err error) {
	dev, err := t.Status(d.Interface)
	if err != nil {
		return nil, err
	}
	var cfg wgtypes.Config
	m := t.memory(d.Interface)
	dirty := !d.Borrowed && m.settings(dev, d, &cfg)
	present := map[wgtypes.Key]wgtypes.Peer{}
	for _, p := range dev.Peers {
		present[p.PublicKey] = p
	}
	wanted := map[wgtypes.Key]bool{}
	for _, p := range d.Peers {
		wanted[p.PublicKey] = true
		cfg.Peers = append(cfg.Peers, m.peer(p, present)...)
	}
	for k := range present {
		// On our own device a peer that is not wanted is a leftover; on a lent one it is the owner's, unless we know
		// it.
		if _, put := m.put[k]; !wanted[k] && (!d.Borrowed || put || slices.Contains(d.Leftovers, k)) {
			obsolete = append(obsolete, k)
		}
	}
	if !dirty && len(cfg.Peers) == 0 {
		return obsolete, nil
	}
	if err := t.change(func() error { return t.wg.ConfigureDevice(d.Interface, cfg) }); err != nil {
		return nil, portOf(d.Interface, d.ListenPort, fmt.Errorf("configure WireGuard device %s: %w", d.Interface, err))
	}
	m.turn = d.PortTurn
	for _, p := range d.Peers {
		m.put[p.PublicKey] = version{p.Generation, p.Move}
	}
	return obsolete, nil
}

// key is the private key wanted, all zeros for none.
func (d Device) key() *wgtypes.Key {
	if d.PrivateKey == nil {
		return new(wgtypes.Key)
	}
	return d.PrivateKey
}

// settings puts into cfg what of the device itself is not as wanted.
func (m *applied) settings(dev *wgtypes.Device, d Device, cfg *wgtypes.Config) (dirty bool) {
	if want := d.key(); dev.PrivateKey != *want {
		cfg.PrivateKey, dirty = want, true
	}
	if mark := int(d.FwMark); dev.FirewallMark != mark {
		cfg.FirewallMark, dirty = &mark, true
	}
	// Port 0 has the kernel choose another one.
	p := int(d.ListenPort)
	if p != 0 && dev.ListenPort != p || p == 0 && m.turn != d.PortTurn {
		cfg.ListenPort, dirty = &p, true
	}
	return dirty
}

// peer gives what has to be sent to make one peer as wanted; nothing when it is.
func (m *applied) peer(p Peer, present map[wgtypes.Key]wgtypes.Peer) []wgtypes.PeerConfig {
	is, there := present[p.PublicKey]
	was, known := m.put[p.PublicKey]
	if there && !known {
		// Left by an agent before us: taken as it is.
		was = version{p.Generation, p.Move}
		m.put[p.PublicKey] = was
	}
	allowed := make([]net.IPNet, 0, len(p.AllowedIPs))
	for _, a := range p.AllowedIPs {
		allowed = append(allowed, *ipNet(a))
	}
	keepalive := p.Keepalive
	if !there || was.generation != p.Generation {
		set := wgtypes.PeerConfig{
			PublicKey:                   p.PublicKey,
			Endpoint:                    net.UDPAddrFromAddrPort(p.Endpoint),
			PersistentKeepaliveInterval: &keepalive,
			ReplaceAllowedIPs:           true,
			AllowedIPs:                  allowed,
		}
		if !there {
			return []wgtypes.PeerConfig{set}
		}
		return []wgtypes.PeerConfig{{PublicKey: p.PublicKey, Remove: true}, set}
	}
	set := wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: true}
	dirty := false
	if was.move != p.Move {
		set.Endpoint, dirty = net.UDPAddrFromAddrPort(p.Endpoint), true
	}
	if is.PersistentKeepaliveInterval.Round(time.Second) != keepalive.Round(time.Second) {
		set.PersistentKeepaliveInterval, dirty = &keepalive, true
	}
	if !sameNets(is.AllowedIPs, p.AllowedIPs) {
		set.ReplaceAllowedIPs, set.AllowedIPs, dirty = true, allowed, true
	}
	if !dirty {
		return nil
	}
	return []wgtypes.PeerConfig{set}
}

func (t *Tunnel) removePeers(ifname string, keys []wgtypes.Key) error {
	if len(keys) == 0 {
		return nil
	}
	var cfg wgtypes.Config
	for _, k := range keys {
		cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: k, Remove: true, UpdateOnly: true})
	}
	if err := t.change(func() error { return t.wg.ConfigureDevice(ifname, cfg) }); err != nil {
		return fmt.Errorf("remove %d peers from %s: %w", len(keys), ifname, err)
	}
	for _, k := range keys {
		delete(t.memory(ifname).put, k)
	}
	return nil
}

func sameNets(have []net.IPNet, want []netip.Prefix) bool {
	if len(have) != len(want) {
		return false
	}
	set := map[netip.Prefix]bool{}
	for _, w := range want {
		set[w.Masked()] = true
	}
	for _, n := range have {
		if p, ok := prefix(n); !ok || !set[p] {
			return false
		}
	}
	return true
}

func prefix(n net.IPNet) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if len(n.Mask) == net.IPv4len {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, ones).Masked(), ok
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
