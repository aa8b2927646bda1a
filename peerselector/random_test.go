package peerselector

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// anyEvent is an event without regard to whether it makes sense now: late, repeated, or about strangers.
func anyEvent(r *rand.Rand, known int) Event {
	some := func() Key { return key(r.IntN(known + 2)) }
	list := func() (ps []Peer) {
		for range r.IntN(known + 1) {
			p := peer(1 + r.IntN(known))
			p.Preferred = r.IntN(3) == 0
			if r.IntN(6) == 0 {
				p.LinkAddress = netip.Addr{}
			}
			ps = append(ps, p) // with repetitions
		}
		return ps
	}
	switch r.IntN(17) {
	case 0:
		return WANDown{}
	case 1, 2:
		return WANUp{}
	case 3:
		return Static{list()}
	case 4:
		return BrokerAnswered{list()}
	case 5:
		return BrokerFailed{time.Duration(r.IntN(100)) * time.Second}
	case 6:
		return BrokerChanged{}
	case 7:
		return Remembered{peer(1 + r.IntN(known))}
	case 8:
		return Reconnect{some()}
	case 9, 10, 11:
		return Handshake{some()}
	case 12:
		return Failed{some()}
	case 13, 14:
		return Alive{Key: some(), Reply: r.IntN(2) == 0, RTT: time.Duration(r.IntN(6000)) * time.Millisecond}
	case 15:
		return Rebalance{time.Duration(r.IntN(3)) * 5 * time.Minute}
	}
	return Tick{}
}

// device is what the actions make of a WireGuard device. It holds them to what they mean.
type device struct {
	t        *testing.T
	seed     uint64
	on       map[Key]bool
	promoted map[Key]bool
	started  map[Key]time.Time
	asking   bool
	standby  bool // removed peers go on, elsewhere
}

func (d *device) do(a Action, now time.Time) {
	fail := func(what string, k Key) { d.t.Fatalf("seed %d: %s %v: %T", d.seed, what, k, a) }
	switch a := a.(type) {
	case Install:
		k := a.Peer.PublicKey
		if d.promoted[k] {
			fail("a new handshake with the gateway in use", k)
		}
		if last, ok := d.started[k]; ok && a.Attempt > 0 && now.Sub(last) < 100*time.Millisecond {
			fail("created anew too early", k)
		}
		d.on[k], d.started[k] = true, now
	case Promote:
		if !d.on[a.Peer.PublicKey] && !d.standby {
			fail("not on the device", a.Peer.PublicKey)
		}
		d.on[a.Peer.PublicKey], d.promoted[a.Peer.PublicKey] = true, true
	case Remove:
		if !d.on[a.Peer.PublicKey] {
			fail("not on the device", a.Peer.PublicKey)
		}
		delete(d.on, a.Peer.PublicKey)
		delete(d.promoted, a.Peer.PublicKey)
	case Reaim:
		if !d.promoted[a.Peer.PublicKey] {
			fail("not in use", a.Peer.PublicKey)
		}
	case Renew:
		if !d.promoted[a.Peer.PublicKey] {
			fail("not in use", a.Peer.PublicKey)
		}
	case Probe:
		if !d.promoted[a.Peer.PublicKey] || !a.Peer.LinkAddress.IsValid() {
			fail("cannot be probed", a.Peer.PublicKey)
		}
	case AskBroker:
		if d.asking {
			d.t.Fatalf("seed %d: the broker is asked twice at once", d.seed)
		}
		d.asking = true
	}
}

// Any events, in any order: never two peers with allowed IPs, never more than four beside the one in use, a bounded
// number of actions in each minute, and bounded memory.
func TestRandomEvents(t *testing.T) {
	const known, minutes = 8, 20
	for seed := uint64(0); seed < 200; seed++ {
		r := rand.New(rand.NewPCG(seed, 2))
		e := New(Config{Timing: Default(), Broker: r.IntN(2) == 0, Standby: r.IntN(3) == 0, Intn: r.Int64N})
		d := &device{standby: e.cfg.Standby, t: t, seed: seed, on: map[Key]bool{}, promoted: map[Key]bool{},
			started: map[Key]time.Time{}}
		now, acts, events := epoch, 0, 0
		minute := now
		handle := func(ev Event) {
			for _, a := range e.Handle(ev, now) {
				acts++
				d.do(a, now)
			}
			if len(d.promoted) > 1 || len(d.on) > e.t.Parallel+1 {
				t.Fatalf("seed %d: %d of %d peers have allowed IPs after %T", seed, len(d.promoted), len(d.on), ev)
			}
			if cur, ok := e.Current(); ok != (len(d.promoted) == 1) || ok && !d.promoted[cur.PublicKey] {
				t.Fatalf("seed %d: the engine and its actions do not agree about who is in use after %T", seed, ev)
			}
			if at, ok := e.Next(); ok && !at.After(now) {
				t.Fatalf("seed %d: Next is %v after now, not in the future, after %T, state %v", seed, at.Sub(now), ev,
					e.State())
			}
		}
		if r.IntN(3) == 0 {
			p := peer(1)
			d.on[p.PublicKey], d.promoted[p.PublicKey] = true, true
			handle(Adopted{p})
		}
		for now.Sub(epoch) < minutes*time.Minute {
			next := now.Add(time.Duration(r.IntN(4000)) * time.Millisecond)
			for at, ok := e.Next(); ok && at.Before(next); at, ok = e.Next() {
				now = at
				handle(Tick{})
			}
			now = next
			ev := anyEvent(r, known)
			switch ev.(type) {
			case BrokerAnswered, BrokerFailed:
				if !d.asking {
					continue
				}
				d.asking = false
			}
			events++
			handle(ev)
			if now.Sub(minute) >= time.Minute {
				// Each event may start a race anew, of at most eight peers with five attempts each.
				if acts > 60+events*known*6 {
					t.Errorf("seed %d: %d actions in a minute with %d events", seed, acts, events)
				}
				minute, acts, events = now, 0, 0
			}
			if len(e.cands) > known+2 || len(e.broker) > 2*known+2 {
				t.Fatalf("seed %d: %d candidates of %d peers", seed, len(e.cands), known)
			}
		}
	}
}
