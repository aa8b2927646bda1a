package doctor

import (
	"fmt"
	"strings"

	"wguplink/agent/status"
	"wguplink/agent/tunnel"
)

// stageOf is the stage that a cause of the agent's status is about.
var stageOf = map[status.Cause]Stage{
	status.BadKey: Key, status.NoWAN: WAN, status.Clock: Clock, status.Device: Device,
	status.BrokerUnreachable: Broker, status.BrokerRefused: Broker, status.NotRegistered: Broker,
	status.NoHandshake: Handshake, status.NoAnswer: Tunnel, status.NoNeighbour: Tunnel,
}

// word fails the stage that the agent says is not through, also when the doctor's own look finds nothing: the agent has
// to get through.
func (x *exam) word(s Stage, f Finding) Finding {
	if !x.agent {
		return f
	}
	x.reread()
	if x.says.Cause == status.None || stageOf[x.says.Cause] != s {
		return f
	}
	says := "the agent says: " + x.reason()
	switch {
	case f.Outcome == Skipped && x.blocked:
		return f
	case f.Outcome == Failed:
		if f.Detail == "" && s != Device { // which has said so
			f.Detail = says
		}
		return f
	case s == Device:
		return explain(tunnel.Fault(x.says.Fault), says)
	}
	failed := fail(says, x.remedy(x.says.Cause))
	if failed.Detail = f.Detail; f.Outcome == Warned || f.Outcome == Skipped {
		failed.Detail = f.Cause
	}
	return failed
}

// remedy is what helps against a cause of the agent's that is not seen here.
func (x *exam) remedy(c status.Cause) string {
	switch c {
	case status.BadKey:
		return remedyKey
	case status.NoWAN:
		return "is the cable in, and does the WAN get an address? " + x.tables()
	case status.Clock:
		return fmt.Sprintf(
			"wait until option ntp_grace (%s) is over, the agent goes on without; name servers that answer in `list "+
				"ntp_server`", x.cfg.NTPGrace)
	case status.BrokerUnreachable, status.BrokerRefused:
		return "the agent tries again, ever more seldom; restart it to have it try at once. If it goes on, look at " +
			"`list broker` and option domain, and give the operators the key " +
			x.ident.Public.String()
	case status.NotRegistered:
		return "wait; the operators have to accept the node, whose key is " + x.ident.Public.String()
	case status.NoNeighbour:
		return "ask the operators for the gateway's batman-adv; is the routing algorithm the same on both sides?"
	}
	return "run the doctor again; if it goes on, ask the operators whether the gateways know " + x.ident.Public.String()
}

const remedyKey = "put a good key there; or take the bad one out, and the agent makes a new one"

// reread gets the agent's latest word.
func (x *exam) reread() {
	if s, err := x.snapshot(); err == nil {
		x.says = s
	}
}

// reason is what the agent says of itself.
func (x *exam) reason() string {
	if x.says.Reason == "" {
		return "it does not say why"
	}
	return strings.Join(strings.Fields(x.says.Reason), " ")
}
