package peerselector

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// gateway is how one gateway behaves towards the simulated node.
type gateway struct {
	alive bool
	rtt   time.Duration
	known time.Time     // when it learned our key
	mute  bool          // shakes hands, but answers nothing inside the tunnel
	aim   int           // how often the node was pointed at another of its addresses
	port  int           // the node's source port that a stuck NAT lets through; 0: any
	poll  time.Duration // it answers inside the tunnel only from its next poll after a handshake on; 0: at once
	phase time.Duration // of its polls
	ready time.Time     // that poll
	shook time.Time     // the latest handshake
}

// polls says when a gateway with a polling glue is ready for a handshake of that moment.
func (g *gateway) polls(now time.Time) {
	if g.shook = now; g.poll > 0 && (g.ready.IsZero() || now.Sub(g.shook) > 3*time.Minute) {
		g.ready = epoch.Add(g.phase + ((now.Sub(epoch)+g.poll-g.phase)/g.poll)*g.poll)
	}
}

// judge is told of a broken promise; Fatalf does not return.
type judge interface {
	Fatalf(format string, args ...any)
}

// sim carries an Engine's actions out in virtual time and holds it to its promises after every step.
type sim struct {
	t         judge
	e         *Engine
	now       time.Time
	gws       map[Key]*gateway
	queue     []timed
	installed map[Key]int // generation of the peer on the device; absent: not there
	shaken    map[Key]int // the generation that has a session
	gen       int
	lastInit  map[Key]time.Time
	current   *Key
	promoted  map[Key]bool // who has allowed IPs
	rotated   int          // how often the source port changed
	loss      float64      // of packets, each way
	rand      *rand.Rand
	tried     map[Key]int // starts in this round
	installs  int
	probes    int
	promotes  []Key
	asks      int
	broker    func(*sim) // what happens when the broker is asked
	acts      int
	askedAt   []time.Time
	line      func(at time.Time) (rtt time.Duration, ok bool) // beside the gateways' round trips; nil: it adds nothing
	// between packets from the gateway in use, which a look at the counters shows
	traffic  time.Duration
	looked   time.Time
	every    time.Duration                // ticks beside those that Next wants; 0: none
	wake     func() (time.Time, bool)     // in the place of Next
	did      func(at time.Time, a Action) // sees each action
	sessions map[Key]*session             // WireGuard's own tries and their age; nil: a session lives for ever
	last     time.Time                    // when something last came from the gateway in use
}

type timed struct {
	at  time.Time
	run func()
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func key(i int) Key {
	var k Key
	k[0], k[1] = byte(i), byte(i>>8)
	return k
}

func peer(i int) Peer {
	return Peer{Name: fmt.Sprintf("gw%d", i), PublicKey: key(i),
		Endpoints:   []string{fmt.Sprintf("gw%d.example.org:51820", i)},
		LinkAddress: netip.MustParseAddr("fe80::1"), AllowedIPs: []netip.Prefix{netip.MustParsePrefix("fe80::1/128")}}
}

func peers(n int) []Peer {
	var ps []Peer
	for i := 1; i <= n; i++ {
		ps = append(ps, peer(i))
	}
	return ps
}

func newSim(t judge, seed int64, broker bool, gws int) *sim {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	s := &sim{t: t, now: epoch, rand: r, promoted: map[Key]bool{}, shaken: map[Key]int{}, gws: map[Key]*gateway{},
		installed: map[Key]int{}, lastInit: map[Key]time.Time{}, tried: map[Key]int{}}
	s.e = New(Config{Timing: Default(), Broker: broker, Intn: r.Int64N})
	for i := 1; i <= gws; i++ {
		s.gws[key(i)] = &gateway{alive: true, rtt: 20 * time.Millisecond}
	}
	return s
}

func (s *sim) after(d time.Duration, f func()) { s.queue = append(s.queue, timed{s.now.Add(d), f}) }

func (s *sim) send(ev Event) {
	began := s.e.began
	switch ev := ev.(type) {
	case Handshake:
		if s.current != nil && ev.Key == *s.current {
			s.last = s.now
		}
	case Alive:
		s.last = s.now
	}
	if _, ok := ev.(BrokerAnswered); ok {
		clear(s.tried) // the key is known only now: what was tried before does not count
	}
	acts := s.e.Handle(ev, s.now)
	if s.e.began != began {
		clear(s.tried)
	}
	for k := range s.tried {
		if s.e.find(k) == nil {
			delete(s.tried, k) // should it be named again, it is a new one
		}
	}
	for _, a := range acts {
		s.acts++
		if s.did != nil {
			s.did(s.now, a)
		}
		s.do(a)
	}
	if len(s.promoted) > 1 {
		s.t.Fatalf("%v: %d peers have allowed IPs", s.now.Sub(epoch), len(s.promoted))
	}
	if cur, ok := s.e.Current(); ok != (s.current != nil) || ok && cur.PublicKey != *s.current {
		s.t.Fatalf("%v: the engine says that %s is in use, its actions %v", s.now.Sub(epoch), cur.Name, s.current)
	}
	if again := s.e.Handle(Tick{}, s.now); len(again) != 0 {
		s.t.Fatalf("%v after %T: a second look at the same instant gave %T %+v (state %v)", s.now.Sub(epoch), ev,
			again[0], again, s.e.State())
	}
	if at, ok := s.e.Next(); ok && !at.After(s.now) {
		s.t.Fatalf("%v: Next is %v, in the past: the caller would spin (state %v)", s.now.Sub(epoch),
			at.Sub(epoch), s.e.State())
	}
}

func (s *sim) do(a Action) {
	switch a := a.(type) {
	case Install:
		k := a.Peer.PublicKey
		s.installs++
		if last, ok := s.lastInit[k]; ok && s.now.Sub(last) < 100*time.Millisecond {
			s.t.Fatalf("%v: %s is created anew after %v", s.now.Sub(epoch), a.Peer.Name, s.now.Sub(last))
		}
		s.lastInit[k] = s.now
		if a.Attempt == 0 {
			if s.tried[k]++; s.tried[k] > 1 {
				s.t.Fatalf("%v: %s is tried twice in one round", s.now.Sub(epoch), a.Peer.Name)
			}
		}
		if s.current != nil && *s.current == k {
			s.t.Fatalf("%v: the gateway in use is created anew", s.now.Sub(epoch))
		}
		s.gen++
		gen := s.gen
		s.installed[k] = gen
		if len(s.installed) > s.e.t.Parallel+1 {
			s.t.Fatalf("%v: %d peers on the device", s.now.Sub(epoch), len(s.installed))
		}
		if s.sessions != nil {
			s.create(k)
			return
		}
		g := s.gws[k]
		if rtt, ok := s.trip(g); ok && !s.now.Before(g.known) {
			s.after(rtt, func() {
				if s.installed[k] == gen && g.alive {
					s.shaken[k] = gen
					g.polls(s.now)
					s.send(Handshake{k})
				}
			})
		}
	case Promote:
		k := a.Peer.PublicKey
		if _, ok := s.installed[k]; !ok {
			s.t.Fatalf("promotes %s, which is not on the device", a.Peer.Name)
		}
		if s.shaken[k] != s.installed[k] {
			s.t.Fatalf("%v: promotes %s, whose session is gone", s.now.Sub(epoch), a.Peer.Name)
		}
		s.promotes = append(s.promotes, k)
		s.current = &k
		s.promoted[k] = true
	case Reaim:
		s.holds("points", a.Peer)
		if g := s.gws[a.Peer.PublicKey]; g != nil {
			g.aim++
		}
	case Renew:
		s.holds("renews", a.Peer)
		k := a.Peer.PublicKey
		if s.sessions != nil {
			s.create(k)
			return
		}
		g := s.gws[k]
		if rtt, ok := s.trip(g); ok && !s.now.Before(g.known) {
			s.after(rtt, func() { s.send(Handshake{k}) })
		}
	case Remove:
		k := a.Peer.PublicKey
		if _, ok := s.installed[k]; !ok {
			s.t.Fatalf("%v: removes %s, which is not on the device", s.now.Sub(epoch), a.Peer.Name)
		}
		delete(s.installed, k)
		delete(s.promoted, k)
		delete(s.sessions, k)
		if s.current != nil && *s.current == k {
			s.current = nil
		}
	case Probe:
		k := a.Peer.PublicKey
		if !a.Peer.LinkAddress.IsValid() {
			s.t.Fatalf("%v: probes %s, which has no address to probe", s.now.Sub(epoch), a.Peer.Name)
		}
		s.probes++
		g := s.gws[k]
		if !s.carries(k) {
			return
		}
		if rtt, ok := s.trip(g); ok && !s.now.Before(g.known) {
			if g.mute || s.now.Before(g.ready) {
				s.after(10*time.Second, func() { s.send(Alive{Key: k}) })
			} else {
				s.after(rtt, func() { s.send(Alive{Key: k, Reply: true, RTT: rtt}) })
			}
		}
	case RotatePort:
		s.rotated++
	case AskBroker:
		s.asks++
		if s.askedAt = append(s.askedAt, s.now); len(s.askedAt) > 5 &&
			s.now.Sub(s.askedAt[len(s.askedAt)-6]) < time.Minute {
			s.t.Fatalf("%v: the sixth question within a minute", s.now.Sub(epoch))
		}
		s.broker(s)
	}
}

// passes says that a packet gets to a gateway, and its answer back.
func (s *sim) passes(g *gateway) bool {
	return g != nil && g.alive && (g.port == 0 || g.port == s.rotated) &&
		s.rand.Float64() >= s.loss && s.rand.Float64() >= s.loss
}

// trip is how long a packet to a gateway and its answer take; ok is false when one of them is lost.
func (s *sim) trip(g *gateway) (rtt time.Duration, ok bool) {
	if !s.passes(g) {
		return 0, false
	}
	rtt, ok = g.rtt, true
	if s.line != nil {
		var more time.Duration
		if more, ok = s.line(s.now); ok {
			rtt += more
			_, ok = s.line(s.now.Add(rtt))
		}
	}
	return rtt, ok
}

// look tells the engine what a look at the counters shows: whether anything came from the gateway in use since the last
// one.
func (s *sim) look() {
	since := s.looked
	s.looked = s.now
	if s.traffic == 0 || s.current == nil {
		return
	}
	g := s.gws[*s.current]
	for at := since.Add(s.traffic).Truncate(s.traffic); g != nil && g.alive &&
		!at.After(s.now); at = at.Add(s.traffic) {
		if (s.line == nil || through(s.line(at))) && at.After(since) {
			s.send(Alive{Key: *s.current})
			return
		}
	}
}

// holds checks that an action is about the gateway in use.
func (s *sim) holds(what string, p Peer) {
	if s.current == nil || *s.current != p.PublicKey {
		s.t.Fatalf("%v: %s %s, which is not in use", s.now.Sub(epoch), what, p.Name)
	}
}

// run lets virtual time pass until d after the epoch, or until done says so.
func (s *sim) run(d time.Duration, done func() bool) {
	end := epoch.Add(d)
	for {
		if done != nil && done() {
			return
		}
		at, ok := s.e.Next()
		if s.wake != nil {
			at, ok = s.wake()
		}
		if more := s.now.Add(s.every); s.every > 0 && (!ok || more.Before(at)) {
			at, ok = more, true
		}
		first := -1
		for i, q := range s.queue {
			if (!ok || !q.at.After(at)) && (first < 0 || q.at.Before(s.queue[first].at)) {
				first = i
			}
		}
		switch {
		case first >= 0 && !s.queue[first].at.After(end):
			q := s.queue[first]
			s.queue = append(s.queue[:first], s.queue[first+1:]...)
			s.now = q.at
			q.run()
		case first < 0 && ok && !at.After(end):
			s.now = at
			s.look()
			s.send(Tick{})
		default:
			s.now = end
			return
		}
	}
}

func (s *sim) connected() bool { return s.current != nil }

func through(_ time.Duration, ok bool) bool { return ok }
