package peerselector

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A round's order with every kind of candidate: the one wished for, the one used before, the broker's choice, and those
// that failed last; all of them are in it, once.
func TestOrder(t *testing.T) {
	const n = 400
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1e9, 0)
	e := New(Config{Timing: Default(), Intn: r.Int64N})
	e.wish = &wish{key: key(7)}
	for i := range n {
		c := &candidate{peer: peer(i), last: i == 7 || i == 8 || i == 9}
		c.peer.Preferred = r.IntN(3) == 0
		switch r.IntN(3) {
		case 0:
			c.failed = now.Add(-time.Second)
		case 1:
			c.failed = now.Add(-Default().FailMemory) // long ago
		}
		e.cands = append(e.cands, c)
	}
	e.shuffle(now)
	seen := map[Key]bool{}
	place := func(c *candidate) int {
		p := e.rank(c, now)
		if !c.last {
			p += 10
		}
		if c.peer.PublicKey != key(7) {
			p += 100
		}
		return p
	}
	for i, c := range e.cands {
		seen[c.peer.PublicKey] = true
		if i > 0 && place(c) < place(e.cands[i-1]) {
			t.Errorf("place %d: %d comes after %d", i, place(c), place(e.cands[i-1]))
		}
	}
	if len(e.cands) != n || len(seen) != n {
		t.Errorf("%d candidates, %d keys, of %d", len(e.cands), len(seen), n)
	}
}

// A new list: who stays keeps his history and gets what is new of his address; a name that comes twice counts once, as
// the broker has it.
func TestNewList(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1e9, 0)
	e := New(Config{Timing: Default(), Broker: true, Intn: r.Int64N})
	e.Handle(Static{[]Peer{peer(1), peer(2), peer(3), peer(2)}}, now)
	two := e.find(key(2))
	two.mute = true
	named := peer(2)
	named.Preferred = true
	e.Handle(BrokerAnswered{[]Peer{named, peer(4)}}, now)
	again := peer(2)
	again.Name = "by the list"
	e.Handle(Static{[]Peer{again, peer(3)}}, now)
	var have []Key
	for _, p := range e.Peers() {
		have = append(have, p.PublicKey)
	}
	if c := e.find(key(2)); len(have) != 3 || c != two || !c.mute || !c.peer.Preferred || c.peer.Name == again.Name {
		t.Errorf("%d candidates %v; the second is %+v", len(have), have, c)
	}
	if e.find(key(1)) != nil || e.find(key(3)) == nil || e.find(key(4)) == nil {
		t.Errorf("candidates are %v", have)
	}
}
