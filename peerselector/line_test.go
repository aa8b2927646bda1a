package peerselector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// jitter is a line whose round trip changes within seconds, and that is silent now and then. It is the same for the
// same seed.
func jitter(seed uint64, least, most, burst, pause time.Duration) func(time.Time) (time.Duration, bool) {
	return func(at time.Time) (time.Duration, bool) {
		since := at.Sub(epoch)
		if since < 20*time.Second {
			return least, true
		}
		draw := func(n int64, what uint64) *rand.Rand { return rand.New(rand.NewPCG(seed<<32+uint64(n), what)) }
		if burst > 0 {
			n := int64(since / pause)
			begins := time.Duration(draw(n, 1).Int64N(int64(pause - burst)))
			if in := since % pause; in >= begins && in < begins+burst {
				return 0, false
			}
		}
		// Each spell of half a second to two and a half has a round trip of its own.
		spell := 500*time.Millisecond + time.Duration(draw(0, 2).Int64N(int64(2*time.Second)))
		return least + time.Duration(draw(int64(since/spell), 3).Int64N(int64(most-least)+1)), true
	}
}

// lines are those on which no gateway is to be left.
var lines = []struct {
	name         string
	least, most  time.Duration
	burst, pause time.Duration
	loss         float64
}{
	{"steady", 20 * time.Millisecond, 20 * time.Millisecond, 0, 0, 0},
	{"slow", 600 * time.Millisecond, 650 * time.Millisecond, 0, 0, 0},
	{"lossy", 20 * time.Millisecond, 60 * time.Millisecond, 0, 0, 0.05},
	{"jittery", 20 * time.Millisecond, 1500 * time.Millisecond, 0, 0, 0},
	{"jittery with bursts", 20 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 20 * time.Second, 0},
	{"fast with bursts", 20 * time.Millisecond, 40 * time.Millisecond, 3 * time.Second, 30 * time.Second, 0},
	{"bursts of five seconds", 50 * time.Millisecond, 400 * time.Millisecond, 5 * time.Second, 40 * time.Second, 0},
}

// No line on which all gateways go on answering costs a switch, in use or idle, also at its first burst.
func TestNoSwitchForTheLine(t *testing.T) {
	for _, l := range lines {
		for _, traffic := range []time.Duration{0, 100 * time.Millisecond} {
			name := fmt.Sprintf("%s, traffic each %v", l.name, traffic)
			for seed := uint64(0); seed < 40; seed++ {
				s := newSim(t, int64(seed), false, 4)
				s.line, s.loss, s.traffic = jitter(seed, l.least, l.most, l.burst, l.pause), l.loss, traffic
				s.send(Static{peers(4)})
				s.send(WANUp{})
				s.run(15*time.Minute, nil)
				if len(s.promotes) != 1 {
					t.Errorf("%s, seed %d: %d switches in a quarter of an hour", name, seed, len(s.promotes)-1)
				}
			}
		}
	}
}

// A gateway that dies is left: on a good line within four seconds, three in the middle; on others as soon as their own
// silences of late allow.
func TestDeathsWithinTheBound(t *testing.T) {
	for _, l := range lines {
		for _, traffic := range []time.Duration{0, 100 * time.Millisecond} {
			var took []time.Duration
			most := 4 * time.Second
			for seed := uint64(0); seed < 100; seed++ {
				s := newSim(t, int64(seed), false, 4)
				s.line, s.loss, s.traffic = jitter(seed, l.least, l.most, l.burst, l.pause), l.loss, traffic
				s.send(Static{peers(4)})
				s.send(WANUp{})
				s.run(2*time.Minute+time.Duration(seed)*73*time.Millisecond, nil)
				if s.current == nil {
					t.Fatalf("%s, seed %d: not connected", l.name, seed)
				}
				bound := s.e.t.ProbeEvery + s.e.line.proof(s.e.t) + s.e.t.Patience + s.e.t.MaxGrace +
					2*l.burst + 2*l.most
				dead := *s.current
				s.gws[dead].alive = false
				died := s.now
				s.run(s.now.Sub(epoch)+time.Minute, func() bool { return s.current != nil && *s.current != dead })
				gone := s.now.Sub(died)
				took = append(took, gone)
				if gone > bound {
					t.Errorf("%s, traffic each %v, seed %d: left after %v, bound %v", l.name, traffic, seed, gone,
						bound)
				}
			}
			slices.Sort(took)
			p50, p95 := took[len(took)/2], took[len(took)*95/100]
			t.Logf("%s, traffic each %v: p50 %v, p95 %v, max %v", l.name, traffic, p50, p95, took[len(took)-1])
			if l.burst == 0 && l.loss == 0 && l.most < 100*time.Millisecond && (p50 > 3*time.Second || p95 > most) {
				t.Errorf("%s, traffic each %v: p50 %v, p95 %v", l.name, traffic, p50, p95)
			}
		}
	}
}

// A silence no longer than one of the last five minutes is no reason to leave, even when another gateway answers
// through it: the history is the gateway's way, too.
func TestGapsWithinHistory(t *testing.T) {
	for seed := uint64(0); seed < 200; seed++ {
		s := newSim(t, int64(seed), false, 3)
		s.send(Static{peers(3)})
		s.send(WANUp{})
		s.rest(30 * time.Second)
		r := rand.New(rand.NewPCG(seed, 5))
		used := *s.current
		longest := 2*time.Second + time.Duration(r.Int64N(int64(4*time.Second)))
		// The first silence is the whole line's, later ones only this gateway's.
		for n := range 20 {
			gap := longest
			if n > 0 {
				gap = time.Duration(1 + r.Int64N(int64(longest-s.e.t.ProbeEvery)))
			}
			for k, o := range s.gws {
				o.alive = n > 0 && k != used
			}
			s.rest(gap)
			for _, o := range s.gws {
				o.alive = true
			}
			s.rest(time.Duration(2+r.IntN(10)) * time.Second)
			if *s.current != used {
				t.Fatalf("seed %d: left in silence %d of %v, after one of %v", seed, n, gap, longest)
			}
		}
	}
}
