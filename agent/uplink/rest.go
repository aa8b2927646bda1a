package uplink

import (
	"time"

	"wguplink/peerselector"
)

// rest is a time in which nothing happens but that probes are sent and answered. Nothing follows from that, so a turn
// of the loop has nothing else to do.
type rest struct {
	begun bool
	ended bool      // something has happened
	until time.Time // when a part has something to do
}

// settled says that the loop may rest after a turn that has done all that follows from the state of the parts. What the
// kernel does not tell of has to be read in each turn; and the status of a silent gateway, or of one that batman-adv
// hears nothing by, changes as time passes. Each reading of WireGuard's counters ends a rest.
func (l *loop) settled(now time.Time) rest {
	t := l.kind.Traits()
	calm := l.glance.proven && l.devices.err == nil && !l.alone() && !l.key.waiting() && !t.Exits && !t.Standby
	return rest{begun: calm && l.fine(), until: l.due(now)}
}

// fine says that the gateway in use answers.
func (l *loop) fine() bool { return l.engine.State() == peerselector.Connected && !l.engine.Mute() }

// resting says that nothing follows from what has just happened.
func (l *loop) resting(now time.Time) bool {
	return l.rest.begun && !l.rest.ended && now.Before(l.rest.until) && l.fine() && !l.clock.Jumped()
}
