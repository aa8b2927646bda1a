package tunnel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
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
	have, err := t.entries(index)
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
			return t.neigh(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_APPEND, index, want)
		})
		if err != nil {
			return fmt.Errorf("point %s at %s: %w", link.Attrs().Name, remote, err)
		}
	}
	for _, e := range have {
		if e == want {
			continue
		}
		if err := t.change(func() error { return t.neigh(unix.RTM_DELNEIGH, 0, index, e) }); err != nil {
			return fmt.Errorf("take the forwarding entry to %s from %s: %w", e.remote, link.Attrs().Name, err)
		}
	}
	return nil
}

// renewEntries makes the forwarding entries of a VXLAN anew after its own address has changed. An entry keeps the route
// that it has found, with the source address, for as long as the route is valid (dst_cache in drivers/net/vxlan):
// without this the frames go on coming from the old address, and the gateway's WireGuard drops them. Seen with Linux
// 6.1.
func (t *Tunnel) renewEntries(link netlink.Link) error {
	index := link.Attrs().Index
	have, err := t.entries(index)
	if err != nil {
		return fmt.Errorf("read the forwarding entries of %s: %w", link.Attrs().Name, err)
	}
	for _, e := range have {
		err := t.change(func() error {
			if err := t.neigh(unix.RTM_DELNEIGH, 0, index, e); err != nil {
				return err
			}
			return t.neigh(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_APPEND, index, e)
		})
		if err != nil {
			return fmt.Errorf("make the forwarding entry of %s to %s anew: %w", link.Attrs().Name, e.remote, err)
		}
	}
	return nil
}

// neighbour is a struct ndmsg (linux/neighbour.h) of a bridge or VXLAN.
func neighbour(index int) []byte {
	b := make([]byte, sizeofNdmsg)
	b[0] = unix.AF_BRIDGE
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	return b
}

func (t *Tunnel) neigh(kind, flags, index int, e entry) error {
	head := neighbour(index)
	binary.NativeEndian.PutUint16(head[8:], unix.NUD_PERMANENT|unix.NUD_NOARP)
	head[10] = unix.NTF_SELF
	req := netlink.NewRequest(kind, flags, head)
	req.Attr(unix.NDA_LLADDR, anyMAC)
	req.Attr(unix.NDA_DST, e.remote.AsSlice())
	if e.lower != 0 {
		req.Uint32(unix.NDA_IFINDEX, uint32(e.lower))
	}
	_, err := t.h.Execute(req, 0)
	return err
}

func (t *Tunnel) entries(index int) ([]entry, error) {
	msgs, err := t.h.Execute(netlink.NewRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, neighbour(index)),
		unix.RTM_NEWNEIGH)
	if err != nil {
		return nil, err
	}
	var out []entry
	for _, m := range msgs {
		if len(m) < sizeofNdmsg || netlink.Number(m[4:]) != index {
			continue
		}
		var e entry
		zero := false
		netlink.Attributes(m[sizeofNdmsg:], func(kind uint16, v []byte) {
			switch kind {
			case unix.NDA_LLADDR:
				zero = bytes.Equal(v, anyMAC)
			case unix.NDA_DST:
				e.remote, _ = netip.AddrFromSlice(v)
			case unix.NDA_IFINDEX:
				e.lower = netlink.Number(v)
			}
		})
		if zero && e.remote.IsValid() {
			out = append(out, e)
		}
	}
	return out, nil
}
