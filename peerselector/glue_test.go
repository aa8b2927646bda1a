package peerselector

import (
	"testing"
	"time"
)

// glued makes all gateways of a sim poll for new peers each ten seconds, each at moments of its own.
func glued(s *sim) {
	for i := 1; i <= len(s.gws); i++ {
		g := s.gws[key(i)]
		g.poll, g.phase = 10*time.Second, time.Duration(s.rand.Int64N(int64(10*time.Second)))
	}
}

// serving runs until the gateway in use answers inside the tunnel, and says how long after its poll that is, or after
// its promotion if that was later.
func serving(s *sim) time.Duration {
	s.run(s.now.Sub(epoch)+time.Minute, func() bool { return s.current != nil && s.e.answered })
	if s.current == nil {
		return time.Hour
	}
	return s.now.Sub(latest(s.gws[*s.current].ready, s.e.promoted))
}

// Gateways that poll for new peers each ten seconds are not left as mute: at the start and in a failover the first
// answer comes within a second of the poll after the first handshake.
func TestGlue(t *testing.T) {
	for seed := int64(0); seed < 300; seed++ {
		s := newSim(t, seed, false, 3)
		glued(s)
		s.send(Static{peers(3)})
		s.send(WANUp{})
		if late := serving(s); late > time.Second || len(s.promotes) != 1 {
			t.Fatalf("seed %d: at the start the first answer comes %v after the poll, %d promotions", seed, late,
				len(s.promotes))
		}
		s.rest(time.Minute + time.Duration(seed)*37*time.Millisecond)
		for range 2 {
			before := len(s.promotes)
			dead := *s.current
			s.gws[dead].alive = false
			s.run(s.now.Sub(epoch)+time.Minute, func() bool { return *s.current != dead })
			decided := s.now
			if late := serving(s); late > time.Second || len(s.promotes) != before+1 ||
				s.now.Sub(decided) > 11*time.Second {
				t.Fatalf("seed %d: in a failover the first answer comes %v after the poll, %d promotions", seed, late,
					len(s.promotes)-before)
			}
			s.gws[dead].alive = true
			s.rest(11 * time.Minute)
		}
	}
}

// One that stays mute is left sooner where another has answered at once, and none was ever slow to.
func TestMuteBesidePrompt(t *testing.T) {
	for seed := int64(0); seed < 50; seed++ {
		s := connect(t, seed, 2)
		good, bad := *s.current, key(1)
		if good == bad {
			bad = key(2)
		}
		s.gws[bad].mute = true
		s.send(Reconnect{Key: bad})
		s.run(s.now.Sub(epoch)+10*time.Second, func() bool { return *s.current == bad })
		switched := s.now
		s.run(s.now.Sub(epoch)+time.Minute, func() bool { return *s.current == good })
		if took := s.now.Sub(switched); *s.current != good || took > s.e.t.MuteKnown+time.Second {
			t.Errorf("seed %d: with the mute one for %v", seed, took)
		}
		// And with gateways that poll it gets as long as they need.
		s = newSim(t, seed, false, 2)
		glued(s)
		s.send(Static{peers(2)})
		s.send(WANUp{})
		if serving(s); s.e.current.prompt <= s.e.t.Prompt {
			continue // by chance it polled at once
		}
		s.rest(time.Minute)
		other := key(1)
		if *s.current == other {
			other = key(2)
		}
		before := len(s.promotes)
		s.send(Reconnect{Key: other})
		if s.rest(time.Second); *s.current != other {
			t.Fatalf("seed %d: no switch", seed)
		}
		if late := serving(s); late > time.Second || len(s.promotes) != before+1 {
			t.Errorf("seed %d: %v after the poll, %d promotions", seed, late, len(s.promotes)-before)
		}
	}
}
