package netlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"slices"

	"golang.org/x/sys/unix"
)

// LinkNotFoundError says that there is no link of that name or index.
type LinkNotFoundError struct{}

func (LinkNotFoundError) Error() string { return "no such device" }

// Link is a network device.
type Link interface {
	Attrs() *LinkAttrs
	// Type is the kernel's name of its kind (IFLA_INFO_KIND); "device" for one without a kind.
	Type() string
}

// LinkAttrs are what all links have.
type LinkAttrs struct {
	Index        int
	Name         string
	MTU          int // bytes
	HardwareAddr net.HardwareAddr
	MasterIndex  int // the bridge or mesh that it is a port of; 0 for none
	Alias        string
	Group        uint32
	RawFlags     uint32 // IFF_UP and so on
}

// Attrs gives the attributes themselves.
func (a *LinkAttrs) Attrs() *LinkAttrs { return a }

// Device is a link of any kind but those that have a type of their own.
type Device struct {
	LinkAttrs
	Kind string
}

// Type is the kernel's name of its kind.
func (d *Device) Type() string { return d.Kind }

// Wireguard is a link to be made.
type Wireguard struct{ LinkAttrs }

// Type is the kernel's name of its kind.
func (*Wireguard) Type() string { return "wireguard" }

// Vxlan is a link that carries frames in UDP (RFC 7348).
type Vxlan struct {
	LinkAttrs
	VxlanId      int
	VtepDevIndex int    // the device under it
	SrcAddr      net.IP // that it sends from
	Group        net.IP // the fixed remote, or a multicast group
	Port         int    // UDP, of both ends
	Learning     bool
	// Checksums of UDP: whether IPv6 goes without, may come without, and IPv4 goes with one.
	UDP6ZeroCSumTx, UDP6ZeroCSumRx, UDPCSum bool
}

// Type is the kernel's name of its kind.
func (*Vxlan) Type() string { return "vxlan" }

// Attributes of a VXLAN (linux/if_link.h).
const (
	IFLA_VXLAN_ID                = 1
	IFLA_VXLAN_GROUP             = 2
	IFLA_VXLAN_LINK              = 3
	IFLA_VXLAN_LOCAL             = 4
	IFLA_VXLAN_LEARNING          = 7
	IFLA_VXLAN_PORT              = 15
	IFLA_VXLAN_GROUP6            = 16
	IFLA_VXLAN_LOCAL6            = 17
	IFLA_VXLAN_UDP_CSUM          = 18
	IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19
	IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20
)

// rtextSkipStats asks for links without their counters (RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h).
const rtextSkipStats = 1 << 3

// ifinfo is a struct ifinfomsg: of a device by its index, with flags to set and the mask of those that count.
func ifinfo(index int, flags, change uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return b
}

// NewLinkRequest begins a request about a device.
func NewLinkRequest(kind, flags, index int) *Request {
	return NewRequest(kind, flags, ifinfo(index, 0, 0))
}

// LinkList gives all links.
func (h *Handle) LinkList() (list []Link, err error) {
	r := NewLinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP, 0)
	r.Uint32(unix.IFLA_EXT_MASK, rtextSkipStats)
	err = h.Each(r, unix.RTM_NEWLINK, func(m []byte) {
		if l := ParseLink(m); l != nil {
			list = append(list, l)
		}
	})
	return list, err
}

// LinkByName gives the link of that name. The error is a LinkNotFoundError when there is none.
func (h *Handle) LinkByName(name string) (Link, error) {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return nil, LinkNotFoundError{}
	}
	r := NewLinkRequest(unix.RTM_GETLINK, 0, 0)
	r.String(unix.IFLA_IFNAME, name)
	return h.link(r)
}

// LinkByIndex gives the link of that number. The error is a LinkNotFoundError when there is none.
func (h *Handle) LinkByIndex(index int) (Link, error) {
	if index <= 0 {
		return nil, LinkNotFoundError{}
	}
	return h.link(NewLinkRequest(unix.RTM_GETLINK, 0, index))
}

func (h *Handle) link(r *Request) (l Link, err error) {
	r.Uint32(unix.IFLA_EXT_MASK, rtextSkipStats)
	err = h.Each(r, unix.RTM_NEWLINK, func(m []byte) { l = ParseLink(m) })
	switch {
	case errors.Is(err, unix.ENODEV):
		return nil, LinkNotFoundError{}
	case err == nil && l == nil:
		return nil, errShort
	}
	return l, err
}

// LinkByName is that of a Handle, by a socket of its own.
func LinkByName(name string) (l Link, err error) {
	err = once(func(h *Handle) error {
		l, err = h.LinkByName(name)
		return err
	})
	return l, err
}

// ParseLink reads a message about a link; nil when it is cut short.
func ParseLink(m []byte) Link {
	if len(m) < unix.SizeofIfInfomsg {
		return nil
	}
	a := LinkAttrs{Index: Number(m[4:]), RawFlags: number32(m[8:])}
	kind := "device"
	var data []byte
	Attributes(m[unix.SizeofIfInfomsg:], func(k uint16, v []byte) {
		switch k {
		case unix.IFLA_IFNAME:
			a.Name = text(v)
		case unix.IFLA_MTU:
			a.MTU = Number(v)
		case unix.IFLA_ADDRESS:
			if slices.ContainsFunc(v, func(b byte) bool { return b != 0 }) {
				a.HardwareAddr = slices.Clone(v)
			}
		case unix.IFLA_MASTER:
			a.MasterIndex = Number(v)
		case unix.IFLA_IFALIAS:
			a.Alias = text(v)
		case unix.IFLA_GROUP:
			a.Group = number32(v)
		case unix.IFLA_LINKINFO:
			Attributes(v, func(k uint16, v []byte) {
				switch k {
				case unix.IFLA_INFO_KIND:
					kind = text(v)
				case unix.IFLA_INFO_DATA:
					data = v
				}
			})
		}
	})
	if kind == "vxlan" {
		return parseVxlan(a, data)
	}
	return &Device{a, kind}
}

func parseVxlan(a LinkAttrs, data []byte) *Vxlan {
	x := &Vxlan{LinkAttrs: a}
	Attributes(data, func(k uint16, v []byte) {
		switch k {
		case IFLA_VXLAN_ID:
			x.VxlanId = Number(v)
		case IFLA_VXLAN_LINK:
			x.VtepDevIndex = Number(v)
		case IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6:
			x.SrcAddr = slices.Clone(v)
		case IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6:
			x.Group = slices.Clone(v)
		case IFLA_VXLAN_PORT:
			if len(v) >= 2 {
				x.Port = int(binary.BigEndian.Uint16(v))
			}
		case IFLA_VXLAN_LEARNING:
			x.Learning = first(v) != 0
		case IFLA_VXLAN_UDP_CSUM:
			x.UDPCSum = first(v) != 0
		case IFLA_VXLAN_UDP_ZERO_CSUM6_TX:
			x.UDP6ZeroCSumTx = first(v) != 0
		case IFLA_VXLAN_UDP_ZERO_CSUM6_RX:
			x.UDP6ZeroCSumRx = first(v) != 0
		}
	})
	return x
}

func text(v []byte) string {
	v, _, _ = bytes.Cut(v, []byte{0})
	return string(v)
}

// LinkAdd makes a link: a Wireguard, a Vxlan, or a Device of a kind that needs no settings.
func (h *Handle) LinkAdd(l Link) error {
	a := l.Attrs()
	r := NewLinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0)
	r.String(unix.IFLA_IFNAME, a.Name)
	if a.MTU > 0 {
		r.Uint32(unix.IFLA_MTU, uint32(a.MTU))
	}
	if len(a.HardwareAddr) > 0 {
		r.Attr(unix.IFLA_ADDRESS, a.HardwareAddr)
	}
	if a.Group > 0 {
		r.Uint32(unix.IFLA_GROUP, a.Group)
	}
	r.Nested(unix.IFLA_LINKINFO, func() {
		r.Attr(unix.IFLA_INFO_KIND, []byte(l.Type()))
		if x, ok := l.(*Vxlan); ok {
			r.Nested(unix.IFLA_INFO_DATA, func() { x.put(r) })
		}
	})
	_, err := h.Execute(r, 0)
	return err
}

func (x *Vxlan) put(r *Request) {
	r.Uint32(IFLA_VXLAN_ID, uint32(x.VxlanId))
	if x.VtepDevIndex != 0 {
		r.Uint32(IFLA_VXLAN_LINK, uint32(x.VtepDevIndex))
	}
	address := func(four, six int, a net.IP) {
		if a4 := a.To4(); a4 != nil {
			r.Attr(four, a4)
		} else if len(a) == net.IPv6len {
			r.Attr(six, a)
		}
	}
	address(IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6, x.SrcAddr)
	address(IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6, x.Group)
	r.Flag(IFLA_VXLAN_LEARNING, x.Learning)
	r.Flag(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, x.UDP6ZeroCSumTx)
	r.Flag(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, x.UDP6ZeroCSumRx)
	if x.UDPCSum {
		r.Flag(IFLA_VXLAN_UDP_CSUM, true)
	}
	if x.Port > 0 {
		r.Attr(IFLA_VXLAN_PORT, binary.BigEndian.AppendUint16(nil, uint16(x.Port)))
	}
}

// LinkDel removes a link. What stands on it goes with it.
func (h *Handle) LinkDel(l Link) error {
	_, err := h.Execute(NewLinkRequest(unix.RTM_DELLINK, 0, l.Attrs().Index), 0)
	return err
}

// LinkSetUp brings a link up.
func (h *Handle) LinkSetUp(l Link) error {
	_, err := h.Execute(NewRequest(unix.RTM_NEWLINK, 0, ifinfo(l.Attrs().Index, unix.IFF_UP, unix.IFF_UP)), 0)
	return err
}

// LinkSetMTU sets the largest packet, in bytes.
func (h *Handle) LinkSetMTU(l Link, mtu int) error {
	r := NewLinkRequest(unix.RTM_SETLINK, 0, l.Attrs().Index)
	r.Uint32(unix.IFLA_MTU, uint32(mtu))
	_, err := h.Execute(r, 0)
	return err
}

// LinkSetMasterByIndex makes a link a port of another.
func (h *Handle) LinkSetMasterByIndex(l Link, master int) error {
	r := NewLinkRequest(unix.RTM_SETLINK, 0, l.Attrs().Index)
	r.Uint32(unix.IFLA_MASTER, uint32(master))
	_, err := h.Execute(r, 0)
	return err
}

// LinkSetAlias gives a link its alias.
func LinkSetAlias(l Link, alias string) error {
	r := NewLinkRequest(unix.RTM_SETLINK, 0, l.Attrs().Index)
	r.Attr(unix.IFLA_IFALIAS, []byte(alias))
	return once(func(h *Handle) error {
		_, err := h.Execute(r, 0)
		return err
	})
}

// Index gives the number of a device; the error is ENODEV when there is none of that name. It is for what is asked each
// other second: a request would wait for a lock of the whole kernel, which others hold while they make or delete
// devices.
func Index(name string) (int, error) {
	ask, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ask); err != nil {
		return 0, err
	}
	return int(ask.Uint32()), nil
}
