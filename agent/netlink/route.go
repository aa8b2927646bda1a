package netlink

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"

	"golang.org/x/sys/unix"
)

// Route is an entry of a routing table.
type Route struct {
	Family    int
	Dst       *net.IPNet // never nil in a route that was read
	Src, Gw   net.IP     // the preferred source, and the next hop; nil for none
	Via       []byte     // RTA_VIA, a next hop of another family, as it is
	MultiPath []*NexthopInfo
	// SourceBits is how long the prefix is that a packet's source has to lie in, of a route that was read; 0 for any
	// source.
	SourceBits int
	LinkIndex  int // 0 for a route without a device, or with several
	Table      int // 0: the main table
	Protocol   int // who made it (rtm_protocol)
	Scope      int
	Type       int // RTN_UNICAST and so on; 0 for that one
	Flags      int // RTNH_F_ONLINK and so on
	Priority   int // its metric
	MTU        int // of packets by it, in bytes; 0 for nothing said
}

// NexthopInfo is one of several ways.
type NexthopInfo struct {
	LinkIndex, Hops, Flags int
	Gw                     net.IP
	Via                    []byte
}

// FLAG_ONLINK says that the next hop is on the link, although no prefix says so.
const FLAG_ONLINK = unix.RTNH_F_ONLINK

// What RouteListFiltered compares.
const (
	RT_FILTER_PROTOCOL = 1 << iota
	RT_FILTER_OIF
	// RT_FILTER_TABLE with RT_TABLE_UNSPEC takes the routes of all tables; without it, those of the main table.
	RT_FILTER_TABLE
)

// RouteListFiltered gives the routes of a family that are as filter is in what mask names. Routes that the kernel has
// cloned for single hosts are left out.
func (h *Handle) RouteListFiltered(family int, filter *Route, mask int) (list []Route, err error) {
	head := make([]byte, unix.SizeofRtMsg)
	head[0] = byte(family)
	err = h.Each(NewRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP, head), unix.RTM_NEWROUTE, func(m []byte) {
		if len(m) < unix.SizeofRtMsg || family != FAMILY_ALL && int(m[0]) != family ||
			number32(m[8:])&unix.RTM_F_CLONED != 0 || mask&RT_FILTER_PROTOCOL != 0 && int(m[5]) != filter.Protocol {
			return
		}
		table := unix.RT_TABLE_MAIN
		if mask&RT_FILTER_TABLE != 0 {
			table = filter.Table
		}
		if table != unix.RT_TABLE_UNSPEC && table < 252 && int(m[4]) != table {
			return // larger numbers are in an attribute
		}
		r := parseRoute(m)
		if table != unix.RT_TABLE_UNSPEC && r.Table != table || mask&RT_FILTER_OIF != 0 &&
			r.LinkIndex != filter.LinkIndex {
			return
		}
		list = append(list, r)
	})
	return list, err
}

// parseRoute reads a struct rtmsg with its attributes.
func parseRoute(m []byte) Route {
	r := Route{Family: int(m[0]), SourceBits: int(m[2]), Table: int(m[4]), Protocol: int(m[5]), Scope: int(m[6]),
		Type: int(m[7]), Flags: Number(m[8:])}
	dst := net.IPv6zero
	if r.Family == FAMILY_V4 {
		dst = net.IPv4zero.To4()
	}
	Attributes(m[unix.SizeofRtMsg:], func(k uint16, v []byte) {
		switch k {
		case unix.RTA_DST:
			dst = slices.Clone(v)
		case unix.RTA_PREFSRC:
			r.Src = slices.Clone(v)
		case unix.RTA_GATEWAY:
			r.Gw = slices.Clone(v)
		case unix.RTA_VIA:
			r.Via = slices.Clone(v)
		case unix.RTA_OIF:
			r.LinkIndex = Number(v)
		case unix.RTA_PRIORITY:
			r.Priority = Number(v)
		case unix.RTA_TABLE:
			r.Table = Number(v)
		case unix.RTA_MULTIPATH:
			r.MultiPath = nexthops(v)
		case unix.RTA_METRICS:
			Attributes(v, func(k uint16, v []byte) {
				if k == unix.RTAX_MTU {
					r.MTU = Number(v)
				}
			})
		}
	})
	if r.Dst = network(dst, int(m[1])); r.Dst == nil { // not an address of IP, as in MPLS
		r.Dst = &net.IPNet{IP: dst, Mask: net.CIDRMask(0, 8*len(dst))}
	}
	return r
}

// nexthops reads a list of struct rtnexthop (linux/rtnetlink.h).
func nexthops(b []byte) (list []*NexthopInfo) {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) {
			break
		}
		n := &NexthopInfo{Flags: int(b[2]), Hops: int(b[3]), LinkIndex: Number(b[4:])}
		Attributes(b[unix.SizeofRtNexthop:size], func(k uint16, v []byte) {
			switch k {
			case unix.RTA_GATEWAY:
				n.Gw = slices.Clone(v)
			case unix.RTA_VIA:
				n.Via = slices.Clone(v)
			}
		})
		list = append(list, n)
		b = b[min(len(b), align(size)):]
	}
	return list
}

// RouteGetOptions are what rules may look at beside the address.
type RouteGetOptions struct{ Mark uint32 }

// RouteGetWithOptions asks the kernel how it would send to an address.
func (h *Handle) RouteGetWithOptions(to net.IP, o *RouteGetOptions) (list []Route, err error) {
	to, family := bare(to)
	head := make([]byte, unix.SizeofRtMsg)
	head[0], head[1] = byte(family), byte(8*len(to))
	binary.NativeEndian.PutUint32(head[8:], unix.RTM_F_LOOKUP_TABLE)
	r := NewRequest(unix.RTM_GETROUTE, 0, head)
	r.Attr(unix.RTA_DST, to)
	if o != nil && o.Mark != 0 {
		r.Uint32(unix.RTA_MARK, o.Mark)
	}
	err = h.Each(r, unix.RTM_NEWROUTE, func(m []byte) {
		if len(m) >= unix.SizeofRtMsg {
			list = append(list, parseRoute(m))
		}
	})
	return list, err
}

// RouteGetWithOptions is that of a Handle, by a socket of its own.
func RouteGetWithOptions(to net.IP, o *RouteGetOptions) (list []Route, err error) {
	err = once(func(h *Handle) error {
		list, err = h.RouteGetWithOptions(to, o)
		return err
	})
	return list, err
}

// RouteAdd adds a route. The error is EEXIST when there is one to the same prefix with the same metric.
func (h *Handle) RouteAdd(r *Route) error {
	return h.route(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, r)
}

// RouteAddEcmp adds a route beside those to the same prefix: IPv4 puts it before them, IPv6 makes it one of several
// ways.
func (h *Handle) RouteAddEcmp(r *Route) error {
	return h.route(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, r)
}

// RouteReplace adds a route in the place of one to the same prefix with the same metric.
func (h *Handle) RouteReplace(r *Route) error {
	return h.route(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, r)
}

// RouteDel removes a route.
func (h *Handle) RouteDel(r *Route) error { return h.route(unix.RTM_DELROUTE, 0, r) }

func (h *Handle) route(kind, flags int, r *Route) error {
	if r.Dst == nil {
		return fmt.Errorf("route without a destination: %w", unix.EINVAL)
	}
	dst, family := bare(r.Dst.IP)
	bits, _ := r.Dst.Mask.Size()
	head := make([]byte, unix.SizeofRtMsg)
	table, typ := r.Table, r.Type
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	if typ == 0 && kind == unix.RTM_NEWROUTE {
		typ = unix.RTN_UNICAST
	}
	head[0], head[1], head[5], head[6], head[7] = byte(family), byte(bits), byte(r.Protocol), byte(r.Scope), byte(typ)
	if table < 256 {
		head[4] = byte(table)
	}
	binary.NativeEndian.PutUint32(head[8:], uint32(r.Flags))
	q := NewRequest(kind, flags, head)
	q.Attr(unix.RTA_DST, dst)
	address := func(kind int, a net.IP) {
		if len(a) > 0 {
			a, _ = bare(a)
			q.Attr(kind, a)
		}
	}
	address(unix.RTA_PREFSRC, r.Src)
	address(unix.RTA_GATEWAY, r.Gw)
	if r.Via != nil {
		q.Attr(unix.RTA_VIA, r.Via)
	}
	if len(r.MultiPath) > 0 {
		q.Nested(unix.RTA_MULTIPATH, func() {
			for _, n := range r.MultiPath {
				begin := len(q.Data)
				q.Data = append(q.Data, 0, 0, byte(n.Flags), byte(n.Hops))
				q.Data = binary.NativeEndian.AppendUint32(q.Data, uint32(n.LinkIndex))
				address(unix.RTA_GATEWAY, n.Gw)
				if n.Via != nil {
					q.Attr(unix.RTA_VIA, n.Via)
				}
				binary.NativeEndian.PutUint16(q.Data[begin:], uint16(len(q.Data)-begin))
			}
		})
	}
	if table >= 256 {
		q.Uint32(unix.RTA_TABLE, uint32(table))
	}
	if r.Priority > 0 {
		q.Uint32(unix.RTA_PRIORITY, uint32(r.Priority))
	}
	if r.MTU > 0 {
		q.Nested(unix.RTA_METRICS, func() { q.Uint32(unix.RTAX_MTU, uint32(r.MTU)) })
	}
	if r.LinkIndex > 0 {
		q.Uint32(unix.RTA_OIF, uint32(r.LinkIndex))
	}
	_, err := h.Execute(q, 0)
	return err
}
