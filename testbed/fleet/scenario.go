package fleet

import (
	"slices"
	"strconv"
	"time"
)

// Boot times of a town whose power comes back: routers and their lines are not equally fast.
const townBoots = time.Minute

// Result is what a scenario has shown.
type Result struct {
	Name  string // of its files
	Title string
	// Waits are how long nodes were without a gateway after the event that is measured, sorted; Without is how many
	// still are.
	Waits   []time.Duration
	Without int
	// Requests and Initiations (by gateway) are counts for each second from Begin, which is a time on the axis; 0 is
	// the event. InVain are those initiations that were sent to a gateway while it was away.
	Begin       time.Duration
	Requests    []int
	Initiations [][]int
	InVain      [][]int
	// Deepest is the most initiations that waited at any gateway.
	Deepest int
	Load    []int   // nodes by gateway at the end
	Off     float64 // of the gateway furthest from its share, per cent of the share
	Moves   int     // changes of gateway beside each node's first
	Steps   int
	Goals   []Goal
}

// Goal is one that a result is held to.
type Goal struct {
	Text string
	Met  bool
	Got  string
}

// P is a percentile of the waits.
func (r *Result) P(p int) time.Duration { return percentile(r.Waits, p) }

// Peak is the most requests to the broker in a second, from a moment on.
func (r *Result) Peak(from, to time.Duration) int {
	first := max(0, int((from-r.Begin)/time.Second))
	last := min(len(r.Requests), int((to-r.Begin)/time.Second))
	if first >= last {
		return 0
	}
	return most(r.Requests[first:last])
}

// peaks gives the most in a second at each gateway.
func peaks(by [][]int) []int {
	var all []int
	for _, s := range by {
		all = append(all, most(s))
	}
	return all
}

// settled lets a town boot and settle.
func settled(o Options) (*Fleet, error) {
	f, err := New(o)
	if err != nil {
		return nil, err
	}
	f.boot(townBoots)
	f.c.run(epoch.Add(5 * time.Minute))
	return f, nil
}

// result looks at the fleet now. event is the moment that waits count from, begin where the axis begins.
func (f *Fleet) result(name, title string, event, begin time.Time) *Result {
	r := &Result{Name: name, Title: title, Begin: begin.Sub(event),
		Requests: f.requests.from(begin, f.c.now), Steps: f.Steps}
	for _, g := range f.gateways {
		r.Initiations = append(r.Initiations, g.arrived.from(begin, f.c.now))
		r.InVain = append(r.InVain, g.vain.from(begin, f.c.now))
		r.Deepest = max(r.Deepest, g.deepest)
	}
	for _, n := range f.nodes {
		r.Moves += n.moves - 1
		if n.back.IsZero() {
			r.Without++
			continue
		}
		r.Waits = append(r.Waits, n.back.Sub(n.since))
	}
	slices.Sort(r.Waits)
	r.Load, r.Off = f.Load()
	return r
}

// await has all nodes wait from now on, and forgets how busy gateways were before.
func (f *Fleet) await() time.Time {
	for _, n := range f.nodes {
		n.await()
	}
	return f.c.now
}

func (f *Fleet) calm() {
	for _, g := range f.gateways {
		g.deepest = 0
	}
}

// Town is a town whose power comes back: all nodes start within a minute.
func Town(o Options) (*Result, error) {
	f, err := settled(o)
	if err != nil {
		return nil, err
	}
	r := f.result("town", "Power comes back: all nodes start within a minute", epoch, epoch)
	return r, f.Close()
}

// Outage takes all gateways away for a time and brings them back, as after a reboot, with the keys or without.
func Outage(o Options, away time.Duration, keepKeys bool) (*Result, error) {
	f, err := settled(o)
	if err != nil {
		return nil, err
	}
	f.calm()
	gone := f.c.now
	for i := range f.gateways {
		f.kill(i)
	}
	f.c.run(gone.Add(away))
	for i := range f.gateways {
		if err := f.bring(i, keepKeys); err != nil {
			return nil, err
		}
	}
	back := f.await()
	f.c.run(back.Add(10 * time.Minute))
	name, title := "outage", "All gateways are away for "+minutes(away)+" and come back with the keys"
	if !keepKeys {
		name, title = "outage-lost", "All gateways are away for "+minutes(away)+" and come back without keys"
	}
	return f.result(name, title, back, gone), f.Close()
}

// Flush has all gateways lose all keys and sessions while they are at work.
func Flush(o Options) (*Result, error) {
	f, err := settled(o)
	if err != nil {
		return nil, err
	}
	f.calm()
	for _, g := range f.gateways {
		g.forget(false)
	}
	at := f.await()
	f.c.run(at.Add(10 * time.Minute))
	return f.result("flush", "All gateways lose all keys", at, at), f.Close()
}

// BrokerDown has the broker away for an hour. Five minutes later the town loses its power for a moment; the gateways
// have the keys, or have lost them as well.
func BrokerDown(o Options, keepKeys bool) (*Result, error) {
	f, err := settled(o)
	if err != nil {
		return nil, err
	}
	f.calm()
	down := f.c.now
	f.pipes.setDown(true)
	f.c.run(down.Add(5 * time.Minute))
	name, title := "broker",
		"The broker is away for an hour; after 5 min all nodes start anew, and gateways have their keys"
	if !keepKeys {
		name, title = "broker-lost",
			"The broker is away for an hour; after 5 min all nodes start anew, and gateways have lost their keys"
		for _, g := range f.gateways {
			g.forget(false)
		}
	}
	f.boot(townBoots)
	event := down
	f.c.run(down.Add(time.Hour))
	f.pipes.setDown(false)
	if !keepKeys {
		event = f.await()
	}
	f.c.run(down.Add(time.Hour + 15*time.Minute))
	return f.result(name, title, event, down), f.Close()
}

// Maintenance takes one gateway away for ten minutes and brings it back without keys. With a period of rebalancing it
// lasts for two of these.
func Maintenance(o Options) (*Result, error) {
	f, err := settled(o)
	if err != nil {
		return nil, err
	}
	f.calm()
	gone := f.await()
	const awayFor = 10 * time.Minute
	f.kill(0)
	f.c.run(gone.Add(awayFor))
	if err := f.bring(0, false); err != nil {
		return nil, err
	}
	name, title := "maintenance", "One gateway of four is away for ten minutes; no rebalancing"
	after := 10 * time.Minute
	if o.Rebalance != 0 {
		name, title = "rebalance", "The same, rebalanced each "+minutes(o.Rebalance)+" on average"
		after = 2 * o.Rebalance
	}
	f.c.run(gone.Add(awayFor + after))
	return f.result(name, title, gone, gone), f.Close()
}

func minutes(d time.Duration) string {
	if d%time.Minute != 0 {
		return d.String()
	}
	return strconv.Itoa(int(d/time.Minute)) + " min"
}
