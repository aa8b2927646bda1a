package wireguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
)

// mostReads is how often a device is read whose peers change while the kernel lists them in more than one message.
const mostReads = 10

// read asks the kernel for a device.
func (c *Client) read(name string) (*wgtypes.Device, error) {
	for i := 1; ; i++ {
		d, bad := &wgtypes.Device{Type: wgtypes.LinuxKernel}, error(nil)
		r := netlink.NewGenericRequest(c.family, unix.WG_CMD_GET_DEVICE, unix.NLM_F_DUMP)
		r.String(unix.WGDEVICE_A_IFNAME, name)
		err := c.kernel.Each(r, c.family.ID, func(m []byte) {
			if err := parse(m, d); bad == nil {
				bad = err
			}
		})
		switch {
		case errors.Is(err, netlink.ErrDumpInterrupted) && i < mostReads:
		case err != nil:
			return nil, absent(err)
		case bad != nil:
			return nil, bad
		default:
			return d, nil
		}
	}
}

// absent is os.ErrNotExist for the kernel's words that a device is not there, or is no WireGuard.
func absent(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) {
		return os.ErrNotExist
	}
	return err
}

// parse adds one message of the answer to a device (linux/wireguard.h). The peers come in as many as they need, and the
// last of one goes on in the next when it has more allowed IPs than fit.
func parse(m []byte, d *wgtypes.Device) (err error) {
	netlink.GenericAttributes(m, func(kind uint16, v []byte) {
		switch kind {
		case unix.WGDEVICE_A_IFNAME:
			d.Name = strings.TrimRight(string(v), "\x00")
		case unix.WGDEVICE_A_PRIVATE_KEY:
			parseKey(v, &d.PrivateKey, &err)
		case unix.WGDEVICE_A_PUBLIC_KEY:
			parseKey(v, &d.PublicKey, &err)
		case unix.WGDEVICE_A_LISTEN_PORT:
			d.ListenPort = int(number(v))
		case unix.WGDEVICE_A_FWMARK:
			d.FirewallMark = int(number(v))
		case unix.WGDEVICE_A_PEERS:
			netlink.Attributes(v, func(_ uint16, v []byte) {
				p := parsePeer(v, &err)
				if n := len(d.Peers); n > 0 && d.Peers[n-1].PublicKey == p.PublicKey {
					d.Peers[n-1].AllowedIPs = append(d.Peers[n-1].AllowedIPs, p.AllowedIPs...)
				} else {
					d.Peers = append(d.Peers, p)
				}
			})
		}
	})
	return err
}

func parsePeer(b []byte, bad *error) (p wgtypes.Peer) {
	named := false
	netlink.Attributes(b, func(kind uint16, v []byte) {
		switch kind {
		case unix.WGPEER_A_PUBLIC_KEY:
			parseKey(v, &p.PublicKey, bad)
			named = true
		case unix.WGPEER_A_PRESHARED_KEY:
			parseKey(v, &p.PresharedKey, bad)
		case unix.WGPEER_A_ENDPOINT:
			p.Endpoint = parseEndpoint(v, bad)
		case unix.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
			p.PersistentKeepaliveInterval = time.Duration(number(v)) * time.Second
		case unix.WGPEER_A_LAST_HANDSHAKE_TIME:
			p.LastHandshakeTime = parseTime(v, bad)
		case unix.WGPEER_A_RX_BYTES:
			p.ReceiveBytes = int64(number(v))
		case unix.WGPEER_A_TX_BYTES:
			p.TransmitBytes = int64(number(v))
		case unix.WGPEER_A_ALLOWEDIPS:
			netlink.Attributes(v, func(_ uint16, v []byte) { p.AllowedIPs = append(p.AllowedIPs, parseRange(v, bad)) })
		case unix.WGPEER_A_PROTOCOL_VERSION:
			p.ProtocolVersion = int(number(v))
		}
	})
	if !named {
		unfit("a peer", 0, bad)
	}
	return p
}

// parseRange reads one of the allowed IPs.
func parseRange(b []byte, bad *error) (n net.IPNet) {
	ones := 0
	netlink.Attributes(b, func(kind uint16, v []byte) {
		switch kind {
		case unix.WGALLOWEDIP_A_IPADDR:
			n.IP = slices.Clone(v)
		case unix.WGALLOWEDIP_A_CIDR_MASK:
			ones = int(number(v))
		}
	})
	n.Mask = net.CIDRMask(ones, 8*len(n.IP))
	if len(n.IP) != net.IPv4len && len(n.IP) != net.IPv6len || n.Mask == nil {
		unfit("an address", len(n.IP), bad)
	}
	return n
}

func parseKey(v []byte, k *wgtypes.Key, bad *error) {
	if len(v) != wgtypes.KeyLen {
		unfit("a key", len(v), bad)
	}
	copy(k[:], v)
}

// parseEndpoint reads a struct sockaddr_in or sockaddr_in6: family, port as on the wire, then the address.
func parseEndpoint(v []byte, bad *error) *net.UDPAddr {
	switch len(v) {
	case unix.SizeofSockaddrInet4:
		return &net.UDPAddr{IP: slices.Clone(v[4:8]), Port: int(binary.BigEndian.Uint16(v[2:]))}
	case unix.SizeofSockaddrInet6:
		return &net.UDPAddr{IP: slices.Clone(v[8:24]), Port: int(binary.BigEndian.Uint16(v[2:]))}
	}
	unfit("an endpoint", len(v), bad)
	return nil
}

// parseTime reads a struct __kernel_timespec, or one of 32 bits, which the first versions of the module have; the zero
// time when there was no handshake.
func parseTime(v []byte, bad *error) time.Time {
	half := len(v) / 2
	if len(v) != 8 && len(v) != 16 {
		unfit("a time", len(v), bad)
		return time.Time{}
	}
	sec, nsec := int64(number(v[:half])), int64(number(v[half:]))
	if sec <= 0 && nsec <= 0 {
		return time.Time{}
	}
	return time.Unix(sec, nsec)
}

// number reads an integer of any size; 0 when it has none.
func number(v []byte) uint64 {
	switch {
	case len(v) >= 8:
		return binary.NativeEndian.Uint64(v)
	case len(v) >= 4:
		return uint64(binary.NativeEndian.Uint32(v))
	case len(v) >= 2:
		return uint64(binary.NativeEndian.Uint16(v))
	case len(v) == 1:
		return uint64(v[0])
	}
	return 0
}

// unfit keeps the first of the things in an answer that cannot be read.
func unfit(what string, size int, bad *error) {
	if *bad == nil {
		*bad = fmt.Errorf("the kernel's answer has %s of %d bytes", what, size)
	}
}
