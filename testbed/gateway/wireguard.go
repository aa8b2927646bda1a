package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

// wireguard is a WireGuard device. All methods but close are called inside the namespace.
type wireguard interface {
	backend() Backend
	setPeer(key peerselector.Key, allowed netip.Prefix) error
	removePeer(key peerselector.Key) error
	stats() (map[peerselector.Key]PeerStats, error)
	// close removes the device and its sockets. It is called outside the namespace, and given a way in.
	close(do func(func() error) error) error
}

// openWireGuard makes a device in the present namespace: key, port and MTU set, down as a link, without an address.
func openWireGuard(name string, mtu int, key wgtypes.Key, port uint16, b Backend) (wireguard, error) {
	if b == Userspace {
		return openUserspace(name, mtu, key, port)
	}
	wg, err := openKernel(name, mtu, key, port)
	switch {
	case !errors.Is(err, unix.EOPNOTSUPP):
		return wg, err
	case b == Kernel:
		return nil, fmt.Errorf("device %s: this kernel has no WireGuard; load the module, or use the userspace backend: %w", name, err)
	}
	return openUserspace(name, mtu, key, port)
}

// kernelDevice is driven through generic netlink. A client is opened for each operation, since its socket belongs to
// the namespace of the thread that opens it.
type kernelDevice struct{ name string }

// openKernel returns a plain nil with its errors; they wrap unix.EOPNOTSUPP where the kernel does not know WireGuard.
func openKernel(name string, mtu int, key wgtypes.Key, port uint16) (wireguard, error) {
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

func (d kernelDevice) backend() Backend { return Kernel }

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

func (d kernelDevice) setPeer(key peerselector.Key, allowed netip.Prefix) error {
	return d.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{{
		PublicKey:         wgtypes.Key(key),
		ReplaceAllowedIPs: true,
		AllowedIPs:        []net.IPNet{*ipNet(allowed)},
	}}})
}

func (d kernelDevice) removePeer(key peerselector.Key) error {
	return d.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{{PublicKey: wgtypes.Key(key), Remove: true}}})
}

func (d kernelDevice) stats() (map[peerselector.Key]PeerStats, error) {
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
		stats[peerselector.Key(p.PublicKey)] = s
	}
	return stats, nil
}

func (d kernelDevice) close(do func(func() error) error) error {
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
