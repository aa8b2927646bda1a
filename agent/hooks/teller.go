package hooks

import (
	"bytes"
	"reflect"
	"time"

	"wguplink/agent/json"
)

// quiet is how long after its start an uplink that does not work is not told to the hooks. What they have done before a
// reboot may still be in force, so that they have to hear of it; but most uplinks work within a second, and to take the
// network down for that long is of no use.
const quiet = time.Minute

// Teller decides what the hooks of one uplink hear: each change of what an Event tells, once. It is not safe for
// concurrent use.
type Teller struct {
	began time.Time
	told  *Event // the last one; nil before the first
}

// NewTeller makes a Teller for an uplink that starts at began.
func NewTeller(began time.Time) *Teller { return &Teller{began: began} }

// Tell gives what the hooks are to hear, with its kind filled in, now that the facts are these. ok is false when that
// is nothing. Facts without a GatewayKey are those of an uplink that does not work.
func (t *Teller) Tell(facts Event, now time.Time) (e Event, ok bool) {
	last := t.told
	switch {
	case last != nil && same(*last, facts):
		last.Config = facts.Config // so that the next look need not read both
		return e, false
	case facts.GatewayKey == "" && last == nil && now.Sub(t.began) < quiet:
		return e, false
	}
	e = facts
	told := facts
	t.told = &told
	switch {
	case e.GatewayKey == "":
		e.Event = Down
	case last == nil || last.GatewayKey == "":
		e.Event = Up
	default:
		e.Event = Change
	}
	return e, true
}

// Down is for the end, when the tunnel is no more. ok is false when the hooks know of no tunnel.
func (t *Teller) Down() (e Event, ok bool) {
	if t.told == nil || t.told.GatewayKey == "" {
		return e, false
	}
	return Event{Event: Down, Uplink: t.told.Uplink, Protocol: t.told.Protocol, PublicKey: t.told.PublicKey}, true
}

// Next is when the hooks have to hear that an uplink does not work, if it still does not; ok is false when they know
// how it is.
func (t *Teller) Next() (at time.Time, ok bool) { return t.began.Add(quiet), t.told == nil }

// same says that nothing differs that hooks could act on: each signed configuration has another nonce and time.
func same(a, b Event) bool {
	x, y := a.Config, b.Config
	a.Config, b.Config = nil, nil
	return reflect.DeepEqual(a, b) && (bytes.Equal(x, y) || reflect.DeepEqual(timeless(x), timeless(y)))
}

func timeless(config json.RawMessage) (fields map[string]any) {
	json.Unmarshal(config, &fields)
	delete(fields, "nonce")
	delete(fields, "time")
	return fields
}
