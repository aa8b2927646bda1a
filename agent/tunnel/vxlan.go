package tunnel

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
)

// remakeGap is how long to wait between making a VXLAN device anew twice: batman-adv accepts one jump of a neighbour's
// sequence numbers in 30 s (BATADV_RESET_PROTECTION_MS), and a device has random ones. One that others delete is made
// anew at once, and counts.
const remakeGap = 30 * time.Second

// vxlan makes the VXLAN device over the WireGuard device, with one static all-zero forwarding entry to the gateway.
// What the kernel can change on a device is changed; for all else it is made anew, with its MAC address: to batman-adv
// that is the name of the node.
func (t *Tunnel) vxlan(lower netlink.Link, d Desired, r *Report) error {
	v := d.VXLAN
	want := &netlink.Vxlan{
		LinkAttrs:    netlink.LinkAttrs{Name: v.Name, MTU: v.MTU, Group: making},
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
	switch {
	case isNotFound(err):
		link, t.former.was = nil, nil
	case err != nil:
		return fmt.Errorf("look up %s: %w", v.Name, err)
	default:
		if err := t.claimVXLAN(link, d.Name); err != nil {
			return err
		}
		t.mac = link.Attrs().HardwareAddr
		if link, err = t.fit(link, want, d.Name, r); err != nil {
			return err
		}
	}
	if link == nil {
		// The device beside must not become the first hard-interface, nor have what the new one is to have.
		if err := t.removeLink(formerName(v.Name), d.Name); err != nil {
			return err
		}
		if link, err = t.createVXLAN(want, d); err != nil {
			return err
		}
	}
	if err := t.up(link, v.MTU); err != nil {
		return portOf(v.Name, v.Port, err)
	}
	if err := t.forward(link, lower, v.Remote); err != nil {
		return err
	}
	if v.Master != "" {
		if err := t.enslave(link, v.Master); err != nil {
			r.Warnings = append(r.Warnings, err.Error())
			return nil
		}
	}
	if err := t.listen(link, lower, d, r); err != nil {
		return err
	}
	r.Warnings = append(r.Warnings, t.batman(link, v)...)
	return nil
}

// fit changes a VXLAN device of ours where the kernel can. A device that has to be made anew is removed, and link is
// nil then; soon after the last time it stays as it is for a while.
func (t *Tunnel) fit(have netlink.Link, want *netlink.Vxlan, uplink string, r *Report) (link netlink.Link, err error) {
	why := fixed(have, want)
	if why == "" {
		return have, t.adapt(have.(*netlink.Vxlan), want)
	}
	is, ok := have.(*netlink.Vxlan)
	if wait := t.remade.Add(remakeGap).Sub(t.now()); ok && !t.remade.IsZero() && wait > 0 {
		r.Again = wait
		r.Warnings = append(r.Warnings,
			fmt.Sprintf(
				"%s has %s; it is made anew %v after the last time, not before, because batman-adv loses a device "+
					"that comes anew more often",
				want.Name, why, remakeGap))
		return have, t.adapt(is, want)
	}
	t.former.was = nil
	if ok && (is.VxlanId != want.VxlanId || is.Port != want.Port) {
		t.former.was, t.former.until = is, t.now().Add(formerTime)
	}
	return nil, t.removeLink(want.Name, uplink)
}

func (t *Tunnel) createVXLAN(want *netlink.Vxlan, d Desired) (netlink.Link, error) {
	var err error
	anew := len(t.mac) == 6
	if want.HardwareAddr = t.mac; !anew {
		if want.HardwareAddr, err = t.stableMAC(want.Name, d.Devices[0].key().PublicKey()); err != nil {
			return nil, err
		}
	}
	err = t.change(func() error { return t.h.LinkAdd(want) })
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil, fmt.Errorf("create VXLAN %s: %w: %w", want.Name, ErrNoVXLAN, err)
	case errors.Is(err, unix.EEXIST):
		return nil, fmt.Errorf("create VXLAN %s: another device has the id %d and port %d already: %w", want.Name,
			want.VxlanId, want.Port, err)
	case err != nil:
		return nil, fmt.Errorf("create VXLAN %s: %w", want.Name, err)
	}
	t.mac = want.HardwareAddr
	if anew {
		t.remade = t.now()
	}
	link, err := t.h.LinkByName(want.Name)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", want.Name, err)
	}
	return link, t.mark(link, d.Name)
}

// stableMAC gives the MAC address of a new device: always the same for a key and a name, so that a node is the same to
// the mesh after a reboot. It is locally administered, and none that another link has: bat0 and its ports must differ.
func (t *Tunnel) stableMAC(name string, key wgtypes.Key) (net.HardwareAddr, error) {
	links, err := t.h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for turn := byte(0); ; turn++ {
		sum := sha256.Sum256(append(append([]byte("wguplink MAC "+name+" "), key[:]...), turn))
		mac := net.HardwareAddr(sum[:6])
		mac[0] = mac[0]&^1 | 2 // not a group, locally administered (IEEE 802)
		if !slices.ContainsFunc(links, func(l netlink.Link) bool { return bytes.Equal(l.Attrs().HardwareAddr, mac) }) {
			return mac, nil
		}
	}
}

// fixed names the first property that the kernel cannot change on a live device; "" when there is none.
func fixed(link netlink.Link, want *netlink.Vxlan) string {
	is, ok := link.(*netlink.Vxlan)
	switch {
	case !ok:
		return "type " + link.Type() + ", not vxlan"
	case is.VxlanId != want.VxlanId:
		return fmt.Sprintf("id %d, not %d", is.VxlanId, want.VxlanId)
	case is.Port != want.Port:
		return fmt.Sprintf("port %d, not %d", is.Port, want.Port)
	case is.UDP6ZeroCSumTx != want.UDP6ZeroCSumTx || is.UDP6ZeroCSumRx != want.UDP6ZeroCSumRx:
		return "other checksum settings"
	case len(is.Group) != 0 && !is.Group.IsUnspecified():
		return fmt.Sprintf("the fixed remote %s", is.Group)
	}
	return ""
}

// adapt changes what the kernel can change on a live device: lower device, own address, learning. The message has
// nothing else in it: the kernel refuses a change that names a property which cannot change, even with the value that
// it has.
func (t *Tunnel) adapt(is, want *netlink.Vxlan) error {
	if is.VtepDevIndex == want.VtepDevIndex && is.SrcAddr.Equal(want.SrcAddr) && is.Learning == want.Learning {
		return nil
	}
	req := netlink.NewLinkRequest(unix.RTM_NEWLINK, 0, is.Index)
	req.Nested(unix.IFLA_LINKINFO, func() {
		req.Attr(unix.IFLA_INFO_KIND, []byte("vxlan"))
		req.Nested(unix.IFLA_INFO_DATA, func() {
			req.Uint32(netlink.IFLA_VXLAN_ID, uint32(is.VxlanId))
			req.Uint32(netlink.IFLA_VXLAN_LINK, uint32(want.VtepDevIndex))
			req.Attr(netlink.IFLA_VXLAN_LOCAL6, want.SrcAddr.To16())
			if is.Learning != want.Learning {
				req.Flag(netlink.IFLA_VXLAN_LEARNING, false)
			}
		})
	})
	err := t.change(func() error {
		_, err := t.h.Execute(req, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("move %s to %s, device number %d: %w", is.Name, want.SrcAddr, want.VtepDevIndex, err)
	}
	if is.SrcAddr.Equal(want.SrcAddr) {
		return nil
	}
	return t.renewEntries(is)
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
