package peerselector

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// fleet is many nodes with the same gateways, each with an engine and a chance of its own.
type fleet struct {
	t     *testing.T
	nodes []*sim
	gws   int
}

func newFleet(t *testing.T, seed int64, nodes, gws int) *fleet {
	f := &fleet{t: t, gws: gws}
	for i := range nodes {
		s := newSim(t, seed<<32+int64(i), false, gws)
		s.send(Static{peers(gws)})
		s.send(WANUp{})
		f.nodes = append(f.nodes, s)
	}
	return f
}

func (f *fleet) run(d time.Duration) {
	for _, s := range f.nodes {
		s.rest(d)
	}
}

// each changes a gateway as all nodes see it.
func (f *fleet) each(gw int, change func(*gateway)) {
	for _, s := range f.nodes {
		change(s.gws[key(gw)])
	}
}

// load is how many nodes use each gateway, and how many times any was promoted; those without a gateway fail the test.
func (f *fleet) load() (by map[Key]int, promotions int) {
	by = map[Key]int{}
	for i, s := range f.nodes {
		promotions += len(s.promotes)
		if s.current == nil || s.e.State() != Connected {
			f.t.Fatalf("node %d is not connected: state %v", i, s.e.State())
		}
		by[*s.current]++
	}
	return by, promotions
}

const fleetSize = 10_000

// All gateways alive and equally near: each gets the same load. One start of the fleet is a draw of 10,000, whose
// chance alone is 43 nodes (1.7 % of 2500) wide; so each gateway's share must be within 2 % of the fleet after every
// start, and within 2 % of its ideal share over many starts.
func TestFleetLoad(t *testing.T) {
	const gws, starts = 4, 10
	sum := map[Key]int{}
	for seed := int64(1); seed <= starts; seed++ {
		f := newFleet(t, seed, fleetSize, gws)
		f.run(time.Second)
		by, _ := f.load()
		for i := 1; i <= gws; i++ {
			n := by[key(i)]
			sum[key(i)] += n
			if share := float64(n) / fleetSize; math.Abs(share-1.0/gws) > 0.02 {
				t.Errorf("start %d: gw%d has %d of %d nodes", seed, i, n, fleetSize)
			}
		}
	}
	const ideal = fleetSize * starts / gws
	for i := 1; i <= gws; i++ {
		if off := float64(sum[key(i)])/ideal - 1; math.Abs(off) > 0.02 {
			t.Errorf("gw%d has %.2f %% more than its share over %d starts", i, 100*off, starts)
		}
	}
}

// One of four gateways dies and comes back: its nodes move, once, and evenly; no other node does, and none flaps.
func TestFleetOneDiesAndReturns(t *testing.T) {
	const gws = 4
	f := newFleet(t, 1, fleetSize, gws)
	f.run(30 * time.Second)
	before, promotions := f.load()
	if promotions != fleetSize {
		t.Fatalf("%d promotions at the start of %d nodes", promotions, fleetSize)
	}
	f.each(1, func(g *gateway) { g.alive = false })
	f.run(15 * time.Second)
	without, promotions := f.load()
	if moved := before[key(1)]; without[key(1)] != 0 || promotions != fleetSize+moved {
		t.Errorf("%d promotions, %d still at the dead gateway; %d had to move", promotions-fleetSize,
			without[key(1)], moved)
	}
	for i := 2; i <= gws; i++ {
		if share := float64(without[key(i)]) / fleetSize; math.Abs(share-1.0/3) > 0.02 {
			t.Errorf("gw%d has %d nodes after the death of gw1", i, without[key(i)])
		}
	}
	f.each(1, func(g *gateway) { g.alive = true })
	f.run(5 * time.Minute)
	if after, again := f.load(); again != promotions || fmt.Sprint(after) != fmt.Sprint(without) {
		t.Errorf("%d nodes moved when gw1 came back", again-promotions)
	}
}

// With rebalancing the gateway that came back gets its share within two periods, and never many nodes at once.
func TestFleetRebalances(t *testing.T) {
	const nodes, gws, period = 400, 4, 30 * time.Minute
	f := &fleet{t: t, gws: gws}
	for i := range nodes {
		s := newSim(t, int64(i), false, gws)
		s.send(Rebalance{period})
		s.gws[key(1)].alive = false
		s.send(Static{peers(gws)})
		s.send(WANUp{})
		f.nodes = append(f.nodes, s)
	}
	f.run(5 * time.Second)
	f.each(1, func(g *gateway) { g.alive = true })
	_, last := f.load()
	for part := 1; part <= 30; part++ {
		f.run(period / 10)
		_, now := f.load()
		if moved := now - last; moved > nodes/6 {
			t.Errorf("%d of %d nodes moved within tenth %d of a period", moved, nodes, part)
		}
		last = now
	}
	by, _ := f.load()
	for i := 1; i <= gws; i++ {
		// 100 expected, standard deviation 8.7.
		if n := by[key(i)]; n < 65 || n > 135 {
			t.Errorf("gw%d has %d of %d nodes three periods after gw1 came back", i, n, nodes)
		}
	}
}
