package peerselector

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestFirstAliveWins(t *testing.T) {
	for _, tt := range []struct {
		name  string
		gws   int
		alive int // the others are dead
		want  time.Duration
	}{
		{"one of one", 1, 1, 20 * time.Millisecond},
		{"four of four", 4, 4, 20 * time.Millisecond},
		{"one of four", 4, 1, 920 * time.Millisecond},
		{"one of eight", 8, 1, 3920 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := int64(0); seed < 50; seed++ {
				s := newSim(t, seed, false, tt.gws)
				for i := tt.alive + 1; i <= tt.gws; i++ {
					s.gws[key(i)].alive = false
				}
				s.send(Static{peers(tt.gws)})
				s.send(WANUp{})
				s.run(time.Minute, s.connected)
				if !s.connected() || s.now.Sub(epoch) > tt.want {
					t.Fatalf("seed %d: connected=%v after %v, want at most %v", seed, s.connected(), s.now.Sub(epoch),
						tt.want)
				}
				s.run(s.now.Sub(epoch)+10*time.Second, nil)
				if got := s.e.State(); got != Connected || len(s.installed) != 1 {
					t.Fatalf("seed %d: state %v with %d peers on the device", seed, got, len(s.installed))
				}
			}
		})
	}
}

func TestStartIsUniform(t *testing.T) {
	const n, gws = 4000, 4
	won := map[Key]int{}
	for seed := int64(0); seed < n; seed++ {
		s := newSim(t, seed, false, gws)
		s.send(Static{peers(gws)})
		s.send(WANUp{})
		s.run(time.Second, s.connected)
		won[*s.current]++
	}
	for i := 1; i <= gws; i++ {
		// 1000 expected, standard deviation 27.
		if c := won[key(i)]; c < 880 || c > 1120 {
			t.Errorf("gw%d won %d of %d", i, c, n)
		}
	}
}

// The gateways learn the key after the broker has answered; the first handshakes are lost.
func TestKeyArrivesLate(t *testing.T) {
	for _, late := range []time.Duration{0, 70 * time.Millisecond, 500 * time.Millisecond, 1050 * time.Millisecond} {
		s := newSim(t, 1, true, 2)
		s.broker = func(s *sim) {
			s.after(30*time.Millisecond, func() {
				for _, g := range s.gws {
					g.known = s.now.Add(late)
				}
				p := peer(1)
				p.Preferred = true
				s.send(BrokerAnswered{[]Peer{p}})
			})
		}
		s.send(Static{peers(2)})
		s.send(WANUp{})
		s.run(time.Minute, s.connected)
		if got := s.now.Sub(epoch); got > late+900*time.Millisecond {
			t.Errorf("key %v late: connected after %v", late, got)
		}
		if late < time.Second && *s.current != key(1) {
			t.Errorf("key %v late: the broker's choice did not win", late)
		}
		if s.asks != 1 {
			t.Errorf("asked the broker %d times", s.asks)
		}
	}
}

func TestSlowLineConnects(t *testing.T) {
	for _, rtt := range []time.Duration{400 * time.Millisecond, 1500 * time.Millisecond, 4 * time.Second} {
		s := newSim(t, 3, false, 3)
		for _, g := range s.gws {
			g.rtt = rtt
		}
		s.send(Static{peers(3)})
		s.send(WANUp{})
		s.run(time.Minute, s.connected)
		if !s.connected() || s.now.Sub(epoch) > 5*rtt+2*time.Second {
			t.Errorf("rtt %v: connected=%v after %v", rtt, s.connected(), s.now.Sub(epoch))
		}
	}
}

func TestBrokerDown(t *testing.T) {
	hang := func(*sim) {}
	refuse := func(s *sim) { s.after(time.Second, func() { s.send(BrokerFailed{}) }) }
	for name, broker := range map[string]func(*sim){"hangs": hang, "refuses": refuse} {
		s := newSim(t, 5, true, 2)
		s.broker = broker
		s.send(Static{peers(2)})
		s.send(WANUp{})
		s.run(time.Minute, s.connected)
		if !s.connected() || s.now.Sub(epoch) > 2100*time.Millisecond {
			t.Errorf("%s: connected=%v after %v", name, s.connected(), s.now.Sub(epoch))
		}
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	s := newSim(t, 5, true, 0)
	s.broker = func(s *sim) { s.send(BrokerFailed{RetryAfter: 10 * time.Minute}) }
	s.send(WANUp{})
	s.run(9*time.Minute, nil)
	if s.asks != 1 {
		t.Errorf("asked %d times within the time the broker had set", s.asks)
	}
	s.run(20*time.Minute, nil)
	if s.asks < 2 {
		t.Error("never asked again")
	}
}

func TestOtherBrokerIsAskedAtOnce(t *testing.T) {
	s := newSim(t, 5, true, 1)
	s.broker = func(s *sim) { s.send(BrokerFailed{RetryAfter: time.Hour}) }
	s.send(WANUp{})
	s.run(time.Minute, nil)
	s.broker = func(s *sim) { s.send(BrokerAnswered{peers(1)}) }
	s.send(BrokerChanged{})
	s.run(2*time.Minute, s.connected)
	if !s.connected() || s.now.Sub(epoch) > 61*time.Second {
		t.Errorf("connected=%v after %v", s.connected(), s.now.Sub(epoch))
	}
	s.broker = func(*sim) { t.Error("asked for no reason") }
	s.send(BrokerChanged{})
	s.run(time.Hour, nil)
}

// A broker that names one gateway at a time, as wgkex's v2 does, is asked as soon as that one is silent. The gateway
// that it names then is tried at once, however late the answer is.
func TestOneGatewayAtATime(t *testing.T) {
	for _, latency := range []time.Duration{30 * time.Millisecond, time.Second, 6 * time.Second, 25 * time.Second} {
		for seed := range int64(20) {
			s := newSim(t, seed, true, 3)
			s.broker = func(s *sim) {
				p := peer(s.asks)
				p.Preferred = true
				s.after(latency, func() { s.send(BrokerAnswered{[]Peer{p}}) })
			}
			s.send(WANUp{})
			s.run(time.Minute, s.connected)
			// The first registration is no reason to stay away from the broker for long.
			died := 2 * time.Minute
			s.run(died, nil)
			if !s.connected() || *s.current != key(1) || s.asks != 1 {
				t.Fatalf("%v, seed %d: connected=%v, %d questions", latency, seed, s.connected(), s.asks)
			}
			s.gws[key(1)].alive = false
			s.run(10*time.Minute, func() bool { return *s.current != key(1) })
			limit := s.e.t.ProbeEvery + s.e.t.Doubt + latency + s.e.t.Grace + 100*time.Millisecond
			if took := s.now.Sub(epoch) - died; *s.current != key(2) || took > limit {
				t.Errorf("%v, seed %d: %s in use after %v, want gw2 within %v", latency, seed, s.e.current.peer.Name,
					took, limit)
			}
			if s.asks != 2 {
				t.Errorf("%v, seed %d: %d questions", latency, seed, s.asks)
			}
			if latency <= s.e.t.AskPatience && s.rotated != 0 {
				t.Errorf("%v, seed %d: another port, while only the broker was waited for", latency, seed)
			}
		}
	}
}

// The broker goes on naming the dead gateway, and it is not asked any more often for that.
func TestBrokerNamesTheDeadOne(t *testing.T) {
	s := newSim(t, 11, true, 2)
	s.broker = func(s *sim) { s.after(time.Second, func() { s.send(BrokerAnswered{peers(1)}) }) }
	s.send(WANUp{})
	s.run(time.Minute, s.connected)
	s.gws[key(1)].alive = false
	s.asks = 0
	s.run(4*time.Minute, nil)
	if s.asks < 3 || s.asks > 18 {
		t.Errorf("%d questions in three minutes", s.asks)
	}
	aimed := s.gws[key(1)].aim
	if aimed < 3 {
		t.Errorf("the silent one was pointed at another of its addresses %d times", aimed)
	}
	s.broker = func(s *sim) { s.after(time.Second, func() { s.send(BrokerAnswered{[]Peer{peer(2)}}) }) }
	s.run(20*time.Minute, func() bool { return s.connected() && *s.current == key(2) })
	if !s.connected() || *s.current != key(2) {
		t.Error("the other gateway was never taken")
	}
}

// No gateway answers: the broker is asked again, seldom, and a gateway that comes back is found.
func TestAllDeadThenBack(t *testing.T) {
	s := newSim(t, 7, true, 3)
	for _, g := range s.gws {
		g.alive = false
	}
	s.broker = func(s *sim) { s.after(50*time.Millisecond, func() { s.send(BrokerAnswered{peers(3)}) }) }
	s.send(WANUp{})
	s.run(time.Hour, nil)
	if s.asks < 60 || s.asks > 360 {
		t.Errorf("%d questions to the broker in an hour", s.asks)
	}
	if s.installs > 60*3*60 {
		t.Errorf("%d handshakes started in an hour", s.installs)
	}
	s.gws[key(2)].alive = true
	back := s.now
	s.run(2*time.Hour, s.connected)
	if !s.connected() || s.now.Sub(back) > 90*time.Second {
		t.Errorf("connected=%v %v after a gateway came back", s.connected(), s.now.Sub(back))
	}
}

func connect(t *testing.T, seed int64, gws int) *sim {
	t.Helper()
	s := newSim(t, seed, false, gws)
	s.send(Static{peers(gws)})
	s.send(WANUp{})
	s.run(time.Minute, s.connected)
	s.run(s.now.Sub(epoch)+time.Minute, nil)
	if s.e.State() != Connected {
		t.Fatalf("state %v", s.e.State())
	}
	return s
}

func TestFailover(t *testing.T) {
	for seed := int64(0); seed < 30; seed++ {
		s := connect(t, seed, 3)
		old := *s.current
		s.gws[old].alive = false
		died := s.now
		s.run(time.Hour, func() bool { return s.current != nil && *s.current != old })
		if got := s.now.Sub(died); got > 10*time.Second {
			t.Errorf("seed %d: failover took %v", seed, got)
		}
		if _, ok := s.installed[old]; ok {
			t.Errorf("seed %d: the dead gateway is still on the device", seed)
		}
	}
}

// The whole line is silent for a while: nothing is switched, and the old gateway is kept.
func TestLineDownKeepsGateway(t *testing.T) {
	s := connect(t, 2, 3)
	old := *s.current
	for _, g := range s.gws {
		g.alive = false
	}
	s.run(s.now.Sub(epoch)+time.Minute, nil)
	if s.e.State() != Suspect || s.current == nil || *s.current != old {
		t.Fatalf("state %v", s.e.State())
	}
	for _, g := range s.gws {
		g.alive = true
	}
	s.run(s.now.Sub(epoch)+time.Minute, nil)
	if s.e.State() != Connected || *s.current != old && len(s.promotes) > 2 {
		t.Errorf("state %v, promotions %v", s.e.State(), s.promotes)
	}
}

func TestGiveUpAfterSessionIsVoid(t *testing.T) {
	s := connect(t, 2, 1)
	s.gws[key(1)].alive = false
	s.run(s.now.Sub(epoch)+4*time.Minute, nil)
	if _, ok := s.e.Current(); ok {
		t.Fatal("still holds a gateway that was silent for four minutes")
	}
	s.gws[key(1)].alive = true
	s.run(s.now.Sub(epoch)+2*time.Minute, s.connected)
	if !s.connected() {
		t.Error("did not come back")
	}
}

// A gateway that shakes hands but is dead inside is left for one that works; when all are like that, the node does not
// flap.
func TestMuteGateway(t *testing.T) {
	for seed := int64(0); seed < 20; seed++ {
		s := newSim(t, seed, false, 3)
		s.gws[key(1)].mute = true
		s.gws[key(2)].mute = true
		s.send(Static{peers(3)})
		s.send(WANUp{})
		s.run(time.Minute, nil)
		if *s.current != key(3) || s.e.Mute() {
			t.Errorf("seed %d: uses %v, mute=%v", seed, *s.current, s.e.Mute())
		}
		s = newSim(t, seed, false, 3)
		for _, g := range s.gws {
			g.mute = true
		}
		s.send(Static{peers(3)})
		s.send(WANUp{})
		s.run(10*time.Minute, nil)
		if len(s.promotes) != 3 || !s.e.Mute() || s.e.State() != Connected {
			t.Errorf("seed %d: %d promotions among three mute gateways, state %v", seed, len(s.promotes), s.e.State())
		}
	}
}

// The only gateway falls silent: its other addresses are tried, its session is kept, and the key is registered again.
func TestOnlyGatewaySilent(t *testing.T) {
	s := newSim(t, 1, true, 1)
	s.broker = func(s *sim) { s.after(10*time.Millisecond, func() { s.send(BrokerAnswered{}) }) }
	s.send(Static{peers(1)})
	s.send(WANUp{})
	s.run(time.Minute, nil)
	g := s.gws[key(1)]
	g.alive = false
	died, asks := s.now, s.asks
	s.run(s.now.Sub(epoch)+time.Minute, func() bool { return g.aim > 0 })
	if took := s.now.Sub(died); took > 10*time.Second {
		t.Errorf("its other address was tried after %v", took)
	}
	s.run(s.now.Sub(epoch)+10*time.Second, func() bool { return s.asks > asks })
	if s.asks == asks {
		t.Fatal("the key was not registered again")
	}
	// It lost the key, and has it back now: the next registration brings it to life.
	g.alive = true
	s.run(s.now.Sub(epoch)+time.Minute, func() bool { return s.e.State() == Connected })
	if s.e.State() != Connected || len(s.promotes) != 1 {
		t.Errorf("state %v, promotions %d", s.e.State(), len(s.promotes))
	}
}

// The gateway in use is mute, the other one dead: the dead one is tried now and then, and the broker is left alone.
func TestMuteBesideDead(t *testing.T) {
	for seed := int64(0); seed < 20; seed++ {
		s := newSim(t, seed, true, 2)
		s.gws[key(1)].mute, s.gws[key(2)].alive = true, false
		s.broker = func(s *sim) { s.after(10*time.Millisecond, func() { s.send(BrokerAnswered{peers(2)}) }) }
		s.send(WANUp{})
		s.run(5*time.Minute, nil)
		asks := s.asks
		s.run(2*time.Hour, nil)
		if s.asks != asks || s.e.State() == Racing || *s.current != key(1) {
			t.Errorf("seed %d: %d more questions to the broker, state %v", seed, s.asks-asks, s.e.State())
		}
		if s.rotated != 0 {
			t.Errorf("seed %d: changed its port %d times beside a gateway that it reaches", seed, s.rotated)
		}
		s.gws[key(2)].alive = true
		s.run(2*time.Hour+11*time.Minute, nil)
		if *s.current != key(2) || s.e.Mute() {
			t.Errorf("seed %d: still with the mute one", seed)
		}
	}
}

func TestAdoptedStays(t *testing.T) {
	s := newSim(t, 1, true, 3)
	s.broker = func(*sim) { t.Error("asked the broker with a working gateway in hand") }
	s.send(Static{peers(1)})
	s.installed[key(2)] = 1
	k := key(2)
	s.current = &k
	s.send(Adopted{peer(2)})
	s.send(WANUp{})
	s.run(time.Hour, nil)
	if s.installs != 0 || *s.current != key(2) {
		t.Errorf("%d handshakes started beside an adopted gateway", s.installs)
	}
}

func TestReload(t *testing.T) {
	s := connect(t, 4, 3)
	in := *s.current
	s.send(Static{peers(3)})
	if *s.current != in || s.e.State() != Connected {
		t.Fatal("a reload without a change moved the gateway")
	}
	var rest []Peer
	for _, p := range peers(3) {
		if p.PublicKey != in {
			rest = append(rest, p)
		}
	}
	s.send(Static{rest})
	if _, ok := s.installed[in]; ok {
		t.Fatal("a gateway that is no longer configured stays on the device")
	}
	s.run(s.now.Sub(epoch)+time.Minute, s.connected)
	if !s.connected() {
		t.Error("did not move on")
	}
}

func TestUnresolvableIsPassedOver(t *testing.T) {
	s := newSim(t, 1, false, 3)
	s.send(Static{peers(3)})
	acts := s.e.Handle(WANUp{}, s.now)
	first := acts[0].(Install).Peer
	next := s.e.Handle(Failed{first.PublicKey}, s.now)
	if len(next) != 2 || next[0] != (Action)(nil) && next[0].(Remove).Peer.PublicKey != first.PublicKey {
		t.Fatalf("got %v", next)
	}
	if p := next[1].(Install).Peer; p.PublicKey == first.PublicKey {
		t.Error("tried the same one again")
	}
}

func TestWANFlap(t *testing.T) {
	s := connect(t, 6, 3)
	in := *s.current
	n := s.installs
	s.send(WANDown{})
	down, acts := s.now, s.acts
	// What came before the WAN went is seen within Look, and dated so: the session's age follows from it.
	if at, ok := s.e.Next(); !ok || at.After(down.Add(s.e.t.Look)) {
		t.Errorf("the next look is at %v (%v)", at.Sub(down), ok)
	}
	s.run(s.now.Sub(epoch)+2*time.Minute, nil)
	if s.acts != acts {
		t.Errorf("%d actions without a WAN", s.acts-acts)
	}
	s.send(WANUp{})
	s.run(s.now.Sub(epoch)+time.Minute, nil)
	if *s.current != in || s.installs != n {
		t.Errorf("the flap cost %d handshakes", s.installs-n)
	}
}

// Random worlds: gateways come and go, the line flaps, the broker fails. The sim checks the promises at each step; in
// the end some gateway lives for good, and the node must use it, with a bounded number of actions.
func TestRandomWorlds(t *testing.T) {
	for seed := int64(0); seed < 300; seed++ {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		n := 1 + r.IntN(6)
		broker := r.IntN(2) == 0
		s := newSim(t, seed, broker, n)
		s.broker = func(s *sim) {
			switch r.IntN(4) {
			case 0:
				s.after(time.Duration(r.IntN(20))*time.Second,
					func() { s.send(BrokerFailed{time.Duration(r.IntN(30)) * time.Second}) })
			default:
				p := peer(1 + r.IntN(n))
				p.Preferred = true
				s.after(time.Duration(r.IntN(3000))*time.Millisecond, func() { s.send(BrokerAnswered{[]Peer{p}}) })
			}
		}
		s.send(Static{peers(1 + r.IntN(n))})
		s.send(WANUp{})
		for at := time.Duration(0); at < 30*time.Minute; at += time.Duration(r.IntN(40000)) * time.Millisecond {
			s.run(at, nil)
			switch r.IntN(10) {
			case 0:
				s.send(WANDown{})
			case 1, 2:
				s.send(WANUp{})
			case 3:
				s.send(Static{peers(1 + r.IntN(n))})
			default:
				g := s.gws[key(1+r.IntN(n))]
				g.alive = !g.alive
				g.rtt = time.Duration(10+r.IntN(3000)) * time.Millisecond
				g.mute = r.IntN(5) == 0
			}
		}
		s.send(WANUp{})
		s.send(Static{peers(n)})
		only := key(1 + r.IntN(n)) // half of the worlds end with a single gateway alive
		all := r.IntN(2) == 0
		for k, g := range s.gws {
			g.alive, g.mute = all || k == only, false
		}
		from := s.now.Sub(epoch)
		s.run(from+5*time.Minute, nil)
		s.acts = 0
		s.run(from+10*time.Minute, nil)
		if s.e.State() != Connected || s.e.Mute() {
			t.Errorf("seed %d: state %v, mute %v though gateways live", seed, s.e.State(), s.e.Mute())
		}
		if !all && (s.current == nil || *s.current != only) {
			t.Errorf("seed %d: not with the only gateway alive", seed)
		}
		if perMinute := s.acts / 5; perMinute > 60 {
			t.Errorf("seed %d: %d actions per minute at rest", seed, perMinute)
		}
	}
}

// Peers that stand by need not wait for their turn when no gateway is in use, and are no rivals of a gateway that is.
func TestStandby(t *testing.T) {
	for _, standby := range []bool{true, false} {
		e := New(Config{Timing: Default(), Standby: standby, Intn: func(int64) int64 { return 0 }})
		now := epoch
		e.Handle(Static{peers(2)}, now)
		e.Handle(WANUp{}, now)
		for e.State() != Waiting {
			now, _ = e.Next()
			e.Handle(Tick{}, now)
		}
		acts := e.Handle(Handshake{key(2)}, now)
		cur, ok := e.Current()
		if ok != standby || standby && (cur.PublicKey != key(2) || e.State() != Connected) {
			t.Errorf("standby %v: in use %q, state %v, actions %+v", standby, cur.Name, e.State(), acts)
		}
		if !standby {
			continue
		}
		e.Handle(Handshake{key(1)}, now)
		if cur, _ := e.Current(); cur.PublicKey != key(2) {
			t.Error("a handshake of a peer that stands by took a live gateway's place")
		}
	}
}
