package measure

import (
	"context"
	"fmt"
	"maps"
	"time"

	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

// Measurement is one run of a part of a scenario.
type Measurement struct {
	*topology.Topology
	Agent *topology.Agent
	Run   int // from 0

	c        Config
	ctx      context.Context
	dir      string
	starting chan struct{}
	holds    bool // starting
	frames   *topology.Layer2
	pings    []*topology.Pings  // with Parker: IPv4, IPv6
	values   map[string]float64 // by metric
	where    string             // the conditions
	notes    []string           // for people
	last     []string           // of what the agent said
}

// rest is how long a connected node is left alone before something is broken: what its start began is over then.
const rest = 5 * time.Second

// often is between two frames into the mesh: what an Ethernet reply is measured in.
const often = 20 * time.Millisecond

// debug has the agent say all it can.
const debug = "config global\n\toption log_level 'debug'\n"

// options change an uplink's, by name.
type options map[string][]string

// usual is the usual configuration: a broker, the static list as fallback.
func usual(topo *topology.Topology, change options) string {
	o := topo.BrokerOptions()
	if topo.Parker != nil {
		o = topo.ParkerUCI()
	}
	maps.Copy(o, change)
	return topology.UCI(o, topo.Sections(), debug)
}

// make makes a topology with the usual node, whose agent is not started. No other is made, or starts its agent, until
// started.
func (t *Measurement) make(o topology.Options, change options) (err error) {
	select {
	case t.starting <- struct{}{}:
		t.holds = true
	case <-t.ctx.Done():
		return fmt.Errorf("wait for a turn to start: %w", context.Cause(t.ctx))
	}
	if t.Topology, err = topology.New(o, t.dir); err != nil {
		return err
	}
	t.where = t.Conditions()
	t.Clock().SetSynchronised(true)
	t.Agent, err = t.NewAgent(t.c.Binary, t.dir, usual(t.Topology, change))
	return err
}

// started lets others start.
func (t *Measurement) started() {
	if t.holds {
		t.holds = false
		<-t.starting
	}
}

// start starts the agent, with frames into the mesh from now on, and waits for the first reply. Then the agent calls
// itself connected, too.
func (t *Measurement) start() (first topology.Reply, took time.Duration, err error) {
	t.frames = t.Layer2("mesh-vpn", often)
	at := time.Now()
	if err := t.Agent.Start(); err != nil {
		return first, 0, err
	}
	if first, err = t.frames.Await(t.ctx, at, nil); err != nil {
		return first, 0, err
	}
	t.started()
	_, err = t.Agent.WaitLine(t.ctx, "msg=connected")
	return first, first.At.Sub(at), err
}

// connect makes a topology whose node is connected, and has been for a while.
func (t *Measurement) connect(o topology.Options, change options) (first topology.Reply, err error) {
	if err = t.make(o, change); err == nil {
		first, _, err = t.start()
	}
	if err == nil {
		err = t.pause(rest)
	}
	return first, err
}

// pause lets time pass.
func (t *Measurement) pause(d time.Duration) error { return topology.Pause(t.ctx, d) }

// after does damage and waits for the first reply to a frame that was sent when it was done. The time is measured from
// the beginning of the damage.
func (t *Measurement) after(damage func() error, ok func(topology.Reply) bool) (time.Duration, error) {
	began := time.Now()
	if err := damage(); err != nil {
		return 0, err
	}
	r, err := t.frames.Await(t.ctx, time.Now(), ok)
	return r.At.Sub(began), err
}

// happens has a step happen, and notes how long the mesh was gone. gateway is the one in use.
func (t *Measurement) happens(m Metric, s scenario.Step, gateway string) (scenario.Outcome, error) {
	o, err := s.Run(t.ctx, scenario.Namespaces{Topology: t.Topology, Agent: t.Agent, Frames: t.frames}, gateway)
	if err == nil {
		t.seconds(m, o.Took)
	}
	return o, err
}

// silence gives the longest time without a reply within a span from now on, and notes when it was if it was long.
func (t *Measurement) silence(span time.Duration) (longest time.Duration, err error) {
	began := time.Now()
	end := began.Add(span)
	ctx, cancel := context.WithDeadline(t.ctx, end)
	defer cancel()
	var since time.Time
	for sent, last := began, began; ; {
		r, err := t.frames.Await(ctx, sent, nil)
		if t.ctx.Err() != nil {
			return 0, context.Cause(t.ctx)
		}
		if err != nil {
			r.At = end
		}
		if gap := r.At.Sub(last); gap > longest {
			longest, since = gap, last
		}
		if err != nil {
			break
		}
		sent, last = r.Sent, r.At
	}
	if longest > time.Second {
		t.note("silent for %.1f s from %.1f s on", longest.Seconds(), since.Sub(began).Seconds())
	}
	return longest, nil
}

// switches gives the gateways promoted so far.
func (t *Measurement) switches() (int, error) {
	st, err := t.Agent.Status(t.ctx)
	return st.Switches, err
}

// seconds notes how long something took.
func (t *Measurement) seconds(m Metric, d time.Duration) {
	if m.Unit == "ms" {
		t.values[m.Name] = float64(d.Microseconds()) / 1e3
		return
	}
	t.values[m.Name] = float64(d.Milliseconds()) / 1e3
}

// number notes a number.
func (t *Measurement) number(m Metric, n int) { t.values[m.Name] = float64(n) }

// note is for people.
func (t *Measurement) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// close ends the topology.
func (t *Measurement) close() error {
	if t.frames != nil {
		t.frames.Close()
	}
	for _, p := range t.pings {
		p.Close()
	}
	if t.Agent != nil && t.Agent.Process != nil {
		t.last = t.Agent.Lines()
		t.last = t.last[max(0, len(t.last)-lastLines):]
	}
	var err error
	if t.Topology != nil {
		err = t.Topology.Close()
	}
	t.started()
	return err
}
