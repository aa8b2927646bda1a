package uplink

import (
	"time"

	"wguplink/agent/slog"
	"wguplink/peerselector"
)

// Reasons for leaving a gateway, as the log names them. After "silent" stands the time of silence.
const (
	reasonSilent    = "silent"
	reasonMute      = "mute"          // it shook hands, but nothing came back inside the tunnel
	reasonOperator  = "operator"      // wguplink reconnect
	reasonRebalance = "rebalance"     // option rebalance
	reasonRemoved   = "removed"       // it is no gateway of the network any more
	reasonConfig    = "configuration" // the network, or our own key, is another
)

// inUse is the gateway in use before an event, with what may be a reason to leave it.
type inUse struct {
	name    string // "" when none is in use
	key     peerselector.Key
	silence time.Duration
	mute    bool
	wished  bool // a switch is under way that nothing is wrong to cause
}

func lookAt(e *peerselector.Engine, now time.Time) (g inUse) {
	if cur, ok := e.Current(); ok {
		g = inUse{cur.Name, cur.PublicKey, e.Silence(now), e.Mute(), e.State() == peerselector.Switching}
	}
	return g
}

// why says for what reason the gateway in use is left at that event.
func (g inUse) why(ev peerselector.Event, operator bool) string {
	switch ev.(type) {
	case peerselector.Static, peerselector.BrokerAnswered:
		return reasonRemoved
	}
	switch {
	case g.wished && operator:
		return reasonOperator
	case g.wished:
		return reasonRebalance
	case g.mute:
		return reasonMute
	}
	return reasonSilent + " " + g.silence.Round(time.Second).String()
}

// journal logs each change of the gateway in use, with its reason.
type journal struct {
	log    *slog.Logger
	left   string // the gateway left last, while none is in use
	reason string
	said   string // of the latest change of the gateway in use, for the status; "" when none was left for it
}

// leave notes that a gateway is left though there is no other yet.
func (j *journal) leave(gateway, reason string) { j.left, j.reason = gateway, reason }

// enter logs that a gateway is in use from now on. from is the one before, "" when none was in use.
func (j *journal) enter(to, from, reason string) {
	if from == "" {
		from, reason = j.left, j.reason
	}
	j.left, j.reason, j.said = "", "", ""
	if from != "" && from != to {
		j.said = "instead of " + from + ": " + reason
		j.log.Info("gateway switched", "from", from, "to", to, "reason", reason)
	}
}
