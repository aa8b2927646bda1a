package wireguard

import (
	"encoding/binary"
	"net"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
)

// write sends a configuration to the kernel.
func (c *Client) write(name string, cfg wgtypes.Config) error {
	for _, r := range requests(c.family, name, cfg) {
		if err := c.kernel.Each(r, 0, func([]byte) {}); err != nil {
			return absent(err)
		}
	}
	return nil
}

// Bounds of one message. The kernel takes more, but a list ends at 64 KiB, where the number for its length ends.
const (
	mostBytes  = 8 << 10
	mostRanges = 128 // allowed IPs of one peer
	peerBytes  = 128 // what a peer without allowed IPs takes at most
	rangeBytes = 40  // what one of these takes at most
)

// requests are the messages that make a configuration. Peers come in its order, in as few messages as hold them.
func requests(f netlink.Family, name string, cfg wgtypes.Config) (all []*netlink.Request) {
	begin := func() *netlink.Request {
		r := netlink.NewGenericRequest(f, unix.WG_CMD_SET_DEVICE, 0)
		r.String(unix.WGDEVICE_A_IFNAME, name)
		all = append(all, r)
		return r
	}
	r := begin()
	if cfg.PrivateKey != nil {
		r.Attr(unix.WGDEVICE_A_PRIVATE_KEY, cfg.PrivateKey[:])
	}
	if cfg.ListenPort != nil {
		r.Uint16(unix.WGDEVICE_A_LISTEN_PORT, uint16(*cfg.ListenPort))
	}
	if cfg.FirewallMark != nil {
		r.Uint32(unix.WGDEVICE_A_FWMARK, uint32(*cfg.FirewallMark))
	}
	if cfg.ReplacePeers {
		r.Uint32(unix.WGDEVICE_A_FLAGS, unix.WGDEVICE_F_REPLACE_PEERS)
	}
	for peers := pieces(cfg.Peers); len(peers) > 0; {
		r.Nested(nested(unix.WGDEVICE_A_PEERS), func() {
			for i := 0; len(peers) > 0 && (i == 0 ||
				len(r.Data)+peerBytes+rangeBytes*len(peers[0].AllowedIPs) <= mostBytes); i++ {
				r.Nested(nested(i), func() { put(r, peers[0]) })
				peers = peers[1:]
			}
		})
		if len(peers) > 0 {
			r = begin()
		}
	}
	return all
}

// nested marks an attribute as a list, as the kernel asks for since 5.2. Older ones take no notice.
func nested(kind int) int { return kind | unix.NLA_F_NESTED }

// pieces cuts peers with very many allowed IPs into several, of which the later ones add to the first.
func pieces(peers []wgtypes.PeerConfig) (all []wgtypes.PeerConfig) {
	for _, p := range peers {
		if p.Remove {
			p = wgtypes.PeerConfig{PublicKey: p.PublicKey, Remove: true, UpdateOnly: p.UpdateOnly}
		}
		for len(p.AllowedIPs) > mostRanges {
			piece := p
			piece.AllowedIPs = p.AllowedIPs[:mostRanges]
			all = append(all, piece)
			p = wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: p.UpdateOnly,
				AllowedIPs: p.AllowedIPs[mostRanges:]}
		}
		all = append(all, p)
	}
	return all
}

func put(r *netlink.Request, p wgtypes.PeerConfig) {
	r.Attr(unix.WGPEER_A_PUBLIC_KEY, p.PublicKey[:])
	flags := uint32(0)
	if p.Remove {
		flags |= unix.WGPEER_F_REMOVE_ME
	}
	if p.ReplaceAllowedIPs {
		flags |= unix.WGPEER_F_REPLACE_ALLOWEDIPS
	}
	if p.UpdateOnly {
		flags |= unix.WGPEER_F_UPDATE_ONLY
	}
	if flags != 0 {
		r.Uint32(unix.WGPEER_A_FLAGS, flags)
	}
	if p.PresharedKey != nil {
		r.Attr(unix.WGPEER_A_PRESHARED_KEY, p.PresharedKey[:])
	}
	if p.Endpoint != nil {
		r.Attr(unix.WGPEER_A_ENDPOINT, sockaddr(p.Endpoint))
	}
	if p.PersistentKeepaliveInterval != nil {
		r.Uint16(unix.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, uint16(*p.PersistentKeepaliveInterval/time.Second))
	}
	if len(p.AllowedIPs) == 0 {
		return
	}
	r.Nested(nested(unix.WGPEER_A_ALLOWEDIPS), func() {
		for i, n := range p.AllowedIPs {
			r.Nested(nested(i), func() { putRange(r, n) })
		}
	})
}

func putRange(r *netlink.Request, n net.IPNet) {
	family, ip := unix.AF_INET6, n.IP
	ones, bits := n.Mask.Size()
	if four := ip.To4(); four != nil {
		family, ip, ones = unix.AF_INET, four, max(0, ones+32-bits)
	}
	r.Uint16(unix.WGALLOWEDIP_A_FAMILY, uint16(family))
	r.Attr(unix.WGALLOWEDIP_A_IPADDR, ip)
	r.Attr(unix.WGALLOWEDIP_A_CIDR_MASK, []byte{byte(ones)})
}

// sockaddr is a struct sockaddr_in or sockaddr_in6.
func sockaddr(a *net.UDPAddr) []byte {
	if four := a.IP.To4(); four != nil {
		b := binary.BigEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, unix.AF_INET), uint16(a.Port))
		return append(append(b, four...), make([]byte, 8)...)
	}
	b := binary.BigEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, unix.AF_INET6), uint16(a.Port))
	b = append(append(b, 0, 0, 0, 0), a.IP.To16()...) // without a flow label
	return append(b, 0, 0, 0, 0)                      // without a scope
}
