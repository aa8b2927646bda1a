package uplink

import (
	"bytes"
	"cmp"
	"encoding/json"
	"reflect"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/hooks"
)

// quiet is how long after its start an uplink that does not work is not told to the hooks. What they have done before a reboot
// may still be in force, so that they have to hear of it; but most uplinks work within a second, and to take the network
// down for that long helps nobody.
const quiet = time.Minute

// tell posts an event when something of what the hooks know has changed.
func (u *Uplink) tell() {
	if u.o.Hook == nil {
		return
	}
	e := u.facts()
	last := u.told
	switch {
	case last != nil && sameFacts(*last, e):
		last.Config = e.Config // so that the next look need not read both
		return
	case e.GatewayKey == "" && last == nil && time.Since(u.began) < quiet:
		return
	}
	told := e
	u.told = &told
	switch {
	case e.GatewayKey == "":
		e.Event = hooks.Down
	case last == nil || last.GatewayKey == "":
		e.Event = hooks.Up
	default:
		e.Event = hooks.Change
	}
	u.o.Hook(e)
}

// tellDown is for the end, when the tunnel is no more.
func (u *Uplink) tellDown() {
	if u.o.Hook != nil && u.told != nil && u.told.GatewayKey != "" {
		u.o.Hook(hooks.Event{Event: hooks.Down, Uplink: u.cfg.Name, Protocol: u.cfg.Protocol.String(), PublicKey: u.told.PublicKey})
	}
}

// facts are what hooks are told, but for the event. Without a gateway in use there is no GatewayKey, nor what follows from one.
func (u *Uplink) facts() hooks.Event {
	e := hooks.Event{Uplink: u.cfg.Name, Protocol: u.cfg.Protocol.String()}
	if u.keyErr == nil && !u.cfg.Borrowed {
		e.PublicKey = u.key.Public.String()
	}
	cur, ok := u.engine.Current()
	if !ok || u.cfg.Protocol == config.Parker && u.void() {
		return e
	}
	e.Interface, e.Gateway, e.GatewayKey, e.MTU = u.deviceOf(cur.PublicKey), cur.Name, cur.PublicKey.String(), mtuOf(u.applied, u.deviceOf(cur.PublicKey))
	if n := u.network; n != nil {
		e.ID, e.Address4, e.Address6, e.Range4, e.Range6 = n.ID, n.Address4.String(), n.Address6.String(), n.Range4.String(), n.Range6.String()
		if n.XLATRange6.IsValid() {
			e.XlatRange6 = n.XLATRange6.String()
		}
		e.ClientMTU = cmp.Or(u.clientMTU(u.applied), e.MTU)
		e.Config = json.RawMessage(bytes.TrimSpace(n.Config))
	}
	return e
}

// sameFacts says that nothing differs that hooks could act on: each signed configuration has another nonce and time.
func sameFacts(a, b hooks.Event) bool {
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

// tellDue is when the hooks have to hear that an uplink does not work, if it still does not; ok is false when they know how it is.
func (u *Uplink) tellDue() (at time.Time, ok bool) {
	return u.began.Add(quiet), u.o.Hook != nil && u.told == nil
}
