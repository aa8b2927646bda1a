package uplink

import (
	"fmt"
	"time"

	"wguplink/peerselector"
)

// A gateway has one session for a key. When two nodes use the same key, each handshake of the one ends the session of
// the other, which hears nothing until it shakes hands anew: after 6 s with this agent (peerselector.Timing.Suspicion),
// after 15 s with WireGuard alone (KEEPALIVE_TIMEOUT and REKEY_TIMEOUT in its paper, section 6.1). A healthy session
// lasts 120 s.
const (
	twinWithin     = 2 * time.Minute
	twinHandshakes = 4
	twinSilences   = 2
)

// twin notices that another node may use our key at the gateway in use. The zero twin has seen nothing.
type twin struct {
	gateway    peerselector.Key
	handshakes []time.Time
	silences   []time.Time // when the gateway went silent
	silent     bool
}

// shook notes a handshake with the gateway in use.
func (t *twin) shook(now time.Time) { t.handshakes = append(lately(t.handshakes, now), now) }

// watch notes how the gateway in use is.
func (t *twin) watch(gateway peerselector.Key, silent bool, now time.Time) {
	if gateway != t.gateway {
		*t = twin{gateway: gateway}
	}
	if silent && !t.silent {
		t.silences = append(lately(t.silences, now), now)
	}
	t.silent = silent
}

// warning is what the status says of it; "" when there is nothing to say.
func (t *twin) warning(name string, now time.Time) string {
	if len(lately(t.handshakes, now)) < twinHandshakes || len(lately(t.silences, now)) < twinSilences {
		return ""
	}
	return fmt.Sprintf(
		"%s shakes hands again and again, and is silent soon after: does another node use the key of this one? "+
			"each needs a key of its own", name)
}

// lately gives those of ascending times that are not older than twinWithin.
func lately(times []time.Time, now time.Time) []time.Time {
	for len(times) > 0 && now.Sub(times[0]) > twinWithin {
		times = times[1:]
	}
	return times
}
