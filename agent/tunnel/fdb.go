package tunnel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// An entry is where the VXLAN sends frames for which it knows no better: an all-zero MAC address in its forwarding
// database. The lower device has to be named, because the remote is link-local.
type entry struct {
	remote netip.Addr
	lower  int
}

// sizeofNdmsg is the size of struct ndmsg (linux/neighbour.h).
const sizeofNdmsg = 12

var anyMAC = make([]byte, 6)

// forward leaves exactly one all-zero entry: to remote by lower; none when remote is the zero Addr. The new one comes
// before the old one goes. (An all-zero entry cannot be replaced in one message: the kernel answers EOPNOTSUPP.)
func (t *Tunnel) forward(link, lower netlink.Link, remote netip.Addr) error {
	index := link.Attrs().Index
	have, err := entries(index)
	if err != nil {
		return fmt.Errorf("read the forwarding entries of %s: %w", link.Attrs().Name, err)
	}
	want := entry{remote, lower.Attrs().Index}
	found := false
	for _, e := range have {
		found = found || e == want
	}
	if !found && remote.IsValid() {
		err := t.change(func() error {
			return neigh(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_APPEND, index, want)
		})
		if err != nil {
			return fmt.Errorf("point %s at %s: %w", link.Attrs().Name, remote, err)
		}
	}
	for _, e := range have {
		if e == want {
			continue
		}
		if err := t.change(func() error { return neigh(unix.RTM_DELNEIGH, 0, index, e) }); err != nil {
			return fmt.Errorf("take the forwarding entry to %s from %s: %w", e.remote, link.Attrs().Name, err)
		}
	}
	return nil
}

func neigh(kind, flags, index int, e entry) error {
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	req.AddData(&netlink.Ndmsg{
		Family: unix.AF_BRIDGE,
		Index:  uint32(index),
		State:  netlink.NUD_PERMANENT | netlink.NUD_NOARP,
		Flags:  netlink.NTF_SELF,
	})
	req.AddData(nl.NewRtAttr(netlink.NDA_LLADDR, anyMAC))
	req.AddData(nl.NewRtAttr(netlink.NDA_DST, e.remote.AsSlice()))
	if e.lower != 0 {
		req.AddData(nl.NewRtAttr(netlink.NDA_IFINDEX, nl.Uint32Attr(uint32(e.lower))))
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func entries(index int) ([]entry, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(index)})
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, m := range msgs {
		if len(m) < sizeofNdmsg || int(nl.NativeEndian().Uint32(m[4:8])) != index {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[sizeofNdmsg:])
		if err != nil {
			return nil, err
		}
		var e entry
		zero := false
		for _, a := range attrs {
			switch a.Attr.Type {
			case netlink.NDA_LLADDR:
				zero = bytes.Equal(a.Value, anyMAC)
			case netlink.NDA_DST:
				e.remote, _ = netip.AddrFromSlice(a.Value)
			case netlink.NDA_IFINDEX:
				if len(a.Value) == 4 {
					e.lower = int(binary.NativeEndian.Uint32(a.Value))
				}
			}
		}
		if zero && e.remote.IsValid() {
			out = append(out, e)
		}
	}
	return out, nil
}
