package measure

import (
	"fmt"
	"time"

	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

var (
	vxlanDeleted     = Metric{Name: "VXLAN device deleted to Ethernet reply", Unit: "s", Target: 10}
	wireguardDeleted = Metric{Name: "WireGuard device deleted to Ethernet reply", Unit: "s", Target: 10}
	framesLost       = Metric{Name: "frames lost at 100/s", Target: 5, AtMost: true}
)

func linkDeleted(t *Measurement) error {
	first, err := t.connect(topology.Options{}, nil)
	if err != nil {
		return err
	}
	for _, d := range []struct {
		step scenario.Step
		m    Metric
	}{{scenario.DeleteVXLAN, vxlanDeleted}, {scenario.DeleteWireGuard, wireguardDeleted}} {
		if _, err := t.happens(d.m, d.step, first.Gateway); err != nil {
			return err
		}
		if err := t.pause(rest); err != nil {
			return err
		}
	}
	return nil
}

// plannedSwitch asks the agent for another gateway while 100 frames a second pass.
func plannedSwitch(t *Measurement) error {
	first, err := t.connect(topology.Options{}, nil)
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
	if _, err := t.happens(framesLost, scenario.PlannedSwitch, first.Gateway); err != nil {
		return err
	}
	if err := t.pause(time.Second); err != nil {
		return err
	}
	until := time.Now()
	if _, err := t.frames.Await(t.ctx, until, nil); err != nil {
		return err
	}
	if now := t.NodeLink("mesh-vpn"); before == nil || now == nil || before.Attrs().Index != now.Attrs().Index {
		return fmt.Errorf("the VXLAN device was made anew: %v, %v", before, now)
	}
	sent, answered := t.frames.Count(since, until)
	t.number(framesLost, max(0, sent-answered))
	return nil
}
