package wgkex

import (
	"sort"

	"wguplink/peerselector"
)

// choose picks the best online gateway of a domain and counts a client there, as the real broker does between the
// reports of its workers. It returns nil when none is online.
//
// Best is the lowest difference between a worker's peers and its share of all peers by weight, over all domains
// (wgkex/broker/metrics.py, get_best_worker); the first configured of equals. Gateways at the wished location go before
// all others; where there is none online, the wish is ignored.
func (b *Broker) choose(domain, location string) *Gateway {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.domain(domain)
	if d == nil {
		return nil
	}

	weights, peers := make(map[string]int), make(map[string]int)
	var totalWeight, totalPeers int
	for _, dom := range b.domains {
		for _, g := range dom.Gateways {
			if _, seen := weights[g.Name]; !seen {
				weights[g.Name] = max(g.Weight, 1)
				totalWeight += weights[g.Name]
			}
			peers[g.Name] += max(g.Peers, 0)
			totalPeers += max(g.Peers, 0)
		}
	}

	best := func(eligible func(*Gateway) bool) *Gateway {
		var found *Gateway
		var lowest float64
		for i := range d.Gateways {
			g := &d.Gateways[i]
			if !g.Online || g.Peers < 0 || !eligible(g) {
				continue
			}
			share := float64(weights[g.Name]) / float64(totalWeight) * float64(totalPeers)
			if diff := float64(peers[g.Name]) - share; found == nil || diff < lowest {
				found, lowest = g, diff
			}
		}
		return found
	}
	var g *Gateway
	if location != "" {
		g = best(func(g *Gateway) bool { return g.Location == location })
	}
	if g == nil {
		g = best(func(*Gateway) bool { return true })
	}
	if g == nil {
		return nil
	}
	g.Peers++
	b.chosen[g.Name]++
	c := *g
	return &c
}

// locations returns the distinct locations of all gateways, sorted.
func (b *Broker) locations() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(map[string]bool)
	list := []string{}
	for _, d := range b.domains {
		for _, g := range d.Gateways {
			if g.Location != "" && !seen[g.Location] {
				seen[g.Location] = true
				list = append(list, g.Location)
			}
		}
	}
	sort.Strings(list)
	return list
}

// publish sends a key to all connected gateways of a domain, each after its own delay. Whether the broker thinks a
// gateway online does not matter, as with MQTT: the topic has all its subscribers.
func (b *Broker) publish(domain string, key peerselector.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.domain(domain)
	if d == nil || b.closed {
		return
	}
	for _, g := range d.Gateways {
		w := b.workers[g.Name]
		if w == nil {
			continue
		}
		p := Publication{Domain: domain, Key: key, Gateway: g.Name, Delay: b.o.Delay()}
		b.pending.Add(1)
		go func() {
			defer b.pending.Done()
			if p.Delay > 0 {
				select {
				case <-b.o.After(p.Delay):
				case <-b.closing:
					return
				}
			}
			p.Err = w.AddKey(p.Domain, p.Key)
			if b.o.OnPublish != nil {
				b.o.OnPublish(p)
			}
		}()
	}
}
