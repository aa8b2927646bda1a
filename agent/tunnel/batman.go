package tunnel

import (
	"errors"
	"fmt"
	"time"

	"wguplink/agent/batman"
	"wguplink/agent/netlink"
)

// Mesh is what batman-adv tells of the VXLAN as its hard-interface.
type Mesh struct {
	Name      string // of the mesh interface
	Algorithm string // BATMAN_IV or BATMAN_V
	// Neighbours are the addresses of the hosts heard behind the tunnel of late.
	Neighbours []string
}

// heardWithin is how old a sign of life of a neighbour may be. batman-adv itself keeps one for 200 s; hosts send theirs
// every second, or every five on Gluon.
const heardWithin = 30 * time.Second

// batman brings the settings of the hard-interface to what is desired, and looks who is heard on it. Nothing of it
// keeps the tunnel from working.
func (t *Tunnel) batman(link netlink.Link, v *VXLAN) (warnings []string) {
	master := t.master(link, v)
	if master == nil || master.Type() != "batadv" {
		return nil // a bridge, or gone this moment
	}
	if _, err := t.batmanClient(); err != nil {
		return []string{err.Error()}
	}
	var err error
	mesh, hard := master.Attrs().Index, link.Attrs().Index
	m := &Mesh{Name: master.Attrs().Name}
	if m.Algorithm, err = t.bat.Algorithm(mesh); err != nil {
		return []string{err.Error()}
	}
	if err := t.tune(mesh, hard, m.Algorithm, v); err != nil {
		warnings = append(warnings, fmt.Sprintf("%s in %s: %v", v.Name, m.Name, err))
	}
	all, err := t.bat.Neighbours(mesh, hard)
	if err != nil {
		return append(warnings, err.Error())
	}
	for _, n := range all {
		if n.LastSeen < heardWithin {
			m.Neighbours = append(m.Neighbours, n.Address.String())
		}
	}
	t.mesh = m
	return warnings
}

// master is the link that has the VXLAN as a port: ours to choose, or netifd's, as on Gluon. nil when there is none.
func (t *Tunnel) master(link netlink.Link, v *VXLAN) netlink.Link {
	master, err := netlink.Link(nil), error(nil)
	if v.Master != "" {
		master, err = t.h.LinkByName(v.Master)
	} else if i := link.Attrs().MasterIndex; i != 0 {
		master, err = t.h.LinkByIndex(i)
	}
	if err != nil {
		return nil
	}
	return master
}

// tune sets what differs. Only BATMAN_V is told a throughput: it is the only one to use it.
func (t *Tunnel) tune(mesh, hard int, algorithm string, v *VXLAN) error {
	throughput := v.Throughput != 0 && algorithm == batman.V
	if !throughput && v.HopPenalty == nil {
		return nil
	}
	is, err := t.bat.Hard(mesh, hard)
	if err != nil {
		return err
	}
	var errs []error
	if throughput && batman.Steps(is.Throughput) != batman.Steps(v.Throughput) {
		errs = append(errs, t.change(func() error { return t.bat.SetThroughput(mesh, hard, v.Throughput) }))
	}
	if v.HopPenalty != nil && is.HopPenalty != *v.HopPenalty {
		errs = append(errs, t.change(func() error { return t.bat.SetHopPenalty(mesh, hard, *v.HopPenalty) }))
	}
	return errors.Join(errs...)
}
