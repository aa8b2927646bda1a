package trial

import (
	"fmt"
	"time"

	"wguplink/testbed/world"
)

var (
	vxlanDeleted     = Metric{Name: "VXLAN device deleted to Ethernet reply", Unit: "s", Target: 10}
	wireguardDeleted = Metric{Name: "WireGuard device deleted to Ethernet reply", Unit: "s", Target: 10}
	framesLost       = Metric{Name: "frames lost at 100/s", Target: 5, AtMost: true}
)

func linkDeleted(t *Trial) error {
	if _, err := t.connect(world.Options{}, nil); err != nil {
		return err
	}
	for _, d := range []struct {
		dev string
		m   Metric
	}{{"mesh-vpn", vxlanDeleted}, {"wg_mesh", wireguardDeleted}} {
		took, err := t.after(func() error {
			l, err := t.Node.Netlink().LinkByName(d.dev)
			if err != nil {
				return fmt.Errorf("delete %s: %w", d.dev, err)
			}
			return t.Node.Netlink().LinkDel(l)
		}, nil)
		if err != nil {
			return err
		}
		t.seconds(d.m, took)
		if err := t.pause(rest); err != nil {
			return err
		}
	}
	return nil
}

// plannedSwitch asks the agent for another gateway while 100 frames a second pass.
func plannedSwitch(t *Trial) error {
	first, err := t.connect(world.Options{}, nil)
	if err != nil {
		return err
	}
	t.frames.Close()
	t.frames = t.Layer2("mesh-vpn", 10*time.Millisecond)
	if _, err := t.frames.Await(t.ctx, time.Now(), nil); err != nil {
		return err
	}
	before := t.NodeLink("mesh-vpn")
	since := time.Now()
	out, code, err := t.Agent.Run(t.ctx, "reconnect")
	if err != nil || code != 0 {
		return fmt.Errorf("wguplink reconnect: exit code %d, %v: %s", code, err, out)
	}
	if err := t.pause(time.Second); err != nil {
		return err
	}
	until := time.Now()
	r, err := t.frames.Await(t.ctx, until, nil)
	if err != nil {
		return err
	}
	now := t.NodeLink("mesh-vpn")
	switch {
	case r.Gateway == first.Gateway:
		return fmt.Errorf("still with %s: %s", first.Gateway, out)
	case before == nil || now == nil || before.Attrs().Index != now.Attrs().Index:
		return fmt.Errorf("the VXLAN device was made anew: %v, %v", before, now)
	}
	sent, answered := t.frames.Count(since, until)
	t.number(framesLost, max(0, sent-answered))
	return nil
}
