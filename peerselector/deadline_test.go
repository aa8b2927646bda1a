package peerselector

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// story runs a random world for half an hour: gateways come and go, forget our key and are mute, the line flaps, the
// broker fails. What happens from outside depends on the seed alone. It gives each action with its moment.
func story(t judge, seed uint64, every time.Duration, without kind) (did []string) {
	r := rand.New(rand.NewPCG(seed, 3))
	n := 1 + r.IntN(5)
	s := newSim(t, int64(seed), r.IntN(3) > 0, n)
	s.every = every
	s.e.t.ProbeNew = 470 * time.Millisecond // no other deadline falls on the end of the patience with a mute gateway
	s.wake = func() (at time.Time, ok bool) {
		s.e.deadlines(func(d deadline) {
			if d.kind != without && (!ok || d.at.Before(at)) {
				at, ok = d.at, true
			}
		})
		return at, ok
	}
	s.broker = func(s *sim) {
		took := time.Duration(30+r.IntN(4000)) * time.Millisecond
		switch r.IntN(4) {
		case 0:
			s.after(took, func() { s.send(BrokerFailed{}) })
		default:
			p := peer(1 + r.IntN(n))
			p.Preferred = true
			s.after(took, func() { s.send(BrokerAnswered{[]Peer{p}}) })
		}
	}
	s.did = func(at time.Time, a Action) {
		if len(did) < 5000 {
			did = append(did, fmt.Sprintf("%v %T", at.Sub(epoch), a))
		}
	}
	if r.IntN(2) == 0 {
		s.send(Rebalance{5 * time.Minute})
	}
	s.send(Static{peers(1 + r.IntN(n))})
	s.send(WANUp{})
	script := rand.New(rand.NewPCG(seed, 4))
	for at := time.Second; at < 30*time.Minute; at += time.Duration(1+script.IntN(60000)) * time.Millisecond {
		s.run(at, nil)
		g := s.gws[key(1+script.IntN(n))]
		switch script.IntN(12) {
		case 0:
			s.send(WANDown{})
		case 1, 2:
			s.send(WANUp{})
		case 3:
			s.send(Reconnect{})
		case 4:
			g.mute = !g.mute
		case 5:
			g.known = s.now.Add(time.Duration(script.IntN(100)) * time.Second)
		case 6:
			for _, g := range s.gws {
				g.alive = false
			}
		default:
			g.alive = !g.alive
			g.rtt = time.Duration(10+script.IntN(1000)) * time.Millisecond
		}
	}
	return did
}

const stories = 60

// A caller that only sleeps until Next does each action at the moment at which one does that calls each 7 ms, too:
// nothing is ever late.
func TestNothingIsLate(t *testing.T) {
	actions := 0
	for seed := range uint64(stories) {
		lazy, eager := story(t, seed, 0, kinds), story(t, seed, 7*time.Millisecond, kinds)
		actions += len(lazy)
		if at := differ(lazy, eager); at >= 0 {
			t.Fatalf("seed %d, action %d: %s", seed, at, sides(lazy, eager, at))
		}
	}
	if actions < 100*stories {
		t.Errorf("%d actions in %d worlds: too little happens to tell", actions, stories)
	}
}

// broken is a judge that ends a story whose caller forgets a deadline.
type broken struct{}

func (broken) Fatalf(format string, args ...any) { panic(broken{}) }

// mutated is a story in which Next forgets a kind of deadline.
func mutated(seed uint64, without kind) (did []string) {
	defer func() {
		if r := recover(); r != nil && r != (any)(broken{}) {
			panic(r)
		}
	}()
	return story(broken{}, seed, 0, without)
}

// Each kind of deadline wakes the caller: one that Next forgets makes some action late.
func TestEachDeadlineWakes(t *testing.T) {
	for k := range kinds {
		switch k {
		case begin, askOutage: // due at once, or as soon as another one was met
			continue
		case lookAgain: // no action; see TestLooks
			continue
		}
		noticed := false
		for seed := uint64(0); seed < 10*stories && !noticed; seed++ {
			noticed = differ(story(t, seed, 0, kinds), mutated(seed, k)) >= 0
		}
		if !noticed {
			t.Errorf("deadline %d can be left out of Next, and no action is late", k)
		}
	}
}

func differ(a, b []string) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

func sides(a, b []string, at int) string {
	one := func(s []string) string {
		if at < len(s) {
			return s[at]
		}
		return "nothing"
	}
	return one(a) + " by Next alone, " + one(b) + " with more calls"
}

// While a gateway is in use the counters are looked at every two seconds at the latest. Neither the distance of the
// probes nor a gateway that cannot be probed changes that.
func TestLooks(t *testing.T) {
	for _, blind := range []bool{false, true} {
		s := newSim(t, 1, false, 1)
		p := peer(1)
		if blind {
			p.LinkAddress = Peer{}.LinkAddress
		}
		s.send(Economy{ProbeEvery: 2 * time.Minute})
		s.send(Static{[]Peer{p}})
		s.send(WANUp{})
		s.rest(time.Second)
		for range 40 {
			last := s.e.looked
			s.run(s.now.Sub(epoch)+time.Minute, func() bool { return s.e.looked != last })
			if gap := s.e.looked.Sub(last); gap > s.e.t.Look {
				t.Fatalf("blind %v: %v between two looks", blind, gap)
			}
		}
	}
}
