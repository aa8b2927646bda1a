package status

import (
	"context"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"wguplink/agent/slog"
)

// Publisher publishes what changes of one uplink: as the status file, as a line of the log, and to Changed. All but
// Last belong to one goroutine.
type Publisher struct {
	RunDir  string
	Log     *slog.Logger
	Changed func(Snapshot) // is called with each new state, cause or gateway; nil: that is not wanted

	last    Snapshot
	changes []Change                 // the latest; is never changed in place: it is published
	gateway string                   // the public key of the last one that a change was with
	started bool                     // the uplink has been connected
	failed  bool                     // the file could not be written, and the log knows
	logged  string                   // state, cause and gateway that the log was last told of
	shown   atomic.Pointer[Snapshot] // the last, for other goroutines
}

// Last is what was published last; ok is false before the first. It may be called from any goroutine.
func (p *Publisher) Last() (s Snapshot, ok bool) {
	if s := p.shown.Load(); s != nil {
		return *s, true
	}
	return s, false
}

// MaxChanges is how many changes are kept.
const MaxChanges = 20

// maxReason is how much of a reason is kept with a change, in bytes.
const maxReason = 200

// Publish publishes s unless it is the same as the last; Since and Changes are filled in. A doubtful one is not told to
// the log, to Changed and to the list of changes: a silence that is over before all other gateways were tried in vain
// is no news, and a slow line has many. because says why another gateway was left.
func (p *Publisher) Publish(s Snapshot, doubtful bool, because string) {
	s.Since = p.last.Since
	if s.State != p.last.State || s.Cause != p.last.Cause {
		s.Since = Now()
	}
	line := string(s.State) + string(s.Cause)
	if s.Gateway != nil {
		line += s.Gateway.PublicKey
	}
	news := line != p.logged && !doubtful
	if news {
		p.record(s, because)
	}
	s.Changes = p.changes
	rtt := sameButRTT(s.Gateways, p.last.Gateways)
	if rtt {
		p.last.Gateways = s.Gateways
	}
	if reflect.DeepEqual(s, p.last) {
		if rtt && len(s.Gateways) > 0 { // not worth writing a file for
			p.shown.Store(&s)
		}
		return
	}
	p.last = s
	p.shown.Store(&s)
	p.write(s)
	if !news {
		return
	}
	p.logged = line
	if p.Changed != nil {
		p.Changed(s)
	}
	switch {
	case s.Cause != None:
		p.Log.Log(context.Background(), p.level(s), string(s.State), "cause", s.Cause, "reason", s.Reason)
	case s.State == Connected:
		p.started = true
		p.Log.Info("connected", "gateway", s.Gateway.Name, "endpoint", s.Gateway.Endpoint, "backend", s.Backend,
			"mtu", s.MTU)
	}
}

// record adds a change.
func (p *Publisher) record(s Snapshot, because string) {
	c := Change{At: Now(), State: s.State, Cause: s.Cause, Reason: s.Reason}
	if s.Gateway != nil {
		c.Gateway = s.Gateway.Name
	}
	if s.Gateway != nil && s.Gateway.PublicKey != p.gateway {
		if p.gateway = s.Gateway.PublicKey; s.Cause == None {
			c.Reason = because
		}
	}
	if len(c.Reason) > maxReason {
		c.Reason = strings.ToValidUTF8(c.Reason[:maxReason], "") + "..."
	}
	from := max(0, len(p.changes)+1-MaxChanges)
	p.changes = append(slices.Clone(p.changes[from:]), c)
}

// sameButRTT says that two lists of gateways differ in their round trips at most.
func sameButRTT(a, b []Candidate) bool {
	return slices.EqualFunc(a, b, func(x, y Candidate) bool {
		x.RTT = y.RTT
		return x == y
	})
}

// level is that of the line about a cause. What belongs to an ordinary start is no warning: the WAN is up some time
// after the agent, and then the time is asked for. Without a key or a device nothing works until that is mended.
func (p *Publisher) level(s Snapshot) slog.Level {
	switch {
	case s.Cause == BadKey || s.Cause == Device:
		return slog.LevelError
	case !p.started && (s.Cause == NoWAN || s.Cause == Clock):
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// write writes the status file. Where that fails, the old file goes: what it says is not true any more.
func (p *Publisher) write(s Snapshot) {
	err := Write(p.RunDir, s)
	if err == nil {
		p.failed = false
		return
	}
	os.Remove(File(p.RunDir, s.Uplink))
	if !p.failed {
		p.failed = true
		p.Log.Warn("the status cannot be written; the tunnel does not need it, wguplink status asks by ubus", "err",
			err)
	}
}
