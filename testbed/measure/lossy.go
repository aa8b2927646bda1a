package measure

import (
	"errors"
	"fmt"
	"math"
	"time"

	"wguplink/testbed/line"
	"wguplink/testbed/topology"
)

var (
	lossySwitches  = Metric{Name: "switches in 10 minutes", AtMost: true}
	uploadSwitches = Metric{Name: "switches in 10 minutes, upload only", AtMost: true}
)

const (
	lossyTime  = 10 * time.Minute // how long the line is bad
	lossyOften = 200 * time.Millisecond
)

// The line of freifunk-gluon/community-packages#131, with loss. A round trip takes 5 s, the queues included: with more,
// no WireGuard handshake could be completed (REKEY_TIMEOUT in the WireGuard paper, section 6.1).
const (
	lossyDelay = 2450 * time.Millisecond
	lossyQueue = 50 * time.Millisecond
	lossyShare = 0.3
	lossyUp    = 1_000_000 // bit/s
	lossyDown  = 4_000_000
)

// floodSize is the size of the saturating flow's frames. With VXLAN, WireGuard, UDP, IPv4 and Ethernet each has 1130
// bytes on the line; floodShare of the line's rate then is some 4 % more than it takes.
const (
	floodSize  = 1000
	floodShare = 0.92
)

// busyLossyLine has the flow in both directions, and a few frames that are answered.
func busyLossyLine(t *Measurement) error { return t.lossy(lossySwitches, true) }

// busyLossyUpload has it in one direction only: next to all that the node hears are the answers to its own probes.
func busyLossyUpload(t *Measurement) error { return t.lossy(uploadSwitches, false) }

// lossy connects on a good line, which is a bad one then.
func (t *Measurement) lossy(m Metric, both bool) error {
	first, before, err := t.onLine()
	if err != nil {
		return err
	}
	shape := line.Shape{Delay: lossyDelay, Loss: lossyShare, Queue: lossyQueue}
	up, down := shape, shape
	up.Rate, down.Rate = lossyUp, lossyDown
	flow := int64(0) // down
	// The frames are to be no flow of their own.
	t.frames.Close()
	if both {
		flow = lossyDown * floodShare
		t.frames = t.Layer2("mesh-vpn", lossyOften)
	}
	upBefore, downBefore := t.Line.Stats()
	t.Line.Set(up, down)
	flood, err := t.Flood(t.ctx, "mesh-vpn", lossyUp*floodShare, flow, floodSize)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := t.pause(lossyTime); err != nil {
		return err
	}
	upNow, downNow := t.Line.Stats()
	gotUp, gotDown := flood.Stats()
	if err := flood.Close(); err != nil {
		return err
	}
	errUp := t.judge("up", upBefore, upNow, gotUp, true)
	errDown := t.judge("down", downBefore, downNow, gotDown, both)
	if err := errors.Join(errUp, errDown); err != nil {
		return err
	}
	if both {
		sent, answered := t.frames.Count(began, time.Now().Add(-2*lossyDelay))
		t.note("of %d other frames %d were answered", sent, answered)
	} else {
		t.frames = t.Layer2("mesh-vpn", lossyOften)
	}
	return t.counted(m, before, first.Gateway)
}

// onLine connects on a good access line, and says how many switches there were so far. The other gateways have
// addresses in the configuration: where names are hard to resolve, no node is tempted to switch.
func (t *Measurement) onLine() (first topology.Reply, before int, err error) {
	if err = t.make(topology.Options{Line: true}, nil); err != nil {
		return first, 0, err
	}
	if err = t.Agent.Configure(topology.UCI(t.BrokerOptions(), t.LiteralSections(), debug)); err != nil {
		return first, 0, err
	}
	if first, _, err = t.start(); err != nil {
		return first, 0, err
	}
	if err = t.pause(rest); err != nil {
		return first, 0, err
	}
	before, err = t.switches()
	return first, before, err
}

// judge says whether a direction of the line was as bad as it was meant to be.
func (t *Measurement) judge(what string, before, now line.Count, flow topology.FloodCount, busy bool) error {
	passed, lost := now.Passed.Packets-before.Passed.Packets, now.Lost.Packets-before.Lost.Packets
	dropped := now.Dropped.Packets - before.Dropped.Packets
	share := float64(lost) / float64(passed+lost)
	t.note("%s: %d packets passed, %d lost (%.1f %%), %d dropped by the queue; %d frames of the flow sent, %d received",
		what, passed, lost, 100*share, dropped, flow.Sent, flow.Received)
	// Of few packets the share is less certain.
	const few = 10_000
	switch {
	case busy && dropped == 0:
		return fmt.Errorf("%s: nothing was dropped by the queue: the flow did not saturate the line", what)
	case busy && flow.Received == 0:
		return fmt.Errorf("%s: nothing of the flow came through", what)
	case passed+lost > few && math.Abs(share-lossyShare) > 0.05, lost == 0:
		return fmt.Errorf("%s: the line lost %.0f %% of the packets, not %.0f %%", what, 100*share, 100*lossyShare)
	}
	return nil
}
