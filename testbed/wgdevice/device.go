// Package wgdevice makes WireGuard devices for the servers of the lab: the kernel's where there is one, else
// wireguard-go inside this process.
package wgdevice

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

// Backend is which WireGuard runs.
type Backend int

const (
	Auto      Backend = iota // the kernel's, else wireguard-go
	Kernel                   // the kernel's or none
	Userspace                // wireguard-go
)

// String names the backend, for reports.
func (b Backend) String() string {
	switch b {
	case Auto:
		return "auto"
	case Kernel:
		return "kernel"
	case Userspace:
		return "userspace"
	}
	return fmt.Sprintf("Backend(%d)", int(b))
}

// PeerStats is what WireGuard knows of one peer.
type PeerStats struct {
	Endpoint      netip.AddrPort // zero value: not heard of yet
	LastHandshake time.Time      // wall clock; zero value: never
	RX, TX        int64          // bytes from and to the peer
	AllowedIPs    []netip.Prefix // in WireGuard's order
}

// Device is a WireGuard device. All methods but Close are called inside its namespace.
type Device interface {
	// Backend is Kernel or Userspace.
	Backend() Backend
	// SetPeer adds a peer or renews it: these are its allowed IPs, and no others.
	SetPeer(key peerselector.Key, allowed ...netip.Prefix) error
	// Connect makes a peer anew, with a persistent keepalive of 25 s: the device shakes hands with it at once.
	Connect(key peerselector.Key, endpoint netip.AddrPort, allowed ...netip.Prefix) error
	RemovePeer(key peerselector.Key) error
	Stats() (map[peerselector.Key]PeerStats, error)
	// Close removes the device and its sockets. It is called outside the namespace, and given a way in.
	Close(do func(func() error) error) error
}

// Open makes a device in the present namespace: key, port and MTU set, down as a link, without an address.
func Open(name string, mtu int, key wgtypes.Key, port uint16, b Backend) (Device, error) {
	if b == Userspace {
		return openUserspace(name, mtu, key, port)
	}
	wg, err := openKernel(name, mtu, key, port)
	switch {
	case !errors.Is(err, unix.EOPNOTSUPP):
		return wg, err
	case b == Kernel:
		return nil, fmt.Errorf(
			"device %s: this kernel has no WireGuard; load the module, or use the userspace backend: %w", name, err)
	}
	return openUserspace(name, mtu, key, port)
}

// keepalive is the persistent keepalive of a peer that is connected to.
const keepalive = 25 * time.Second

// kernelDevice is driven through generic netlink. A client is opened for each operation, since its socket belongs to
// the namespace of the thread that opens it.
type kernelDevice struct{ name string }

// openKernel returns a plain nil with its errors; they wrap unix.EOPNOTSUPP where the kernel does not know WireGuard.
func openKernel(name string, mtu int, key wgtypes.Key, port uint16) (Device, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MTU = mtu
	link := &netlink.Wireguard{LinkAttrs: attrs}
	if err := netlink.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("device %s: add: %w", name, err)
	}
	d := kernelDevice{name: name}
	listen := int(port)
	if err := d.configure(wgtypes.Config{PrivateKey: &key, ListenPort: &listen}); err != nil {
		return nil, errors.Join(err, netlink.LinkDel(link))
	}
	return d, nil
}

func (d kernelDevice) Backend() Backend { return Kernel }

func (d kernelDevice) configure(c wgtypes.Config) error {
	client, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("device %s: %w", d.name, err)
	}
	defer client.Close()
	if err := client.ConfigureDevice(d.name, c); err != nil {
		return fmt.Errorf("device %s: configure: %w", d.name, err)
	}
	return nil
}

func (d kernelDevice) SetPeer(key peerselector.Key, allowed ...netip.Prefix) error {
	return d.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{{
		PublicKey:         wgtypes.Key(key),
		ReplaceAllowedIPs: true,
		AllowedIPs:        ipNets(allowed),
	}}})
}

func (d kernelDevice) Connect(key peerselector.Key, endpoint netip.AddrPort, allowed ...netip.Prefix) error {
	every := keepalive
	return d.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{
		{PublicKey: wgtypes.Key(key), Remove: true},
		{
			PublicKey:                   wgtypes.Key(key),
			Endpoint:                    net.UDPAddrFromAddrPort(endpoint),
			PersistentKeepaliveInterval: &every,
			AllowedIPs:                  ipNets(allowed),
		},
	}})
}

func ipNets(prefixes []netip.Prefix) []net.IPNet {
	nets := make([]net.IPNet, len(prefixes))
	for i, p := range prefixes {
		nets[i] = *IPNet(p)
	}
	return nets
}

func (d kernelDevice) RemovePeer(key peerselector.Key) error {
	return d.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: wgtypes.Key(key), Remove: true}}})
}

func (d kernelDevice) Stats() (map[peerselector.Key]PeerStats, error) {
	client, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.name, err)
	}
	defer client.Close()
	dev, err := client.Device(d.name)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", d.name, err)
	}
	stats := make(map[peerselector.Key]PeerStats, len(dev.Peers))
	for _, p := range dev.Peers {
		// wgctrl gives the zero time for a peer without a handshake.
		s := PeerStats{LastHandshake: p.LastHandshakeTime, RX: p.ReceiveBytes, TX: p.TransmitBytes}
		if p.Endpoint != nil {
			a := p.Endpoint.AddrPort()
			s.Endpoint = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		}
		for _, n := range p.AllowedIPs {
			addr, _ := netip.AddrFromSlice(n.IP)
			bits, _ := n.Mask.Size()
			s.AllowedIPs = append(s.AllowedIPs, netip.PrefixFrom(addr.Unmap(), bits))
		}
		stats[peerselector.Key(p.PublicKey)] = s
	}
	return stats, nil
}

func (d kernelDevice) Close(do func(func() error) error) error {
	return do(func() error {
		link, err := netlink.LinkByName(d.name)
		if err == nil {
			err = netlink.LinkDel(link)
		}
		if err != nil {
			return fmt.Errorf("device %s: delete: %w", d.name, err)
		}
		return nil
	})
}
