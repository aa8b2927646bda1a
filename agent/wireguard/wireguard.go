// Package wireguard reads and sets WireGuard devices: those of the kernel by generic netlink, and those of a process
// such as wireguard-go by its control socket.
//
// Devices and settings are the types of golang.zx2c4.com/wireguard/wgctrl/wgtypes, and methods have wgctrl's names.
// wgctrl itself and the netlink library under it take much of a router's flash (docs/decisions.md). The tests hold the
// two against each other.
package wireguard

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
)

// kernel is the socket to it.
type kernel interface {
	Each(r *netlink.Request, kind uint16, f func(m []byte)) error
	Close()
}

// Client talks to the devices in the network namespace in which it was opened. It is safe for concurrent use.
type Client struct {
	kernel kernel // nil: the kernel had no WireGuard
	family netlink.Family
}

// New opens a client. One that was opened before the kernel had WireGuard knows the devices of processes only.
func New() (*Client, error) {
	h, err := netlink.NewGenericHandle()
	if err != nil {
		return nil, err
	}
	f, err := h.Family(unix.WG_GENL_NAME)
	if err == nil {
		return &Client{kernel: h, family: f}, nil
	}
	h.Close()
	if errors.Is(err, os.ErrNotExist) {
		return &Client{}, nil
	}
	return nil, err
}

// Close gives the socket back.
func (c *Client) Close() {
	if c.kernel != nil {
		c.kernel.Close()
	}
}

// Device reads a device. The error is os.ErrNotExist when there is none of that name, or it is no WireGuard device;
// otherwise it wraps the kernel's syscall.Errno, where it comes from there.
func (c *Client) Device(name string) (*wgtypes.Device, error) {
	if name == "" {
		return nil, os.ErrNotExist
	}
	if c.kernel != nil {
		d, err := c.read(name)
		if !errors.Is(err, os.ErrNotExist) {
			return d, err
		}
	}
	return readSocket(name)
}

// Devices reads all devices, but those that cannot be read.
func (c *Client) Devices() (all []*wgtypes.Device) {
	var names []string
	if h, err := netlink.NewHandle(); err == nil {
		links, _ := h.LinkList()
		h.Close()
		for _, l := range links {
			if l.Type() == "wireguard" {
				names = append(names, l.Attrs().Name)
			}
		}
	}
	for _, name := range append(names, listSockets()...) {
		if d, err := c.Device(name); err == nil {
			all = append(all, d)
		}
	}
	return all
}

// ConfigureDevice sets what cfg has of a device, peer by peer. Its errors are those of Device. Where one keeps a peer
// from being set, those before it may be set.
func (c *Client) ConfigureDevice(name string, cfg wgtypes.Config) error {
	if name == "" {
		return os.ErrNotExist
	}
	if err := check(cfg); err != nil {
		return err
	}
	if c.kernel != nil {
		if err := c.write(name, cfg); !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return writeSocket(name, cfg)
}

// check finds addresses that are none.
func check(cfg wgtypes.Config) error {
	for _, p := range cfg.Peers {
		if p.Endpoint != nil && p.Endpoint.IP.To16() == nil {
			return fmt.Errorf("peer %v: the endpoint %v has no IP address", p.PublicKey, p.Endpoint)
		}
		for _, n := range p.AllowedIPs {
			if _, bits := n.Mask.Size(); bits == 0 || n.IP.To16() == nil {
				return fmt.Errorf("peer %v: %v is no range of IP addresses", p.PublicKey, n)
			}
		}
	}
	return nil
}
