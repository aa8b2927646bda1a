package wan

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// device is what counts of a network device.
type device struct {
	name    string
	mtu     int
	carrier bool // up, and so is what it stands on
	master  int  // the bridge, bond or mesh that it is a port of; 0 for none
	lower   int  // the device that it was made on (VLAN, macvlan), or the other end of a veth pair; 0 for none
	under   int  // the device that a VXLAN sends by; 0 for none
	peer    bool // lower is the other end of a veth pair
}

// graph has all devices of the network namespace, by their index.
type graph map[int]device

// take puts a link message (rtnetlink(7)) into the graph, and says whether that changed anything.
func (g graph) take(kind uint16, m []byte) bool {
	if len(m) < unix.SizeofIfInfomsg || m[0] != unix.AF_UNSPEC {
		return false // a port of a bridge: the device itself has a message of its own
	}
	index := int(int32(binary.NativeEndian.Uint32(m[4:])))
	if kind == unix.RTM_DELLINK {
		_, there := g[index]
		delete(g, index)
		return there
	}
	d := parseLink(m)
	if g[index] == d {
		return false
	}
	g[index] = d
	return true
}

// parseLink reads a link message. It takes in only what counts: a message has some 1500 bytes, and there may be
// thousands.
func parseLink(m []byte) (d device) {
	const carrier = unix.IFF_UP | unix.IFF_LOWER_UP
	d.carrier = binary.NativeEndian.Uint32(m[8:])&carrier == carrier
	elsewhere := false
	netlink.Attributes(m[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			d.name = string(bytes.TrimRight(v, "\x00"))
		case unix.IFLA_MTU:
			d.mtu = netlink.Number(v)
		case unix.IFLA_MASTER:
			d.master = netlink.Number(v)
		case unix.IFLA_LINK:
			d.lower = netlink.Number(v)
		case unix.IFLA_LINK_NETNSID:
			elsewhere = true
		case unix.IFLA_LINKINFO:
			d.linkInfo(v)
		}
	})
	if elsewhere {
		d.lower, d.under = 0, 0 // an index of another network namespace
	}
	return d
}

func (d *device) linkInfo(info []byte) {
	vxlan := false
	netlink.Attributes(info, func(kind uint16, v []byte) {
		switch {
		case kind == unix.IFLA_INFO_KIND:
			vxlan, d.peer = bytes.HasPrefix(v, []byte("vxlan")), bytes.HasPrefix(v, []byte("veth"))
		case kind == unix.IFLA_INFO_DATA && vxlan:
			netlink.Attributes(v, func(kind uint16, v []byte) {
				if kind == netlink.IFLA_VXLAN_LINK {
					d.under = netlink.Number(v)
				}
			})
		}
	})
}

// standsOn tells whether a device is one that own tells, or stands on such a device at any depth: as a bridge, bond or
// mesh with such a port, a VLAN, a macvlan, a VXLAN or a tunnel over one, or a veth pair that ends in one.
func (g graph) standsOn(index int, own func(name string) bool) bool {
	if own == nil {
		return false
	}
	seen := map[int]bool{}
	var look func(int) bool
	look = func(i int) bool {
		d, there := g[i]
		if !there || seen[i] {
			return false
		}
		seen[i] = true
		if own(d.name) || look(d.lower) || look(d.under) {
			return true
		}
		if d.peer && look(g[d.lower].master) {
			return true
		}
		for port, p := range g {
			if p.master == i && look(port) {
				return true
			}
		}
		return false
	}
	return look(index)
}
