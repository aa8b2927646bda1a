package measure

import (
	"fmt"
	"time"

	"wguplink/testbed/topology"
)

var (
	jumpForward         = Metric{Name: "longest silence, +1 h", Unit: "s", Target: 10}
	jumpForwardSwitches = Metric{Name: "switches, +1 h", AtMost: true}
	jumpBack            = Metric{Name: "longest silence, -1 h", Unit: "s", Target: 10}
	jumpBackSwitches    = Metric{Name: "switches, -1 h", AtMost: true}
	jump1970            = Metric{Name: "longest silence, 1970", Unit: "s", Target: 10}
	jump1970Switches    = Metric{Name: "switches, 1970", AtMost: true}
)

// jumpTime is how long a node is watched after a jump. WireGuard renews its keys after 120 s (REKEY_AFTER_TIME in the
// paper, section 6.1), with the wall clock in the handshake, and would be silent from 180 s after the last on.
const jumpTime = 190 * time.Second

func clockForward(t *Measurement) error {
	return t.jump(jumpForward, jumpForwardSwitches, func() time.Time { return time.Now().Add(time.Hour) })
}

func clockBack(t *Measurement) error {
	return t.jump(jumpBack, jumpBackSwitches, func() time.Time { return time.Now().Add(-time.Hour) })
}

func clock1970(t *Measurement) error {
	return t.jump(jump1970, jump1970Switches, func() time.Time { return time.Unix(100, 0) })
}

// jump sets the node's clock, which its kernel then no longer calls synchronised.
func (t *Measurement) jump(silence, switches Metric, to func() time.Time) error {
	first, err := t.connect(topology.Options{}, nil)
	if err != nil {
		return err
	}
	before, err := t.switches()
	if err != nil {
		return err
	}
	renewed, err := t.lastHandshake(first.Gateway)
	if err != nil {
		return err
	}
	t.Clock().Set(to())
	t.Clock().SetSynchronised(false)
	longest, err := t.silence(jumpTime)
	if err != nil {
		return err
	}
	t.seconds(silence, longest)
	if err := t.counted(switches, before, first.Gateway); err != nil {
		return err
	}
	// With no switch it is the same gateway, and its keys have been renewed.
	at, err := t.lastHandshake(first.Gateway)
	if err == nil && t.values[switches.Name] == 0 && !at.After(renewed.Add(time.Minute)) {
		err = fmt.Errorf("no handshake with %s but that of %v", first.Gateway, at)
	}
	return err
}

// lastHandshake is the node's last with a gateway, by the gateway's clock.
func (t *Measurement) lastHandshake(gateway string) (last time.Time, err error) {
	stats, err := t.Named(gateway).Stats()
	for _, s := range stats {
		if s.LastHandshake.After(last) {
			last = s.LastHandshake
		}
	}
	return last, err
}
