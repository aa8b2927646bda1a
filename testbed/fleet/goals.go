package fleet

import (
	"fmt"
	"math"
	"time"
)

// Scenario is one of those that make fleet plays.
type Scenario struct {
	Name string
	Play func(Options) (*Result, error)
	// goals are what 10,000 nodes are held to, beside the handshakes.
	goals func(*Result) []Goal
}

// period is that of rebalancing: as much happens as in a day with 'daily', in less time. Workers flush keys several
// times meanwhile.
const period = 4 * time.Hour

// Scenarios gives all of them.
func Scenarios() []Scenario {
	with := func(edit func(*Options), play func(Options) (*Result, error)) func(Options) (*Result, error) {
		return func(o Options) (*Result, error) {
			edit(&o)
			return play(o)
		}
	}
	outage := func(away time.Duration, keep bool) func(Options) (*Result, error) {
		return func(o Options) (*Result, error) { return Outage(o, away, keep) }
	}
	down := func(keep bool) func(Options) (*Result, error) {
		return func(o Options) (*Result, error) { return BrokerDown(o, keep) }
	}
	byChance := func(o *Options) { o.OwnChoice = true }
	// A probe each two minutes and as few looks at the counters, where little is about a gateway's death.
	idle := func(o *Options) { o.ProbeEvery, o.Look = 2*time.Minute, 2*time.Minute }
	rebalancing := func(o *Options) {
		idle(o)
		o.Rebalance = period
	}
	return []Scenario{
		{Name: "town", Play: Town, goals: func(r *Result) []Goal {
			return []Goal{even(r, 2), below(r, "requests", r.Peak(r.Begin, forEver), 200)}
		}},
		{Name: "town-chance", Play: with(byChance, Town), goals: func(r *Result) []Goal { return []Goal{byLot(r, 5)} }},
		{Name: "outage", Play: outage(10*time.Minute, true), goals: func(r *Result) []Goal {
			return []Goal{
				within(r, 95, time.Minute),
				below(r, "requests after the return", r.Peak(0, forEver), 100),
				below(r, "requests from the fifth minute of the outage on", r.Peak(r.Begin+5*time.Minute, 0), 100),
				below(r, "requests before", r.Peak(r.Begin, r.Begin+5*time.Minute), 180),
			}
		}},
		{Name: "outage-lost", Play: outage(10*time.Minute, false), goals: func(r *Result) []Goal {
			return []Goal{below(r, "requests", r.Peak(r.Begin, forEver), 180)}
		}},
		{Name: "flush", Play: Flush, goals: func(r *Result) []Goal {
			return []Goal{within(r, 50, time.Minute), within(r, 95, 90*time.Second),
				below(r, "requests", r.Peak(0, forEver), 180)}
		}},
		{Name: "broker", Play: with(idle, down(true)), goals: func(r *Result) []Goal {
			return []Goal{below(r, "requests after the broker's return", r.Peak(time.Hour, forEver), 100)}
		}},
		{Name: "broker-lost", Play: with(idle, down(false)), goals: func(r *Result) []Goal {
			return []Goal{below(r, "requests after the broker's return", r.Peak(0, forEver), 180)}
		}},
		{Name: "maintenance", Play: Maintenance, goals: func(r *Result) []Goal {
			return []Goal{{Text: "no node goes back", Met: len(r.Load) > 0 && r.Load[0] == 0, Got: fmt.Sprint(r.Load)}}
		}},
		{Name: "rebalance", Play: with(rebalancing, Maintenance), goals: func(r *Result) []Goal {
			return []Goal{even(r, 5)}
		}},
	}
}

const forEver = 1000 * time.Hour

// Run plays a scenario and holds its result to the goals.
func (s Scenario) Run(o Options) (*Result, error) {
	r, err := s.Play(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	r.Name = s.Name
	r.Goals = append(s.goals(r), below(r, "handshakes waiting at a gateway", r.Deepest, goLoad),
		Goal{Text: "every node has a gateway", Met: r.Without == 0, Got: fmt.Sprintf("%d have none", r.Without)})
	return r, nil
}

func within(r *Result, p int, most time.Duration) Goal {
	return Goal{fmt.Sprintf("p%d within %.0f s", p, most.Seconds()), r.P(p) <= most, seconds(r.P(p))}
}

func below(_ *Result, what string, got, limit int) Goal {
	return Goal{fmt.Sprintf("%s below %d", what, limit), got < limit, fmt.Sprint(got)}
}

func even(r *Result, percent float64) Goal {
	return Goal{fmt.Sprintf("load even within %.0f %%", percent), r.Off <= percent, fmt.Sprintf("%.1f %%", r.Off)}
}

// byLot is even for draws: with fewer nodes than 10,000 their chance is wider, as the root of the number.
func byLot(r *Result, percent float64) Goal {
	nodes := max(1, len(r.Waits)+r.Without)
	return even(r, percent*max(1, math.Sqrt(10_000/float64(nodes))))
}
