package peerselector

import (
	"fmt"
	"testing"
	"time"
)

// rekeyTimeout is between two tries of WireGuard: REKEY_TIMEOUT in its paper, section 6.1.
const rekeyTimeout = 5 * time.Second

// session is what WireGuard has with one peer, as far as it matters on bad lines: a handshake that takes longer than
// rekeyTimeout never completes, for the next try forgets it; and a session older than RejectAfter carries nothing.
type session struct {
	born time.Time // zero: none yet
	try  int
}

// create makes the peer anew: its session is gone, and a handshake begins.
func (s *sim) create(k Key) {
	s.sessions[k] = &session{}
	s.initiate(k, s.sessions[k])
}

// initiate sends a handshake, and the next one until one has completed.
func (s *sim) initiate(k Key, w *session) {
	if s.sessions[k] != w {
		return
	}
	w.try++
	try, gen := w.try, s.installed[k]
	g := s.gws[k]
	current := func() bool { return s.sessions[k] == w && w.try == try && s.installed[k] == gen }
	if rtt, ok := s.trip(g); ok && rtt < rekeyTimeout && !s.now.Before(g.known) {
		s.after(rtt, func() {
			if !current() || !g.alive {
				return
			}
			w.born, s.shaken[k] = s.now, gen
			w.try++
			renewed := w.try
			s.after(rekeyAfter, func() {
				if s.sessions[k] == w && w.try == renewed {
					s.initiate(k, w)
				}
			})
			s.send(Handshake{k})
		})
	}
	s.after(rekeyTimeout+time.Duration(s.rand.Int64N(int64(time.Second/3))), func() {
		if current() {
			s.initiate(k, w)
		}
	})
}

// carries says that a packet to the peer can be sent.
func (s *sim) carries(k Key) bool {
	if s.sessions == nil {
		return true
	}
	w := s.sessions[k]
	return w != nil && !w.born.IsZero() && s.now.Sub(w.born) < RejectAfter
}

// slowLossy is a node on a line that was good, and has a round trip of five seconds and loses most packets from the
// 30th second on.
func slowLossy(t *testing.T, seed int64, most time.Duration, loss float64, broker bool) *sim {
	s := newSim(t, seed, broker, 4)
	s.sessions = map[Key]*session{}
	s.broker = func(s *sim) {
		if s.now.Sub(epoch) < 30*time.Second {
			s.after(50*time.Millisecond, func() { s.send(BrokerAnswered{peers(4)}) })
			return
		}
		s.after(time.Duration(20+s.rand.IntN(40))*time.Second, func() { s.send(BrokerAnswered{peers(4)}) })
	}
	s.line = func(at time.Time) (time.Duration, bool) {
		if at.Sub(epoch) < 30*time.Second {
			return 0, true
		}
		return 4880*time.Millisecond + time.Duration(s.rand.Int64N(int64(most-4900*time.Millisecond))),
			s.rand.Float64() >= loss
	}
	s.send(Static{peers(4)})
	s.send(WANUp{})
	return s
}

// A line that is slow and loses much costs no switch: neither while the session lives nor when no handshake gets
// through before it is void.
func TestNoSwitchOnSlowLossyLine(t *testing.T) {
	for _, l := range []struct {
		most time.Duration // of a round trip
		loss float64
	}{{4960 * time.Millisecond, 0.3}, {4960 * time.Millisecond, 0.5}, {5100 * time.Millisecond, 0.3}} {
		for _, broker := range []bool{false, true} {
			name := fmt.Sprintf("round trips up to %v, loss %v, broker %v", l.most, l.loss, broker)
			switched, void := 0, 0
			for seed := int64(0); seed < 100; seed++ {
				s := slowLossy(t, seed, l.most, l.loss, broker)
				s.did = func(at time.Time, a Action) {
					if _, ok := a.(Promote); ok && s.current != nil {
						switched++
						t.Logf("%s, seed %d, %v: a switch; the session %v old, silent for %v, renewed %v", name, seed,
							at.Sub(epoch), at.Sub(s.sessions[*s.current].born), at.Sub(s.last),
							s.sessions[*s.current].born.IsZero())
					}
				}
				for end := time.Second; end <= 11*time.Minute; end += time.Second {
					s.run(end, nil)
					if s.current == nil {
						t.Fatalf("%s, seed %d: the gateway is given up after %v", name, seed, end)
					}
					if !s.carries(*s.current) {
						void++
					}
				}
			}
			t.Logf("%s: %d switches, void for %d s", name, switched, void)
			if switched > 0 {
				t.Errorf("%s: %d switches in 100 runs of ten minutes", name, switched)
			}
		}
	}
}

// A gateway that is gone when the WAN comes back is left at once, however old its session is by then.
func TestGoneAfterOutage(t *testing.T) {
	for age := 100 * time.Second; age <= 200*time.Second; age += 5 * time.Second {
		s := newSim(t, int64(age), false, 3)
		s.sessions = map[Key]*session{}
		s.send(Static{peers(3)})
		s.send(WANUp{})
		s.run(10*time.Second, nil)
		s.send(WANDown{})
		dead := *s.current
		s.gws[dead].alive = false
		s.run(age, nil)
		s.send(WANUp{})
		s.run(age+5*time.Second, func() bool { return *s.current != dead })
		if *s.current == dead {
			t.Errorf("with a session %v old it is in use 5 s later", age)
		}
	}
}
