package tunnel

import (
	"errors"
	"fmt"
	"time"

	"wguplink/agent/batman"
	"wguplink/agent/netlink"
)

// A VXLAN that is made anew with another id or port is another link to the gateways' batman-adv, and they go on sending
// by the former one until five of the node's messages have come by the new one and none by the former
// (BATADV_TQ_GLOBAL_WINDOW_SIZE, BATADV_OGM_MAX_ORIGDIFF). What they send is lost meanwhile, and with it the answer to
// the node's question for their clients. So a device beside goes on listening with the former id and port: it is a
// hard-interface, has no entry to send by, and a hop penalty by which batman-adv takes no route over it. It has the MAC
// address of the new one, to which gateways send: with another one batman-adv hears its own messages, but the kernel
// takes the clients' frames for another host's, and drops them (eth_type_trans).

// formerTime is how long the device beside listens: seven messages at an interval of five seconds, which is Gluon's,
// and some more.
const formerTime = 45 * time.Second

// noRoute is the hop penalty with which batman-adv makes no use of a hard-interface.
const noRoute = 255

// former is what the VXLAN was until it was made anew.
type former struct {
	was   *netlink.Vxlan // nil: there is nothing to listen for
	until time.Time
	kind  string                     // of a mesh interface
	mute  func(mesh, hard int) error // has batman-adv take no route by a hard-interface
}

// formerName is that of the device beside; it is free as a rule, because it is not what users call a device.
func formerName(vxlan string) string {
	const end, most = "-was", 15
	return vxlan[:min(len(vxlan), most-len(end))] + end
}

// listen makes the device that listens beside the new one, or takes it away when its time is over. It comes after the
// new one is a hard-interface: the first one of all gives the node its name in the mesh. Without it the mesh is gone a
// little longer; so what goes wrong here is no warning.
func (t *Tunnel) listen(link, lower netlink.Link, d Desired, r *Report) error {
	if t.former.was == nil {
		return nil
	}
	left := t.former.until.Sub(t.now())
	if left <= 0 {
		t.former.was = nil
		return t.removeLink(formerName(d.VXLAN.Name), d.Name)
	}
	master := t.master(link, d.VXLAN)
	if master == nil {
		return nil // netifd makes the new one a hard-interface in a moment
	}
	if master.Type() == t.former.kind {
		_, err := t.h.LinkByName(formerName(d.VXLAN.Name))
		if err == nil || isNotFound(err) && t.beside(master, lower, d) == nil {
			if r.Again == 0 || left < r.Again {
				r.Again = left
			}
			return nil
		}
	}
	t.former.was = nil
	return t.removeLink(formerName(d.VXLAN.Name), d.Name)
}

// beside makes the device. After an error what there is of it has to be removed.
func (t *Tunnel) beside(master, lower netlink.Link, d Desired) error {
	was := t.former.was
	v := &netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{
			Name: formerName(d.VXLAN.Name), MTU: was.MTU, Group: making, HardwareAddr: t.mac,
		},
		VxlanId: was.VxlanId, Port: was.Port, VtepDevIndex: lower.Attrs().Index,
		SrcAddr:        d.Devices[0].Addresses[0].Prefix.Addr().AsSlice(),
		UDP6ZeroCSumTx: was.UDP6ZeroCSumTx, UDP6ZeroCSumRx: was.UDP6ZeroCSumRx, UDPCSum: was.UDPCSum,
	}
	if err := t.change(func() error { return t.h.LinkAdd(v) }); err != nil {
		return fmt.Errorf("create VXLAN %s: %w", v.Name, err)
	}
	link, err := t.h.LinkByName(v.Name)
	if err != nil {
		return fmt.Errorf("look up %s: %w", v.Name, err)
	}
	if err := errors.Join(t.mark(link, d.Name), t.up(link, 0)); err != nil {
		return err
	}
	if err := t.enslave(link, master.Attrs().Name); err != nil {
		return err
	}
	return t.change(func() error { return t.former.mute(master.Attrs().Index, link.Attrs().Index) })
}

// mute sets the hop penalty, and reads it back: kernels before 5.9 do not have it, and take no notice.
func (t *Tunnel) mute(mesh, hard int) error {
	c, err := t.batmanClient()
	if err != nil {
		return err
	}
	if err := c.SetHopPenalty(mesh, hard, noRoute); err != nil {
		return err
	}
	is, err := c.Hard(mesh, hard)
	if err == nil && is.HopPenalty != noRoute {
		err = errors.New("batman-adv has no hop penalty of a hard-interface")
	}
	return err
}

// batmanClient is the client of batman-adv, opened when it is needed first.
func (t *Tunnel) batmanClient() (*batman.Client, error) {
	if t.bat == nil {
		c, err := batman.Open()
		if err != nil {
			return nil, err
		}
		t.bat = c
	}
	return t.bat, nil
}
