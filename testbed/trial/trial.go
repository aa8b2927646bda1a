package trial

import (
	"context"
	"fmt"
	"maps"
	"time"

	"wguplink/testbed/scenario"
	"wguplink/testbed/world"
)

// Trial is one run of a part of a scenario.
type Trial struct {
	*world.World
	Agent *world.Agent
	Run   int // from 0

	c        Config
	ctx      context.Context
	dir      string
	starting chan struct{}
	holds    bool // starting
	frames   *world.Layer2
	pings    []*world.Pings     // with Parker: IPv4, IPv6
	values   map[string]float64 // by metric
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
func usual(w *world.World, change options) string {
	o := w.BrokerOptions()
	if w.Parker != nil {
		o = w.ParkerUCI()
	}
	maps.Copy(o, change)
	return world.UCI(o, w.Sections(), debug)
}

// make makes a world with the usual node, whose agent is not started. No other is made, or starts its agent, until started.
func (t *Trial) make(o world.Options, change options) (err error) {
	select {
	case t.starting <- struct{}{}:
		t.holds = true
	case <-t.ctx.Done():
		return fmt.Errorf("wait for a turn to start: %w", context.Cause(t.ctx))
	}
	if t.World, err = world.New(o, t.dir); err != nil {
		return err
	}
	t.Clock().SetSynchronised(true)
	t.Agent, err = t.NewAgent(t.c.Binary, t.dir, usual(t.World, change))
	return err
}

// started lets others start.
func (t *Trial) started() {
	if t.holds {
		t.holds = false
		<-t.starting
	}
}

// start starts the agent, with frames into the mesh from now on, and waits for the first reply. Then the agent calls itself
// connected, too.
func (t *Trial) start() (first world.Reply, took time.Duration, err error) {
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

// connect makes a world whose node is connected, and has been for a while.
func (t *Trial) connect(o world.Options, change options) (first world.Reply, err error) {
	if err = t.make(o, change); err == nil {
		first, _, err = t.start()
	}
	if err == nil {
		err = t.pause(rest)
	}
	return first, err
}

// pause lets time pass.
func (t *Trial) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	}
}

// after does damage and waits for the first reply to a frame that was sent when it was done. The time is measured from the
// beginning of the damage.
func (t *Trial) after(damage func() error, ok func(world.Reply) bool) (time.Duration, error) {
	began := time.Now()
	if err := damage(); err != nil {
		return 0, err
	}
	r, err := t.frames.Await(t.ctx, time.Now(), ok)
	return r.At.Sub(began), err
}

// happens has a step happen, and notes how long the mesh was gone. gateway is the one in use.
func (t *Trial) happens(m Metric, s scenario.Step, gateway string) (scenario.Outcome, error) {
	o, err := s.Run(t.ctx, scenario.Namespaces{World: t.World, Agent: t.Agent, Frames: t.frames}, gateway)
	if err == nil {
		t.seconds(m, o.Took)
	}
	return o, err
}

// silence gives the longest time without a reply within a span from now on, and notes when it was if it was long.
func (t *Trial) silence(span time.Duration) (longest time.Duration, err error) {
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
func (t *Trial) switches() (int, error) {
	st, err := t.Agent.Status(t.ctx)
	return st.Switches, err
}

// seconds notes how long something took.
func (t *Trial) seconds(m Metric, d time.Duration) {
	if m.Unit == "ms" {
		t.values[m.Name] = float64(d.Microseconds()) / 1e3
		return
	}
	t.values[m.Name] = float64(d.Milliseconds()) / 1e3
}

// number notes a number.
func (t *Trial) number(m Metric, n int) { t.values[m.Name] = float64(n) }

// note is for people.
func (t *Trial) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// close ends the world.
func (t *Trial) close() error {
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
	if t.World != nil {
		err = t.World.Close()
	}
	t.started()
	return err
}
