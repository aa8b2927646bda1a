// Package fleet lets thousands of nodes share brokers and gateways, in virtual time. A node is the router's own state
// machine (peerselector) and the router's own client of the broker; broker and workers are the lab's, which answer as
// the real ones do, with the real worker's schedule and speed. WireGuard, the network and time are simulated.
package fleet

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"wguplink/agent/broker"
	"wguplink/peerselector"
	"wguplink/testbed/mqtt"
	"wguplink/testbed/wgkex"
	"wguplink/testbed/worker"
)

const (
	domain      = "city"
	gatewayPort = 51820
	// keyWork is what a key costs a real worker (measured: 5 ms of CPU, 200 keys a second).
	keyWork = 5 * time.Millisecond
	// willAfter is when the broker learns of a worker that was killed, by its last will (measured with Mosquitto: up to
	// 7.5 s).
	willAfter = 7500 * time.Millisecond
)

// Options of a Fleet. Nodes and Gateways are required.
type Options struct {
	Nodes    int
	Gateways int
	// Hint is what the nodes are told of their number; 0: nothing.
	Hint int
	Seed uint64
	// OwnChoice has the nodes choose by chance; else the broker names a gateway.
	OwnChoice bool
	// NoList has nodes know only those gateways that the broker has named.
	NoList    bool
	Rebalance time.Duration
	// ProbeEvery and Look replace the engine's times, for runs of many hours; 0: the router's own.
	ProbeEvery, Look time.Duration
	// Record keeps the events that engines are given, for Costs.
	Record bool
}

// Fleet is all of it. It is driven by one goroutine.
type Fleet struct {
	o        Options
	c        clock
	rand     *rand.Rand
	bus      mqtt.Memory
	broker   *wgkex.Broker
	server   *http.Server
	pipes    *pipes
	gateways []*gateway
	workers  []*worker.Worker // nil while one is away
	nodes    []*node
	requests series // to the broker, also in vain
	// Steps counts the events that engines were given.
	Steps int
}

// New makes a fleet with gateways, workers and broker at work, and nodes without power.
func New(o Options) (*Fleet, error) {
	f := &Fleet{o: o, c: clock{now: epoch}, rand: rand.New(rand.NewPCG(o.Seed, 0)), pipes: newPipes()}
	f.broker = wgkex.New(wgkex.Options{Domains: []string{domain}, Publish: f.bus.Publish})
	if err := f.broker.Listen(&f.bus); err != nil {
		return nil, err
	}
	f.server = &http.Server{Handler: f.broker}
	go func() { _ = f.server.Serve(f.pipes) }() // it ends with Close
	for i := range o.Gateways {
		f.gateways = append(f.gateways, &gateway{
			c: &f.c, index: i, peer: gatewayPeer(i), alive: true, arrived: new(series), vain: new(series),
			known: make(map[peerselector.Key]time.Time), sessions: make(map[peerselector.Key]int),
		})
		f.workers = append(f.workers, nil)
		if err := f.startWorker(i); err != nil {
			return nil, err
		}
	}
	for i := range o.Nodes {
		if err := f.addNode(i); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Close ends the server.
func (f *Fleet) Close() error {
	f.broker.Close()
	return f.server.Close()
}

func (f *Fleet) addNode(i int) error {
	n := &node{f: f, current: -1, rand: rand.New(rand.NewPCG(f.o.Seed, uint64(i)+1))}
	for b := range n.key {
		n.key[b] = byte(n.rand.Uint32())
	}
	// Round trips of 10 to 60 ms.
	n.delay = 5*time.Millisecond + time.Duration(n.rand.Int64N(int64(25*time.Millisecond)))
	n.chance = n.rand.Uint64()
	var err error
	n.client, err = broker.New(broker.Options{
		Bases: []*url.URL{{Scheme: "http", Host: "broker.example.org"}}, Domain: domain,
		OwnChoice: f.o.OwnChoice, Dial: f.dial,
		Now: func() time.Time { return f.c.now }, Intn: n.rand.Int64N,
	})
	if err != nil {
		return err
	}
	f.nodes = append(f.nodes, n)
	return nil
}

func gatewayPeer(i int) peerselector.Peer {
	link := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(i + 1)})
	return peerselector.Peer{
		Name: fmt.Sprintf("gw%d", i+1), PublicKey: peerselector.Key{0: byte(i + 1), 31: 1},
		Endpoints: []string{fmt.Sprintf("gw%d.example.org:%d", i+1, gatewayPort)}, LinkAddress: link,
		AllowedIPs: []netip.Prefix{netip.PrefixFrom(link, link.BitLen())},
	}
}

// peers is the configured list.
func (f *Fleet) peers() []peerselector.Peer {
	var all []peerselector.Peer
	for _, g := range f.gateways {
		all = append(all, g.peer)
	}
	return all
}

// number is a gateway's place in the list.
func (f *Fleet) number(p peerselector.Peer) int { return int(p.PublicKey[0]) - 1 }

// startWorker starts the worker of a gateway: it looks at its queue each second and works it off one key after the
// other.
func (f *Fleet) startWorker(i int) error {
	g := f.gateways[i]
	w := worker.New(worker.Config{
		Name: g.peer.Name, ExternalName: g.peer.Name + ".example.org", Domains: map[string]worker.Device{domain: g},
		Now: func() time.Time { return f.c.now },
	})
	f.workers[i] = w
	if err := w.Connected(&f.bus); err != nil {
		return err
	}
	here := func() bool { return f.workers[i] == w }
	var work func()
	work = func() {
		switch {
		case !here():
		case w.WorkOne():
			f.c.after(keyWork, work)
		default:
			f.c.after(worker.PollEvery, work)
		}
	}
	f.c.after(time.Duration(f.rand.Int64N(int64(worker.PollEvery))), work)
	f.c.after(worker.ReportEvery, func() {
		f.c.every(worker.ReportEvery, func() bool {
			if here() {
				w.Report()
			}
			return here()
		})
	})
	f.c.after(worker.FlushEvery, func() {
		f.c.every(worker.FlushEvery, func() bool {
			if here() {
				w.Flush()
			}
			return here()
		})
	})
	return nil
}

// kill takes a gateway and its worker away, without a word.
func (f *Fleet) kill(i int) {
	w := f.workers[i]
	f.gateways[i].alive = false
	f.workers[i] = nil
	f.c.after(willAfter, func() {
		if f.workers[i] == nil {
			_ = f.bus.Publish(w.Will()) // in memory
		}
	})
}

// bring brings a gateway back as after a reboot: without sessions, with the keys or without.
func (f *Fleet) bring(i int, keepKeys bool) error {
	f.gateways[i].alive = true
	f.gateways[i].forget(keepKeys)
	return f.startWorker(i)
}

// dial is the nodes' way to the broker.
func (f *Fleet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.requests.count(f.c.now)
	return f.pipes.dial(ctx)
}

// boot gives all nodes power within a time, as a town that comes back does.
func (f *Fleet) boot(within time.Duration) {
	for _, n := range f.nodes {
		n.stop()
		f.c.after(time.Duration(f.rand.Int64N(int64(within))), n.start)
	}
}

// Load is how many nodes use each gateway, and how far the one furthest off is from its share, in per cent of that
// share.
func (f *Fleet) Load() (by []int, off float64) {
	by = make([]int, len(f.gateways))
	all := 0
	for _, n := range f.nodes {
		if n.current >= 0 {
			by[n.current]++
			all++
		}
	}
	for _, n := range by {
		share := float64(all) / float64(len(by))
		off = max(off, 100*math.Abs(float64(n)-share)/share)
	}
	return by, off
}
