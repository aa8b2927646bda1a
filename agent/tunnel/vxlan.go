package tunnel

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vxlan makes the VXLAN device over the WireGuard device, with one static all-zero forwarding entry to the gateway.
func (t *Tunnel) vxlan(lower netlink.Link, d Desired) (warnings []string, err error) {
	v := d.VXLAN
	want := &netlink.Vxlan{
		LinkAttrs:    netlink.LinkAttrs{Name: v.Name, MTU: v.MTU},
		VxlanId:      int(v.ID),
		VtepDevIndex: lower.Attrs().Index,
		SrcAddr:      d.Devices[0].Addresses[0].Prefix.Addr().AsSlice(),
		Port:         int(v.Port),
		// A learned multicast source once sent every broadcast to one neighbour only (gluon#3191).
		Learning: false,
		// Some hardware drops IPv6 UDP with a zero checksum silently (gluon#3783), yet some gateways send it.
		UDP6ZeroCSumTx: !v.Checksum,
		UDP6ZeroCSumRx: true,
		UDPCSum:        v.Checksum,
	}
	link, err := t.h.LinkByName(v.Name)
	if err == nil {
		if why := unlike(link, want); why != "" {
			if !owned(link, d.Name) {
				return nil, fmt.Errorf("%s exists and has %s: delete it, or set option vxlan_interface to another name", v.Name, why)
			}
			if err := t.removeLink(v.Name, d.Name); err != nil {
				return nil, err
			}
			link = nil
		}
	} else if !isNotFound(err) {
		return nil, fmt.Errorf("look up %s: %w", v.Name, err)
	}
	if link == nil {
		if link, err = t.createVXLAN(want, d.Name); err != nil {
			return nil, err
		}
	}
	if err := t.up(link, v.MTU); err != nil {
		return nil, portOf(v.Name, v.Port, err)
	}
	if err := t.forward(link, lower, v.Remote); err != nil {
		return nil, err
	}
	if v.Master != "" {
		if err := t.enslave(link, v.Master); err != nil {
			return []string{err.Error()}, nil
		}
	}
	return t.batman(link, v), nil
}

func (t *Tunnel) createVXLAN(want *netlink.Vxlan, uplink string) (netlink.Link, error) {
	err := t.change(func() error { return t.h.LinkAdd(want) })
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil, fmt.Errorf("create VXLAN %s: %w: %w", want.Name, ErrNoVXLAN, err)
	case errors.Is(err, unix.EEXIST):
		return nil, fmt.Errorf("create VXLAN %s: another device has the id %d and port %d already: %w", want.Name, want.VxlanId, want.Port, err)
	case err != nil:
		return nil, fmt.Errorf("create VXLAN %s: %w", want.Name, err)
	}
	link, err := t.h.LinkByName(want.Name)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", want.Name, err)
	}
	if err := t.change(func() error { return t.h.LinkSetAlias(link, mark(uplink)) }); err != nil {
		return nil, fmt.Errorf("mark %s as ours: %w", want.Name, err)
	}
	return link, nil
}

// unlike names the first property that cannot be changed on a live device; "" when there is none.
func unlike(link netlink.Link, want *netlink.Vxlan) string {
	is, ok := link.(*netlink.Vxlan)
	if !ok {
		return "type " + link.Type() + ", not vxlan"
	}
	isSrc, _ := netip.AddrFromSlice(is.SrcAddr)
	wantSrc, _ := netip.AddrFromSlice(want.SrcAddr)
	switch {
	case is.VxlanId != want.VxlanId:
		return fmt.Sprintf("id %d, not %d", is.VxlanId, want.VxlanId)
	case is.Port != want.Port:
		return fmt.Sprintf("port %d, not %d", is.Port, want.Port)
	case is.VtepDevIndex != want.VtepDevIndex:
		return fmt.Sprintf("the lower device number %d, not %d", is.VtepDevIndex, want.VtepDevIndex)
	case isSrc.Unmap() != wantSrc.Unmap():
		return fmt.Sprintf("the local address %s, not %s", isSrc, wantSrc)
	case is.Learning != want.Learning:
		return "learning switched on"
	case is.UDP6ZeroCSumTx != want.UDP6ZeroCSumTx || is.UDP6ZeroCSumRx != want.UDP6ZeroCSumRx:
		return "other checksum settings"
	case len(is.Group) != 0 && !is.Group.IsUnspecified():
		return fmt.Sprintf("the fixed remote %s", is.Group)
	}
	return ""
}

// enslave puts the link under its master, where it is not so yet.
func (t *Tunnel) enslave(link netlink.Link, master string) error {
	m, err := t.h.LinkByName(master)
	if isNotFound(err) {
		return fmt.Errorf("%s does not exist: %s is in no mesh", master, link.Attrs().Name)
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", master, err)
	}
	if link.Attrs().MasterIndex == m.Attrs().Index {
		return nil
	}
	if err := t.change(func() error { return t.h.LinkSetMasterByIndex(link, m.Attrs().Index) }); err != nil {
		return fmt.Errorf("put %s under %s: %w", link.Attrs().Name, master, err)
	}
	return nil
}
