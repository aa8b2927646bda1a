package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"wguplink/agent/broker"
	"wguplink/peerselector"
)

// WireGuard's own times (its paper, section 6.1).
const (
	rekeyTimeout = 5 * time.Second
	rekeyAfter   = 120 * time.Second
)

// link is a node's WireGuard peer of one gateway.
type link struct {
	generation int // 0: it is not on the device
	shaken     bool
}

// node is one node: the router's engine, its client of the broker, and a WireGuard.
type node struct {
	f      *Fleet
	key    peerselector.Key
	client *broker.Client
	engine *peerselector.Engine
	rand   *rand.Rand
	chance uint64        // seeds the engine's own chance
	given  []given       // with Options.Record
	delay  time.Duration // one way to gateways and broker
	boots  int

	links      []link
	generation int
	current    int       // gateway in use, by number; -1: none
	timer      time.Time // when it rings; zero: it is not set
	timers     uint64

	since time.Time // the start, or the moment since which it waits
	back  time.Time // the first sign of life of a gateway in use after that; zero: none yet
	moves int
}

// newEngine makes the engine of the present boot; each time the same.
func (n *node) newEngine() *peerselector.Engine {
	timing := peerselector.Default().For(n.f.o.Hint)
	if n.f.o.Look != 0 {
		timing.Look = n.f.o.Look
	}
	chance := rand.New(rand.NewPCG(n.chance, uint64(n.boots)))
	return peerselector.New(peerselector.Config{Timing: timing, Broker: true, Intn: chance.Int64N})
}

// start boots the node.
func (n *node) start() {
	n.boots++
	n.links = make([]link, len(n.f.gateways))
	n.current = -1
	n.since, n.back = n.f.c.now, time.Time{}
	n.engine = n.newEngine()
	n.send(peerselector.Rebalance{Every: n.f.o.Rebalance})
	n.send(peerselector.Economy{ProbeEvery: n.f.o.ProbeEvery})
	if !n.f.o.NoList {
		n.send(peerselector.Static{Peers: n.f.peers()})
	}
	n.send(peerselector.WANUp{})
}

// stop is a loss of power.
func (n *node) stop() {
	n.boots++
	n.timers++
	n.timer = time.Time{}
	n.links, n.current = nil, -1
}

// await makes the node's present wait begin now.
func (n *node) await() { n.since, n.back = n.f.c.now, time.Time{} }

func (n *node) send(ev peerselector.Event) {
	n.f.Steps++
	acts := n.engine.Handle(ev, n.f.c.now)
	if n.f.o.Record {
		n.given = append(n.given, given{ev, n.f.c.now, len(acts)})
	}
	for _, a := range acts {
		n.do(a)
	}
	n.plan()
}

// plan has the engine called when it wants to be. There is one timer: one that rings too early is set anew.
func (n *node) plan() {
	at, ok := n.engine.Next()
	if !ok || !n.timer.IsZero() && !at.Before(n.timer) {
		return
	}
	n.timer = at
	n.timers++
	mine := n.timers
	n.f.c.at(at, func() {
		if n.timers != mine {
			return
		}
		n.timer = time.Time{}
		if at, ok := n.engine.Next(); ok && !at.After(n.f.c.now) {
			n.send(peerselector.Tick{})
			return
		}
		n.plan()
	})
}

func (n *node) do(a peerselector.Action) {
	switch a := a.(type) {
	case peerselector.Install:
		n.create(n.f.number(a.Peer))
	case peerselector.Renew:
		n.create(n.f.number(a.Peer))
	case peerselector.Promote:
		n.current = n.f.number(a.Peer)
		n.moves++
	case peerselector.Remove:
		g := n.f.number(a.Peer)
		n.links[g] = link{}
		if n.current == g {
			n.current = -1
		}
	case peerselector.Probe:
		n.probe(n.f.number(a.Peer))
	case peerselector.AskBroker:
		n.ask()
	}
}

// create puts a peer on the device, which shakes hands at once and then as WireGuard does.
func (n *node) create(g int) {
	n.generation++
	n.links[g] = link{generation: n.generation}
	n.handshake(g, n.generation)
}

// handshake is one that the node begins, and its repetitions until it is answered.
func (n *node) handshake(g, generation int) {
	gw, boot := n.f.gateways[g], n.boots
	mine := func() bool { return n.boots == boot && n.links[g].generation == generation }
	answered := false
	n.f.c.after(n.delay, func() {
		done, ok := gw.initiation(n.key, generation)
		if !ok {
			return
		}
		n.f.c.at(done.Add(n.delay), func() {
			if !mine() || answered {
				return
			}
			answered = true
			n.links[g].shaken = true
			n.alive(g)
			n.send(peerselector.Handshake{Key: gw.peer.PublicKey})
			n.f.c.after(rekeyAfter, func() {
				if mine() {
					n.handshake(g, generation)
				}
			})
		})
	})
	n.f.c.after(rekeyTimeout+time.Duration(n.rand.Int64N(int64(time.Second/3))), func() {
		if mine() && !answered {
			n.handshake(g, generation)
		}
	})
}

func (n *node) probe(g int) {
	gw, boot, generation, sent := n.f.gateways[g], n.boots, n.links[g].generation, n.f.c.now
	n.f.c.after(n.delay, func() {
		if !gw.answers(n.key, generation) {
			return
		}
		n.f.c.after(n.delay, func() {
			if n.boots == boot && n.links[g].generation == generation {
				n.alive(g)
				n.send(peerselector.Alive{Key: gw.peer.PublicKey, Reply: true, RTT: n.f.c.now.Sub(sent)})
			}
		})
	})
}

// alive notes a sign of life for the figures.
func (n *node) alive(g int) {
	if n.back.IsZero() && n.current == g {
		n.back = n.f.c.now
	}
}

// ask has the router's client ask the broker. The exchange itself takes no virtual time; its way does.
func (n *node) ask() {
	boot := n.boots
	n.f.c.after(2*n.delay, func() { // the connection takes a round trip
		a, err := n.client.Register(context.Background(), n.key)
		n.f.c.after(n.delay, func() {
			switch {
			case n.boots != boot:
			case err == nil:
				n.send(peerselector.BrokerAnswered{Peers: a.Peers})
			default:
				var e *broker.Error
				after := time.Duration(0)
				if errors.As(err, &e) {
					after = e.RetryAfter
				}
				n.send(peerselector.BrokerFailed{RetryAfter: after})
			}
		})
	})
}
