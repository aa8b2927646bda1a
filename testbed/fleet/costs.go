package fleet

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/peerselector"
)

// given is an event that an engine was given, and how many actions followed.
type given struct {
	ev   peerselector.Event
	at   time.Time
	acts int
}

// Cost is what a town's first five minutes took, in processor time: what else the machine does is not counted.
type Cost struct {
	Nodes, Steps int
	// Engines is the time of the engines alone, Took that of the whole simulation: with the broker, and with Go's
	// garbage collector.
	Engines, Took time.Duration
}

// PeerCost is what one engine takes with so many gateways, in processor time: for a list of them all, for each step of
// a race in which none answers, and for each step while one is in use.
type PeerCost struct {
	Peers            int
	List, Race, Rest time.Duration
}

// Costs boots towns of these sizes, and measures.
func Costs(o Options, sizes ...int) ([]Cost, error) {
	o.Record = true
	var all []Cost
	for _, n := range sizes {
		o.Nodes, o.Hint = n, n
		began, err := used(unix.CLOCK_PROCESS_CPUTIME_ID)
		if err != nil {
			return nil, err
		}
		f, err := settled(o)
		if err != nil {
			return nil, err
		}
		ended, err := used(unix.CLOCK_PROCESS_CPUTIME_ID)
		if err != nil {
			return nil, err
		}
		engines, err := f.replay()
		if err != nil {
			return nil, err
		}
		all = append(all, Cost{n, f.Steps, engines, ended - began})
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// replay gives new engines the same events once more, one node after the other, and measures these alone. The second
// time counts: then the events are in the processor's caches, as a router's are. Nodes have booted once.
func (f *Fleet) replay() (time.Duration, error) {
	all := time.Duration(0)
	for i, n := range f.nodes {
		again := func() error {
			e := n.newEngine()
			for j, g := range n.given {
				acts := e.Handle(g.ev, g.at)
				e.Next()
				if len(acts) != g.acts {
					return fmt.Errorf("node %d, event %d, %T: %d actions, then %d for the same",
						i, j, g.ev, g.acts, len(acts))
				}
			}
			return nil
		}
		if err := again(); err != nil {
			return 0, err
		}
		took, err := timed(again)
		if err != nil {
			return 0, err
		}
		all += took
	}
	return all, nil
}

// timed gives the processor time that a function takes in its own thread.
func timed(f func() error) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began, err := used(unix.CLOCK_THREAD_CPUTIME_ID)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	ended, err := used(unix.CLOCK_THREAD_CPUTIME_ID)
	return ended - began, err
}

func used(clock int32) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// PeerCosts measures an engine with so many gateways; of several measurements the least counts.
func PeerCosts(sizes ...int) ([]PeerCost, error) {
	const times = 5
	var all []PeerCost
	for _, n := range sizes {
		best := PeerCost{Peers: n}
		for range times {
			c, err := peerCost(n)
			if err != nil {
				return nil, err
			}
			least := func(a *time.Duration, b time.Duration) {
				if *a == 0 || b < *a {
					*a = b
				}
			}
			least(&best.List, c.List)
			least(&best.Race, c.Race)
			least(&best.Rest, c.Rest)
		}
		all = append(all, best)
	}
	return all, nil
}

// peerCost is one measurement. Times of steps are means.
func peerCost(n int) (PeerCost, error) {
	const steps = 200
	chance := rand.New(rand.NewPCG(1, uint64(n)))
	e := peerselector.New(peerselector.Config{Timing: peerselector.Default(), Intn: chance.Int64N})
	now := epoch
	var trying peerselector.Key // one whose handshake is under way
	step := func(ev peerselector.Event) error {
		for _, a := range e.Handle(ev, now) {
			switch a := a.(type) {
			case peerselector.Install:
				trying = a.Peer.PublicKey
			case peerselector.Remove:
				if a.Peer.PublicKey == trying {
					trying = peerselector.Key{}
				}
			}
		}
		at, ok := e.Next()
		if !ok || !at.After(now) {
			return fmt.Errorf("%d gateways: after %T no next step", n, ev)
		}
		now = at
		return nil
	}
	measure := func(parts int, f func() error) (time.Duration, error) {
		took, err := timed(func() error {
			for range parts {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		})
		return took / time.Duration(parts), err
	}
	e.Handle(peerselector.WANUp{}, now)
	c := PeerCost{Peers: n}
	var err error
	list := many(n)
	// The second list has the same gateways: each is looked for among those before.
	if c.List, err = measure(2, func() error { return step(peerselector.Static{Peers: list}) }); err != nil {
		return c, err
	}
	if c.Race, err = measure(steps, func() error { return step(peerselector.Tick{}) }); err != nil {
		return c, err
	}
	for trying == (peerselector.Key{}) {
		if err := step(peerselector.Tick{}); err != nil {
			return c, err
		}
	}
	if err := step(peerselector.Handshake{Key: trying}); err != nil {
		return c, err
	}
	p, ok := e.Current()
	if !ok {
		return c, fmt.Errorf("%d gateways: none is in use after a handshake", n)
	}
	c.Rest, err = measure(steps, func() error {
		return step(peerselector.Alive{Key: p.PublicKey, Reply: true, RTT: 20 * time.Millisecond})
	})
	return c, err
}

// many gives n gateways.
func many(n int) []peerselector.Peer {
	var all []peerselector.Peer
	for i := range n {
		p := peerselector.Peer{Name: fmt.Sprintf("gw%d", i)}
		p.LinkAddress = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: 1})
		binary.BigEndian.PutUint32(p.PublicKey[:], uint32(i+1))
		all = append(all, p)
	}
	return all
}
