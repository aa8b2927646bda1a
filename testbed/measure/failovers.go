package measure

import (
	"time"

	"wguplink/testbed/leak"
	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

var (
	// slowest has 5 s more than one failover: among 30 there may be one whose handshakes are lost until WireGuard's own
	// next try.
	slowest = Metric{Name: "slowest of 30 failovers", Unit: "s", Target: 15}
	// grown has the target of the virtual machines' switches. Over 120 failovers the memory rose by 0.4 to 0.8 MiB
	// within the first 60, and no further.
	grown = Metric{Name: "growth of RssAnon over 30 failovers, KiB", Target: 1024, AtMost: true}
)

// failovers is how many gateways die in a row under one agent.
const failovers = 30

// settled is how long a gateway is in use before it dies: it has answered inside the tunnel then.
const settled = 2 * time.Second

// manyFailovers kills the gateway in use again and again, and looks what that leaves in the agent's memory. The program
// is the plain one, without debug output.
func manyFailovers(t *Measurement) error {
	if err := t.make(topology.Options{}, nil); err != nil {
		return err
	}
	t.Agent.Binary = t.c.Plain
	if err := t.Agent.Configure(topology.UCI(t.BrokerOptions(), t.Sections())); err != nil {
		return err
	}
	used, _, err := t.start()
	if err != nil {
		return err
	}
	var anon []int
	var worst time.Duration
	for range failovers {
		if err := t.pause(settled); err != nil {
			return err
		}
		o, err := t.happens(slowest, scenario.KillGateway, used.Gateway)
		if err != nil {
			return err
		}
		worst = max(worst, o.Took)
		if err := t.Named(used.Gateway).Restart(true); err != nil {
			return err
		}
		used = o.Reply
		s, err := t.Agent.Stats()
		if err != nil {
			return err
		}
		anon = append(anon, int(s.RSSAnon>>10))
	}
	t.seconds(slowest, worst)
	t.number(grown, leak.Growth(anon))
	t.note("RssAnon %d KiB after the first, %d after the last", anon[0], anon[len(anon)-1])
	return nil
}
