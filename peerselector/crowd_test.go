package peerselector

import (
	"slices"
	"testing"
	"time"
)

// What a node asks for in an outage of an hour and after it, when it knows how many others do the same. The fleet's
// figures are in docs/fleet.md; here is what one node does.
func TestCrowd(t *testing.T) {
	for _, tt := range []struct {
		nodes       int
		first, last time.Duration // bounds of the first question
		most        int           // questions in an hour
	}{
		{0, 0, 15 * time.Second, 300},
		{20, 0, 15 * time.Second, 300},
		{1000, 0, 25 * time.Second, 300},
		{10_000, 0, 90 * time.Second, 48},
		{1_000_000, 0, 3 * time.Hour, 1},
	} {
		var firsts []time.Duration
		for seed := range int64(20) {
			s := newSim(t, seed, true, 4)
			s.broker = func(s *sim) { s.after(50*time.Millisecond, func() { s.send(BrokerAnswered{}) }) }
			s.send(Crowd{tt.nodes})
			s.send(Static{peers(4)})
			s.send(WANUp{})
			s.run(5*time.Minute, nil)
			if !s.connected() || s.asks != 1 {
				t.Fatalf("%d nodes: connected %v after %d questions", tt.nodes, s.connected(), s.asks)
			}
			for _, g := range s.gws {
				g.alive = false
			}
			gone, asks, inits := s.now, s.asks, s.installs
			s.rest(time.Hour)
			if asked := s.asks - asks; asked > tt.most {
				t.Errorf("%d nodes: %d questions in an hour", tt.nodes, asked)
			}
			if inits = s.installs - inits; tt.nodes >= 10_000 && inits > 4*3600/10 {
				t.Errorf("%d nodes: %d handshakes in an hour", tt.nodes, inits)
			}
			if s.asks > asks {
				firsts = append(firsts, s.askedAt[asks].Sub(gone))
			}
			for _, g := range s.gws {
				g.alive = true
			}
			back := s.now
			s.run(s.now.Sub(epoch)+5*time.Minute, func() bool { return s.connected() && s.e.lastAlive.After(back) })
			if took := s.now.Sub(back); took > time.Minute && tt.nodes <= 10_000 {
				t.Errorf("%d nodes: %v without a gateway that has kept the key", tt.nodes, took)
			}
		}
		slices.Sort(firsts)
		if len(firsts) > 0 && firsts[len(firsts)-1] > tt.last {
			t.Errorf("%d nodes: the first questions after %v to %v", tt.nodes, firsts[0], firsts[len(firsts)-1])
		}
	}
}

// The number may change while the node runs, and goes back to unknown.
func TestCrowdChanges(t *testing.T) {
	e := New(Config{Timing: Default(), Broker: true, Intn: func(int64) int64 { return 0 }})
	e.Handle(Economy{ProbeEvery: time.Minute}, epoch)
	e.Handle(Crowd{10_000}, epoch)
	if e.t.AskSpread != 78*time.Second || e.t.AskEvery != 75*time.Second ||
		e.t.ProbeEvery != time.Minute || !e.t.crowded() {
		t.Errorf("%+v", e.t)
	}
	e.Handle(Crowd{0}, epoch)
	e.Handle(Economy{}, epoch)
	if want := Default(); e.t.AskSpread != 0 || e.t.AskEvery != want.AskEvery || e.t.Stagger != want.Stagger ||
		e.t.ProbeEvery != want.ProbeEvery {
		t.Errorf("%+v", e.t)
	}
}
