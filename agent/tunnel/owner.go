package tunnel

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/netlink"
)

// This file decides whose a device is. A device is ours when it carries our mark. It is lent to us when the
// configuration says so (Device.Borrowed): then only our peers and their routes are ours. Every other device is
// another program's, and stays as it is.

// ForeignError says that a device which we need is another program's.
type ForeignError struct {
	Device string
	Is     string // what it is
	Option string // the option that names another device; "" when none does
}

func (e *ForeignError) Error() string {
	out := "delete it"
	if e.Option != "" {
		out += ", or set option " + e.Option + " to another name"
	}
	return fmt.Sprintf("%s exists and is %s: %s", e.Device, e.Is, out)
}

// making is the group (IFLA_GROUP) of a device between its making and its mark. The kernel takes a group in the message
// that makes a device, but no alias (seen with Linux 6.18): so a device that a crash left without a mark is known by
// it. Marking sets the group back to the default, 0, in the same message.
const making = 0x77677570 // "wgup"

func mark(uplink string) string { return "wguplink " + uplink }

// owned says that a device carries the mark of the uplink.
func owned(l netlink.Link, uplink string) bool { return l.Attrs().Alias == mark(uplink) }

// markOf gives the uplink whose mark a device carries; ok is false for a device without a mark of ours.
func markOf(l netlink.Link) (uplink string, ok bool) {
	return strings.CutPrefix(l.Attrs().Alias, mark(""))
}

// unfinished says that we have made a device, and did not come to mark it.
func unfinished(l netlink.Link) bool { return l.Attrs().Alias == "" && l.Attrs().Group == making }

// claimDevice makes sure that a WireGuard device is ours or lent to us. The error is a *ForeignError when it is
// neither.
func (t *Tunnel) claimDevice(link netlink.Link, uplink string, d Device) error {
	switch {
	case d.Borrowed || owned(link, uplink):
		return nil
	case unfinished(link) || d.Claim && link.Attrs().Alias == "" && t.hasKey(link, d.PrivateKey):
		return t.mark(link, uplink)
	}
	return &ForeignError{Device: d.Interface, Is: t.whose(link, d.PrivateKey), Option: "interface"}
}

// claimVXLAN is claimDevice for a VXLAN device.
func (t *Tunnel) claimVXLAN(link netlink.Link, uplink string) error {
	switch {
	case owned(link, uplink):
		return nil
	case unfinished(link):
		return t.mark(link, uplink)
	}
	return &ForeignError{Device: link.Attrs().Name, Is: t.whose(link, nil), Option: "vxlan_interface"}
}

// whose describes a device that is not ours.
func (t *Tunnel) whose(link netlink.Link, key *wgtypes.Key) string {
	if other, ok := markOf(link); ok {
		return "the device of the uplink " + other
	}
	kind := link.Type()
	switch kind {
	case "wireguard", "tun", "tuntap":
		dev, err := t.wg.Device(link.Attrs().Name)
		switch {
		case err != nil && kind != "wireguard":
			return "a tun device, made by another program, without a WireGuard process behind it"
		case err != nil:
			return "a WireGuard device that another program has made"
		case dev.PrivateKey == wgtypes.Key{}:
			return "a WireGuard device without a key that another program has made"
		case key != nil && dev.PrivateKey == *key:
			return "a WireGuard device with this node's key that another program has made"
		}
		return fmt.Sprintf("a WireGuard device with another key (public key %s) that another program has made",
			dev.PrivateKey.PublicKey())
	}
	return fmt.Sprintf("a %s device that another program has made", kind)
}

func (t *Tunnel) hasKey(link netlink.Link, key *wgtypes.Key) bool {
	dev, err := t.wg.Device(link.Attrs().Name)
	return err == nil && key != nil && dev.PrivateKey == *key
}

// mark makes a device ours.
func (t *Tunnel) mark(link netlink.Link, uplink string) error {
	req := netlink.NewLinkRequest(unix.RTM_SETLINK, 0, link.Attrs().Index)
	req.Attr(unix.IFLA_IFALIAS, []byte(mark(uplink)))
	req.Uint32(unix.IFLA_GROUP, 0)
	err := t.change(func() error {
		_, err := t.h.Execute(req, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("mark %s as ours: %w", link.Attrs().Name, err)
	}
	link.Attrs().Alias = mark(uplink)
	return nil
}

// sweep takes away the links with our mark that are not wanted any more: a changed configuration calls them otherwise,
// or an agent before us made them. They go before others are made, because two VXLANs cannot have one id. The one
// exception is the device under our VXLAN, which would go with it: that one is left for sweepRest.
func (t *Tunnel) sweep(d Desired) error {
	want := wanted(d)
	if t.swept != nil && slices.Equal(t.swept, want) {
		return nil
	}
	links, err := t.h.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	below := 0
	for _, l := range links {
		if v, ok := l.(*netlink.Vxlan); ok && owned(l, d.Name) && d.VXLAN != nil && l.Attrs().Name == d.VXLAN.Name {
			below = v.VtepDevIndex
		}
	}
	for _, l := range links {
		name := l.Attrs().Name
		if !owned(l, d.Name) || slices.Contains(want, name) {
			continue
		}
		if l.Attrs().Index == below {
			t.rest = append(t.rest, name)
			t.freePort(name, d)
			continue
		}
		if v, ok := l.(*netlink.Vxlan); ok && d.VXLAN != nil && name != formerName(d.VXLAN.Name) {
			t.mac = v.HardwareAddr // a new name alone makes no new node of us
		}
		if err := t.removeLink(name, d.Name); err != nil {
			return err
		}
	}
	for name := range t.devices {
		if !slices.Contains(want, name) {
			delete(t.devices, name)
		}
	}
	t.swept = want
	return nil
}

// freePort lets a device that goes soon give up a port that its successor is to have.
func (t *Tunnel) freePort(ifname string, d Desired) {
	dev, err := t.wg.Device(ifname)
	if err != nil {
		return
	}
	for _, next := range d.Devices {
		if next.ListenPort != 0 && dev.ListenPort == int(next.ListenPort) {
			any := 0
			t.change(func() error { return t.wg.ConfigureDevice(ifname, wgtypes.Config{ListenPort: &any}) })
		}
	}
}

// sweepRest takes away what sweep has left.
func (t *Tunnel) sweepRest(uplink string) error {
	for len(t.rest) > 0 {
		if err := t.removeLink(t.rest[0], uplink); err != nil {
			return err
		}
		t.rest = t.rest[1:]
	}
	return nil
}

// wanted are the names of all links of d.
func wanted(d Desired) []string {
	want := []string{}
	for _, dev := range d.Devices {
		want = append(want, dev.Interface)
	}
	if d.VXLAN != nil {
		want = append(want, d.VXLAN.Name)
	}
	return want
}

// Remove takes away what carries our mark. From a device that is lent to us it takes our peers and their routes.
func (t *Tunnel) Remove(d Desired) error {
	var errs []error
	if d.Exit != nil {
		_, err := t.exit(Exit{})
		errs = append(errs, err)
	}
	for _, dev := range d.Devices {
		if dev.Borrowed {
			errs = append(errs, t.giveBack(dev))
		}
	}
	t.swept, t.rest, t.former.was = nil, nil, nil
	errs = append(errs, t.sweep(Desired{Name: d.Name}), t.removeDetours(d.Name))
	clear(t.devices)
	t.swept = nil
	return errors.Join(errs...)
}

// giveBack takes our peers and their routes off a device that was lent to us.
func (t *Tunnel) giveBack(d Device) error {
	link, err := t.h.LinkByName(d.Interface)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", d.Interface, err)
	}
	d.Peers, d.Reach = nil, nil
	ours := slices.Clone(d.Leftovers)
	for k := range t.memory(d.Interface).put {
		ours = append(ours, k)
	}
	_, err = t.routes(link, d, nil)
	return errors.Join(err, t.removePeers(d.Interface, ours))
}

// RemoveUnknown takes away the devices and routes with the mark of an uplink that known does not tell, and those that a
// crash left without a mark. It is for the start of an agent, before it makes anything: an uplink that has left the
// configuration while no agent ran leaves nothing behind. It returns the names of those uplinks.
func (t *Tunnel) RemoveUnknown(known func(uplink string) bool) (gone []string, err error) {
	links, err := t.h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var errs []error
	for _, l := range links {
		uplink, marked := markOf(l)
		if marked && known(uplink) || !marked && !unfinished(l) {
			continue
		}
		if marked && !slices.Contains(gone, uplink) {
			gone = append(gone, uplink)
			errs = append(errs, t.removeDetours(uplink))
		}
		if err := t.change(func() error { return t.h.LinkDel(l) }); err != nil && !isNotFound(err) {
			errs = append(errs, fmt.Errorf("delete %s: %w", l.Attrs().Name, err))
		}
	}
	return gone, errors.Join(errs...)
}

// Marked gives the uplinks whose mark a device carries.
func (t *Tunnel) Marked() (uplinks []string, err error) {
	links, err := t.h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if name, ok := markOf(l); ok && !slices.Contains(uplinks, name) {
			uplinks = append(uplinks, name)
		}
	}
	return uplinks, nil
}

// removeLink deletes a device that carries our mark. One that is gone, or is not ours, is left as it is.
func (t *Tunnel) removeLink(ifname, uplink string) error {
	link, err := t.h.LinkByName(ifname)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", ifname, err)
	}
	if !owned(link, uplink) {
		return nil
	}
	if err := t.change(func() error { return t.h.LinkDel(link) }); err != nil && !isNotFound(err) {
		return fmt.Errorf("delete %s: %w", ifname, err)
	}
	return nil
}

func isNotFound(err error) bool {
	var nf netlink.LinkNotFoundError
	return errors.As(err, &nf) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV)
}
