package peerselector

import (
	"slices"
	"testing"
	"time"
)

const outageNodes = 20

// outage takes all gateways from twenty nodes for a while, then brings one back, and gives how long each node was
// without after that.
func outage(t *testing.T, away time.Duration, broker bool, lost bool,
	seed int64) (took []time.Duration, asked []time.Duration) {
	t.Helper()
	for node := range int64(outageNodes) {
		s := newSim(t, seed<<16+node, true, 3)
		online := true
		s.broker = func(s *sim) {
			s.after(50*time.Millisecond, func() {
				if !broker && s.now.Sub(epoch) > time.Minute {
					s.send(BrokerFailed{})
					return
				}
				for _, g := range s.gws {
					if g.alive {
						g.known = earliest(g.known, s.now.Add(time.Second))
					}
				}
				var named []Peer
				if online {
					named = []Peer{peer(1)} // a broker of version 2 names one that is there
					named[0].Preferred = true
				}
				s.send(BrokerAnswered{named})
			})
		}
		s.send(Static{peers(3)})
		s.send(WANUp{})
		s.run(2*time.Minute, nil)
		if !s.connected() {
			t.Fatalf("node %d is not connected", node)
		}
		online = false
		for _, g := range s.gws {
			g.alive = false
		}
		gone := s.now
		s.rest(away)
		for _, at := range s.askedAt {
			if at.After(gone) {
				asked = append(asked, at.Sub(gone))
			}
		}
		back, g := s.now, s.gws[key(1)]
		g.alive, online = true, true
		if lost {
			g.known = s.now.Add(time.Hour) // until it is told again
		}
		s.run(s.now.Sub(epoch)+5*time.Minute, func() bool {
			return s.current != nil && s.e.State() == Connected &&
				s.e.lastAlive.After(back)
		})
		took = append(took, s.now.Sub(back))
	}
	slices.Sort(took)
	return took, asked
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// After all gateways were away half of the nodes are back within 15 s of the first one's return, whether it has kept
// their keys or not; without keys with the broker's help. The sim ends the test at a sixth question within a minute.
func TestOutage(t *testing.T) {
	for _, tt := range []struct {
		broker, lost bool
	}{{true, false}, {true, true}, {false, false}} {
		for _, away := range []time.Duration{20 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour} {
			for seed := range int64(5) {
				took, asked := outage(t, away, tt.broker, tt.lost, seed)
				if median := took[outageNodes/2]; median > 15*time.Second || took[outageNodes-1] > 45*time.Second {
					t.Errorf("broker %v, keys lost %v, away %v: median %v, last %v", tt.broker, tt.lost, away, median,
						took[outageNodes-1])
				}
				if away < 10*time.Minute || !tt.broker {
					continue
				}
				// Spread: no second of the later outage has more than half of the nodes, which by chance have 1.4.
				second := map[time.Duration]int{}
				for _, at := range asked {
					if at > 5*time.Minute {
						second[at.Truncate(time.Second)]++
					}
				}
				for at, n := range second {
					if n > outageNodes/2 {
						t.Errorf("away %v: %d of %d nodes ask within a second after %v", away, n, outageNodes, at)
					}
				}
			}
		}
	}
}
