package peerselector

import (
	"testing"
	"time"
)

// rest lets the node live until a moment after now.
func (s *sim) rest(d time.Duration) { s.run(s.now.Sub(epoch)+d, nil) }

func TestReconnect(t *testing.T) {
	for seed := int64(0); seed < 30; seed++ {
		s := connect(t, seed, 3)
		old := *s.current
		s.send(Reconnect{})
		if s.e.State() != Switching || s.current == nil || *s.current != old {
			t.Fatalf("seed %d: state %v: the present gateway went before the next had answered", seed, s.e.State())
		}
		s.rest(time.Second)
		if *s.current == old || s.e.State() != Connected || len(s.installed) != 1 {
			t.Errorf("seed %d: state %v, %d peers", seed, s.e.State(), len(s.installed))
		}
		for i := 1; i <= 3; i++ {
			s.send(Reconnect{Key: key(i)})
			s.rest(time.Second)
			if *s.current != key(i) {
				t.Errorf("seed %d: gw%d was wished for, %v is in use", seed, i, *s.current)
			}
		}
		// It was no failure: the one that was left is as good as any.
		if c := s.e.find(old); !c.failed.IsZero() {
			t.Errorf("seed %d: the gateway left on purpose counts as failed", seed)
		}
	}
}

// A gateway that is wished for and does not answer changes nothing.
func TestReconnectInVain(t *testing.T) {
	s := connect(t, 1, 3)
	old := *s.current
	dead := key(1)
	if old == dead {
		dead = key(2)
	}
	s.gws[dead].alive = false
	s.send(Reconnect{Key: dead})
	s.rest(time.Minute)
	if *s.current != old || s.e.State() != Connected || len(s.installed) != 1 || len(s.promotes) != 1 {
		t.Errorf("state %v, %d peers, promotions %v", s.e.State(), len(s.installed), s.promotes)
	}
	s.send(Reconnect{Key: old})
	s.send(Reconnect{Key: key(99)})
	if s.e.State() != Connected {
		t.Errorf("state %v after a wish for the present gateway, and for a stranger", s.e.State())
	}
}

// The gateway in use dies while another is being tried.
func TestReconnectFromDying(t *testing.T) {
	s := connect(t, 1, 3)
	old := *s.current
	for _, g := range s.gws {
		g.alive = false
	}
	s.send(Reconnect{})
	s.rest(5 * time.Second)
	for k, g := range s.gws {
		g.alive = k != old
	}
	s.rest(20 * time.Second)
	if s.current == nil || *s.current == old || s.e.State() != Connected {
		t.Errorf("state %v", s.e.State())
	}
}

func TestReconnectWithoutGateway(t *testing.T) {
	s := newSim(t, 1, false, 2)
	s.gws[key(1)].alive, s.gws[key(2)].alive = false, false
	s.send(Static{peers(2)})
	s.send(WANUp{})
	s.run(10*time.Minute, nil)
	s.run(time.Hour, func() bool { return s.e.State() == Waiting })
	s.gws[key(2)].alive = true
	asked := s.now
	clear(s.tried)
	s.send(Reconnect{Key: key(2)})
	s.rest(time.Second)
	if s.current == nil || *s.current != key(2) {
		t.Errorf("state %v, %v after the wish", s.e.State(), s.now.Sub(asked))
	}
	// Of a single gateway nothing better can be had than a new session.
	s = connect(t, 1, 1)
	acts := s.e.Handle(Reconnect{}, s.now)
	if len(acts) != 1 {
		t.Fatalf("a single gateway: %v", acts)
	}
	if _, ok := acts[0].(Renew); !ok {
		t.Errorf("a single gateway: %v", acts)
	}
}

// After an agent's restart the gateway used before comes first, also when the broker prefers another; when it is dead
// another is taken, and it has no privilege any more.
func TestRemembered(t *testing.T) {
	for seed := int64(0); seed < 50; seed++ {
		for _, dead := range []bool{false, true} {
			s := newSim(t, seed, true, 4)
			s.gws[key(4)].alive = !dead
			for _, g := range s.gws {
				g.rtt = 350 * time.Millisecond // slower than the stagger
			}
			s.broker = func(s *sim) {
				s.after(1500*time.Millisecond, func() {
					p := peer(1)
					p.Preferred = true
					s.send(BrokerAnswered{[]Peer{p}})
				})
			}
			s.send(Static{peers(3)})
			s.send(Remembered{peer(4)}) // only an earlier answer of the broker knew it
			s.send(WANUp{})
			s.run(time.Minute, s.connected)
			want, most := key(4), 1400*time.Millisecond // it knows our key, and does not wait for the broker
			if dead {
				want, most = key(1), 4*time.Second
			}
			if *s.current != want || s.now.Sub(epoch) > most {
				t.Errorf("seed %d, dead %v: %v after %v", seed, dead, *s.current, s.now.Sub(epoch))
			}
			s.rest(10 * time.Minute)
			if *s.current != want || len(s.promotes) != 1 || s.asks != 1 {
				t.Errorf("seed %d, dead %v: %d promotions, %d questions", seed, dead, len(s.promotes), s.asks)
			}
		}
	}
}

// Without a broker it is one of the configured ones, and goes before the others; once only.
func TestRememberedStatic(t *testing.T) {
	for seed := int64(0); seed < 50; seed++ {
		s := newSim(t, seed, false, 4)
		s.send(Static{peers(4)})
		s.send(Remembered{peer(3)})
		s.gws[key(3)].rtt = 300 * time.Millisecond // the others would win a fair race
		s.send(WANUp{})
		s.rest(time.Second)
		if *s.current != key(3) {
			t.Fatalf("seed %d: %v", seed, *s.current)
		}
		s.gws[key(3)].alive = false
		s.rest(20 * time.Second)
		s.gws[key(3)].alive = true
		s.gws[*s.current].alive = false
		s.rest(20 * time.Second)
		if *s.current == key(3) {
			t.Errorf("seed %d: the gateway that has just failed was tried first again", seed)
		}
	}
}

// With a broker its choice is followed; one that makes none, or fails, leaves it to chance.
func TestRebalanceWithBroker(t *testing.T) {
	choice := func(s *sim) []Peer {
		p := peer(2)
		p.Preferred = true
		return []Peer{p}
	}
	for name, tt := range map[string]struct {
		answer func(*sim) Event
		sure   bool // to move
	}{
		"names one": {func(s *sim) Event { return BrokerAnswered{choice(s)} }, true},
		"v1":        {func(*sim) Event { return BrokerAnswered{} }, false},
		"fails":     {func(*sim) Event { return BrokerFailed{} }, false},
	} {
		moved := 0
		for seed := int64(0); seed < 20; seed++ {
			s := newSim(t, seed, true, 4)
			s.broker = func(s *sim) { s.after(50*time.Millisecond, func() { s.send(BrokerAnswered{}) }) }
			s.send(Static{peers(4)})
			s.send(Rebalance{10 * time.Minute})
			s.send(WANUp{})
			s.rest(time.Minute)
			first := *s.current
			s.broker = func(s *sim) { s.after(50*time.Millisecond, func() { s.send(tt.answer(s)) }) }
			s.rest(14*time.Minute + 30*time.Second)
			if s.asks != 2 && s.asks != 3 {
				t.Fatalf("%s, seed %d: the broker was asked %d times", name, seed, s.asks)
			}
			if *s.current != first {
				moved++
			}
			if tt.sure && *s.current != key(2) {
				t.Errorf("%s, seed %d: %v, not the broker's choice", name, seed, *s.current)
			}
			if s.e.State() != Connected {
				t.Errorf("%s, seed %d: state %v", name, seed, s.e.State())
			}
		}
		if moved < 8 {
			t.Errorf("%s: %d of 20 nodes moved", name, moved)
		}
	}
}

// While the gateway is silent nothing is rebalanced; it is a failover then, or the line.
func TestNoRebalanceInTrouble(t *testing.T) {
	s := connect(t, 1, 3)
	s.send(Rebalance{time.Second})
	for _, g := range s.gws {
		g.alive = false
	}
	s.rest(6500 * time.Millisecond)
	for range 60 {
		s.rest(time.Second)
		if s.e.State() == Switching {
			t.Fatal("rebalances while no gateway answers")
		}
	}
}

// A broker's choice is the broker's of that moment: the one that it named before is an ordinary gateway again.
func TestOnlyOnePreferred(t *testing.T) {
	s := newSim(t, 1, true, 2)
	p := peer(1)
	p.Preferred = true
	s.broker = func(s *sim) { s.send(BrokerAnswered{[]Peer{p}}) }
	s.send(WANUp{})
	s.rest(time.Second)
	p = peer(2)
	p.Preferred = true
	s.send(BrokerAnswered{[]Peer{p}})
	for _, have := range s.e.Peers() {
		if have.Preferred != (have.PublicKey == key(2)) {
			t.Errorf("%s preferred: %v", have.Name, have.Preferred)
		}
	}
	if len(s.e.Peers()) != 2 || *s.current != key(1) {
		t.Errorf("peers %v, in use %v", s.e.Peers(), *s.current)
	}
}

// On a line with a round trip of two seconds a dead gateway is left as well: its rival has to live through its grace.
func TestFailoverOnSlowLine(t *testing.T) {
	for seed := int64(0); seed < 20; seed++ {
		s := connect(t, seed, 3)
		for _, g := range s.gws {
			g.rtt = 2100 * time.Millisecond
		}
		s.rest(time.Minute)
		old := *s.current
		s.gws[old].alive = false
		died := s.now
		s.run(s.now.Sub(epoch)+time.Minute, func() bool { return *s.current != old })
		if took := s.now.Sub(died); took > 18*time.Second {
			t.Errorf("seed %d: %v", seed, took)
		}
	}
}

// A switch that was cut short and is wished for again does not start a second handshake at once: gateways limit them.
func TestReconnectTwice(t *testing.T) {
	s := connect(t, 1, 2)
	s.gws[key(1)].rtt, s.gws[key(2)].rtt = 200*time.Millisecond, 200*time.Millisecond
	old := *s.current
	s.send(Reconnect{})
	s.rest(50 * time.Millisecond)
	s.send(WANDown{})
	s.send(WANUp{})
	s.send(Reconnect{}) // the sim ends the test if that is too early
	s.rest(time.Second)
	if *s.current == old {
		t.Error("still with the old one")
	}
}

// The present gateway answers a probe while the one wished for still shakes hands.
func TestReconnectWithTraffic(t *testing.T) {
	s := connect(t, 1, 2)
	old, other := *s.current, key(1)
	if old == other {
		other = key(2)
	}
	s.gws[other].rtt = 200 * time.Millisecond
	s.send(Reconnect{})
	for range 10 {
		s.rest(10 * time.Millisecond)
		s.send(Alive{Key: old, Reply: true, RTT: time.Millisecond})
	}
	s.rest(time.Second)
	if *s.current != other {
		t.Error("traffic ended the switch")
	}
}

// At rest: one probe per Quiet on an idle link, none on a busy one.
func TestProbesAtRest(t *testing.T) {
	s := connect(t, 1, 3)
	probes := s.probes
	s.rest(10 * time.Minute)
	if n := s.probes - probes; n > int(10*time.Minute/s.e.t.Quiet) || n < 100 {
		t.Errorf("%d probes in ten idle minutes", n)
	}
	s.send(Alive{Key: *s.current})
	probes = s.probes
	for range 600 {
		s.rest(time.Second)
		s.send(Alive{Key: *s.current})
	}
	if s.probes != probes {
		t.Errorf("%d probes in ten busy minutes", s.probes-probes)
	}
}

// With the way out back the tunnel is tried at once.
func TestWANUpProbes(t *testing.T) {
	s := connect(t, 1, 2)
	s.send(WANDown{})
	s.rest(time.Minute)
	probes := s.probes
	s.send(WANUp{})
	if s.probes != probes+1 {
		t.Errorf("%d probes", s.probes-probes)
	}
}

// While the line itself is slow and lossy, the gateway in use and its rivals suffer alike: it stays.
func TestSlowLossyLine(t *testing.T) {
	s := connect(t, 1, 4)
	for _, g := range s.gws {
		g.rtt = 5 * time.Second
	}
	s.rest(time.Minute)
	installs := s.installs
	s.rest(10 * time.Minute)
	if s.installs != installs || len(s.promotes) != 1 {
		t.Errorf("a slow line without loss: %d handshakes with others, %d promotions",
			s.installs-installs, len(s.promotes))
	}
	switched := 0
	for seed := int64(0); seed < 40; seed++ {
		s := connect(t, seed, 4)
		s.loss = 0.3
		for _, g := range s.gws {
			g.rtt = 5 * time.Second
		}
		s.rest(10 * time.Minute)
		switched += len(s.promotes) - 1
	}
	// Nothing but lost probes tells an idle, lossy line from a dead gateway; see busy-lossy-line in the lab for a used
	// one.
	if switched > 4 {
		t.Errorf("%d switches in 400 minutes", switched)
	}
}

// The line comes back while rivals are being tried: whichever of the answers arrives first, the gateway stays.
func TestLineBackDuringRace(t *testing.T) {
	for seed := int64(0); seed < 200; seed++ {
		s := connect(t, seed, 4)
		old := *s.current
		for _, g := range s.gws {
			g.alive = false
		}
		s.rest(6*time.Second + time.Duration(seed)*47*time.Millisecond)
		for _, g := range s.gws {
			g.alive = true
		}
		s.rest(time.Minute)
		if s.current == nil || *s.current != old || s.e.State() != Connected {
			t.Errorf("seed %d: %v, then %v", seed, old, s.promotes)
		}
	}
}

// A peer without an address to probe is judged by its handshakes alone.
func TestBlind(t *testing.T) {
	blind := peers(2)
	for i := range blind {
		blind[i].LinkAddress = Peer{}.LinkAddress
	}
	s := newSim(t, 1, false, 2)
	s.send(Static{blind})
	s.send(WANUp{})
	s.rest(time.Second)
	first := *s.current
	for range 10 {
		s.rest(2 * time.Minute)
		s.send(Handshake{first})
	}
	if len(s.promotes) != 1 || s.e.State() != Connected {
		t.Fatalf("state %v, promotions %v", s.e.State(), s.promotes)
	}
	s.gws[first].alive = false
	s.rest(140 * time.Second)
	if *s.current != first {
		t.Error("left too early")
	}
	s.rest(15 * time.Second)
	if *s.current == first {
		t.Error("a silent gateway is still in use")
	}
}

// A NAT that lets nothing of the present source port through: after some empty rounds another is tried.
func TestSourcePort(t *testing.T) {
	s := connect(t, 1, 3)
	for _, g := range s.gws {
		g.port = s.rotated + 1
	}
	stuck := s.now
	s.run(s.now.Sub(epoch)+10*time.Minute, func() bool { return s.rotated > 0 })
	if took := s.now.Sub(stuck); s.rotated != 1 || took > time.Minute {
		t.Fatalf("the port was changed %d times within %v", s.rotated, took)
	}
	s.rest(time.Minute)
	if s.e.State() != Connected || s.rotated != 1 {
		t.Errorf("state %v, the port was changed %d times", s.e.State(), s.rotated)
	}
}

// All gateways have lost our key: it is registered again while the race is still on, and all is well without a round
// more.
func TestKeyLostEverywhere(t *testing.T) {
	for gws := 1; gws <= 4; gws++ {
		for seed := int64(0); seed < 20; seed++ {
			s := newSim(t, seed, true, gws)
			s.broker = func(s *sim) {
				s.after(50*time.Millisecond, func() {
					for _, g := range s.gws {
						g.known = s.now.Add(500 * time.Millisecond)
					}
					s.send(BrokerAnswered{})
				})
			}
			s.send(Static{peers(gws)})
			s.send(WANUp{})
			s.run(10*time.Minute, nil)
			asks := s.asks
			for _, g := range s.gws {
				g.known = s.now.Add(time.Hour)
			}
			lost := s.now
			s.run(s.now.Sub(epoch)+10*time.Minute, func() bool { return s.asks > asks })
			// Six seconds of silence, a second and a half for the others to answer; or, with no other, a backoff of a
			// second.
			if took := s.now.Sub(lost); took > 8*time.Second {
				t.Errorf("%d gateways, seed %d: the broker was asked after %v", gws, seed, took)
			}
			s.run(s.now.Sub(epoch)+10*time.Minute, func() bool {
				return s.asks > asks && s.e.State() == Connected && s.now.Sub(lost) > 6*time.Second
			})
			if took := s.now.Sub(lost); took > 15*time.Second || s.asks != asks+1 {
				t.Errorf("%d gateways, seed %d: %v, %d questions", gws, seed, took, s.asks-asks)
			}
		}
	}
}

// While no gateway answers for hours, the broker is asked ever more seldom.
func TestRegistrationBacksOff(t *testing.T) {
	s := newSim(t, 1, true, 4)
	for _, g := range s.gws {
		g.alive = false
	}
	s.broker = func(s *sim) { s.after(50*time.Millisecond, func() { s.send(BrokerFailed{}) }) }
	s.send(Static{peers(4)})
	s.send(WANUp{})
	s.run(10*time.Minute, nil)
	early := s.asks
	s.run(70*time.Minute, nil)
	if late := s.asks - early; early < 4 || late < 20 || late > 120 {
		t.Errorf("%d questions in the first ten minutes, %d in the next hour", early, late)
	}
}
