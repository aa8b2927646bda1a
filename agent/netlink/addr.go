package netlink

import (
	"encoding/binary"
	"net"
	"slices"

	"golang.org/x/sys/unix"
)

// Families of addresses.
const (
	FAMILY_ALL = unix.AF_UNSPEC
	FAMILY_V4  = unix.AF_INET
	FAMILY_V6  = unix.AF_INET6
)

// Scopes of addresses and routes.
const (
	SCOPE_UNIVERSE = unix.RT_SCOPE_UNIVERSE
	SCOPE_LINK     = unix.RT_SCOPE_LINK
)

// Addr is an address of a link.
type Addr struct {
	*net.IPNet
	Peer      *net.IPNet // the other end, and the prefix behind it; nil for none
	Flags     int        // IFA_F_NODAD and so on
	Scope     int
	LinkIndex int
}

// AddrList gives the addresses of a link; of all links, when it is nil.
func (h *Handle) AddrList(l Link, family int) (list []Addr, err error) {
	head := make([]byte, unix.SizeofIfAddrmsg)
	head[0] = byte(family)
	err = h.Each(NewRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP, head), unix.RTM_NEWADDR, func(m []byte) {
		if len(m) < unix.SizeofIfAddrmsg || family != FAMILY_ALL && int(m[0]) != family {
			return
		}
		if index := Number(m[4:]); l == nil || index == l.Attrs().Index {
			if a := parseAddr(m); a.IPNet != nil {
				list = append(list, a)
			}
		}
	})
	return list, err
}

// parseAddr reads a struct ifaddrmsg with its attributes. IPv4 has both IFA_LOCAL and IFA_ADDRESS, which differ with a
// peer; IPv6 has IFA_LOCAL with a peer only (linux/if_addr.h).
func parseAddr(m []byte) Addr {
	a := Addr{Flags: int(m[2]), Scope: int(m[3]), LinkIndex: Number(m[4:])}
	var local, address net.IP
	Attributes(m[unix.SizeofIfAddrmsg:], func(k uint16, v []byte) {
		switch k {
		case unix.IFA_LOCAL:
			local = slices.Clone(v)
		case unix.IFA_ADDRESS:
			address = slices.Clone(v)
		case unix.IFA_FLAGS:
			a.Flags = Number(v)
		}
	})
	bits := int(m[1])
	switch {
	case local == nil || local.Equal(address):
		a.IPNet = network(address, bits)
	default:
		a.IPNet = network(local, 8*len(local))
		a.Peer = network(address, bits)
	}
	return a
}

// network is an address with the length of its prefix; nil when either is none.
func network(a net.IP, bits int) *net.IPNet {
	mask := net.CIDRMask(bits, 8*len(a))
	if len(a) == 0 || mask == nil {
		return nil
	}
	return &net.IPNet{IP: a, Mask: mask}
}

// AddrReplace gives a link an address, or sets the flags of one that it has. An IPv4 address of a network gets the
// network's broadcast address.
func (h *Handle) AddrReplace(l Link, a *Addr) error {
	return h.addr(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, l, a)
}

// AddrDel takes an address from a link.
func (h *Handle) AddrDel(l Link, a *Addr) error { return h.addr(unix.RTM_DELADDR, 0, l, a) }

func (h *Handle) addr(kind, flags int, l Link, a *Addr) error {
	local, family := bare(a.IP)
	address, mask := local, a.Mask
	if a.Peer != nil {
		address, _ = bare(a.Peer.IP)
		mask = a.Peer.Mask
	}
	bits, _ := mask.Size()
	head := make([]byte, unix.SizeofIfAddrmsg)
	head[0], head[1], head[2], head[3] = byte(family), byte(bits), byte(a.Flags), byte(a.Scope)
	binary.NativeEndian.PutUint32(head[4:], uint32(l.Attrs().Index))
	r := NewRequest(kind, flags, head)
	r.Attr(unix.IFA_LOCAL, local)
	r.Attr(unix.IFA_ADDRESS, address)
	if a.Flags > 0xff {
		r.Uint32(unix.IFA_FLAGS, uint32(a.Flags))
	}
	if kind == unix.RTM_NEWADDR && family == FAMILY_V4 && bits < 31 { // RFC 3021: a longer prefix has none
		broadcast := slices.Clone(local)
		for i, b := range net.CIDRMask(bits, 32) {
			broadcast[i] |= ^b
		}
		r.Attr(unix.IFA_BROADCAST, broadcast)
	}
	_, err := h.Execute(r, 0)
	return err
}

// bare is an address in as many bytes as its family has.
func bare(a net.IP) (net.IP, int) {
	if four := a.To4(); four != nil {
		return four, FAMILY_V4
	}
	return a, FAMILY_V6
}
