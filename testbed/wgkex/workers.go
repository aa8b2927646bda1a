package wgkex

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"wguplink/peerselector"
	"wguplink/testbed/mqtt"
)

// worker is what the broker has heard of one worker.
type worker struct {
	name   string
	online bool
	peers  map[string]int        // connected nodes by domain; Offline where a domain is not served
	data   map[string]WorkerData // by domain
}

// total is the number of nodes connected to a worker, over all domains.
func (w *worker) total() int {
	n := 0
	for _, peers := range w.peers {
		n += max(peers, 0)
	}
	return n
}

// serves reports whether a worker is online for a domain: without a count of peers it is not.
func (w *worker) serves(domain string) bool {
	peers, counted := w.peers[domain]
	return w.online && counted && peers > Offline
}

// Listen subscribes the broker to its workers. It is to be called after each connection to the server. A broker that is
// deaf does not subscribe.
func (b *Broker) Listen(bus mqtt.Bus) error {
	b.mu.Lock()
	deaf := b.deaf
	b.mu.Unlock()
	if deaf {
		return nil
	}
	for _, filter := range []string{topicMetrics + "#", topicWorkers + "+/status", topicWorkers + "+/+/data"} {
		if err := bus.Subscribe(filter, b.Hear); err != nil {
			return err
		}
	}
	return nil
}

// SetDeaf makes the broker one whose connection came up before its subscription: it publishes keys and hears of no
// worker, from now on and after each new connection. Seen with the released library after a restart under load.
func (b *Broker) SetDeaf(deaf bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = deaf
	if deaf {
		b.workers = nil // as after a restart
	}
}

// Hear takes a message of a worker. What makes no sense is ignored, as in wgkex.
func (b *Broker) Hear(m mqtt.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf {
		return
	}
	defer func() {
		close(b.heard)
		b.heard = make(chan struct{})
	}()
	levels := strings.Split(m.Topic, "/")
	switch {
	case len(levels) == 4 && levels[0]+"/" == topicMetrics && levels[3] == metricPeers:
		peers, err := strconv.Atoi(string(m.Payload))
		if err == nil && b.serviceable(levels[1]) && levels[2] != "" {
			b.worker(levels[2]).peers[levels[1]] = peers
		}
	case len(levels) == 3 && levels[0]+"/" == topicWorkers && levels[2] == "status":
		if status, err := strconv.Atoi(string(m.Payload)); err == nil {
			b.worker(levels[1]).online = status >= 1
		}
	case len(levels) == 4 && levels[0]+"/" == topicWorkers && levels[3] == "data":
		var d WorkerData
		if json.Unmarshal(m.Payload, &d) == nil && b.serviceable(levels[2]) {
			b.worker(levels[1]).data[levels[2]] = d
		}
	}
}

// worker gives the worker of that name, a new one when there is none. The caller holds mu.
func (b *Broker) worker(name string) *worker {
	for _, w := range b.workers {
		if w.name == name {
			return w
		}
	}
	w := &worker{name: name, peers: make(map[string]int), data: make(map[string]WorkerData)}
	b.workers = append(b.workers, w)
	return w
}

// Heard is closed with the next message of a worker that the broker takes.
func (b *Broker) Heard() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.heard
}

// Peers is how many nodes the broker thinks are connected to a worker in a domain; Offline: it does not serve it.
func (b *Broker) Peers(domain, worker string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.workers {
		if peers, ok := w.peers[domain]; ok && w.name == worker {
			return peers
		}
	}
	return Offline
}

// Online returns the names of the workers that are online for a domain, in the order in which they were first heard of.
func (b *Broker) Online(domain string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var names []string
	for _, w := range b.workers {
		if w.serves(domain) {
			names = append(names, w.name)
		}
	}
	return names
}

// share is a worker's part of all peers. The caller holds mu.
func (b *Broker) share(name string) float64 {
	total := 0
	for _, weight := range b.o.Weights {
		total += max(weight, 1)
	}
	weight, ok := b.o.Weights[name]
	if !ok {
		weight = 1
	}
	return float64(max(weight, 1)) / float64(max(total, 1))
}

// choose picks the best online worker of a domain and counts a node there, as wgkex does between the reports of its
// workers (wgkex/broker/metrics.py, get_best_worker): the one with the lowest difference between its peers and its
// share of all peers, over all domains; the first heard of equals. Workers at the wished location go before all others;
// where there is none online, the wish is ignored. The data is nil while the worker has published none.
func (b *Broker) choose(domain, location string) (name string, data *WorkerData, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := 0
	for _, w := range b.workers {
		all += w.total()
	}
	best := func(eligible func(*worker) bool) *worker {
		var found *worker
		var lowest float64
		for _, w := range b.workers {
			if !w.serves(domain) || !eligible(w) {
				continue
			}
			if diff := float64(w.total()) - b.share(w.name)*float64(all); found == nil || diff < lowest {
				found, lowest = w, diff
			}
		}
		return found
	}
	var w *worker
	if location != "" {
		w = best(func(w *worker) bool { return b.o.Locations[w.name] == location })
	}
	if w == nil {
		w = best(func(*worker) bool { return true })
	}
	if w == nil {
		return "", nil, false
	}
	w.peers[domain]++
	if d, known := w.data[domain]; known {
		data = &d
		b.chosen[w.name]++
	}
	return w.name, data, true
}

// locations returns the distinct locations of all workers, sorted.
func (b *Broker) locations() []string {
	list := []string{}
	for _, l := range b.o.Locations {
		if l != "" && !slices.Contains(list, l) {
			list = append(list, l)
		}
	}
	slices.Sort(list)
	return list
}

// publish hands a key to all workers of a domain. Whether the broker thinks a worker online does not matter: the topic
// has all its subscribers.
func (b *Broker) publish(domain string, key peerselector.Key) {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed || b.o.Publish == nil {
		return
	}
	_ = b.o.Publish(KeyMessage(domain, key)) // wgkex does not look whether it was sent
}
