// Package worker is the gateway's side of wgkex for the lab: it takes keys from MQTT and gives them to a WireGuard
// device, and tells the broker how many nodes it serves (freifunkMUC/wgkex, wgkex/worker; held against its main branch
// of July 2026 by reading). Its schedule is the real one's: a queue that is looked at once a second and worked off one
// key after the other, a report each minute, a flush each hour. Left out: TLS and passwords towards the MQTT server,
// and prefixes of domains.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"wguplink/peerselector"
	"wguplink/testbed/mqtt"
	"wguplink/testbed/wgkex"
)

// The real worker's schedule (wgkex/worker/msg_queue.py, mqtt.py, app.py, netlink.py).
const (
	PollEvery    = time.Second
	ReportEvery  = 60 * time.Second
	FlushEvery   = time.Hour
	connectedFor = 3 * time.Minute
	staleAfter   = 3 * time.Hour
)

// Device is the WireGuard device of one domain.
type Device interface {
	AddKey(peerselector.Key) error
	RemoveKey(peerselector.Key) error
	// Handshakes gives the time of each peer's last handshake; zero: none yet.
	Handshakes() (map[peerselector.Key]time.Time, error)
	// Data is what nodes need to reach the device, but for the external address.
	Data() (port uint16, key peerselector.Key, linkAddress string)
}

// Assigner is a Device that routes addresses to nodes, which a broker hands out for tunnels of plain IP.
type Assigner interface {
	Assign(peerselector.Key, []netip.Prefix) error
}

// Config of a Worker. Name, ExternalName and Domains are required.
type Config struct {
	Name         string // its host's, and its name in MQTT
	ExternalName string // under which nodes reach it
	Domains      map[string]Device
	Poll         time.Duration    // how often the queue is looked at; default PollEvery
	Log          *slog.Logger     // nil: none
	Now          func() time.Time // nil: time.Now
	// OnKey is called after each key that was worked off, with the error of the device. nil: not wanted.
	OnKey func(domain string, key peerselector.Key, err error)
}

// Worker serves the domains of one gateway.
type Worker struct {
	c Config

	mu      sync.Mutex
	bus     mqtt.Bus // nil before the first connection
	domains map[string]Device
	queue   map[item]struct{}
}

// item is a key that waits. The same key is queued once; a key that was worked off is taken anew.
type item struct {
	domain string
	key    peerselector.Key
}

// New returns a worker that is not connected. It starts nothing.
func New(c Config) *Worker {
	if c.Poll == 0 {
		c.Poll = PollEvery
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Worker{c: c, domains: maps.Clone(c.Domains), queue: make(map[item]struct{})}
}

// Will is what the MQTT server is to publish when the worker dies.
func (w *Worker) Will() mqtt.Message { return wgkex.StatusMessage(w.c.Name, false) }

// Connected subscribes to the keys of all domains, and tells who the worker is. It is to be called after each
// connection.
func (w *Worker) Connected(bus mqtt.Bus) error {
	w.mu.Lock()
	first := w.bus == nil
	w.bus = bus
	domains := slices.Sorted(maps.Keys(w.domains))
	w.mu.Unlock()
	for _, d := range domains {
		if err := w.subscribe(bus, d); err != nil {
			return err
		}
	}
	for _, d := range domains {
		if err := w.publishData(bus, d); err != nil {
			return err
		}
	}
	if err := bus.Publish(wgkex.StatusMessage(w.c.Name, true)); err != nil || !first {
		return err
	}
	w.Report()
	return nil
}

// AddDomain serves one more domain by a device, from now on.
func (w *Worker) AddDomain(domain string, d Device) error {
	w.mu.Lock()
	w.domains[domain] = d
	bus := w.bus
	w.mu.Unlock()
	if bus == nil {
		return nil
	}
	if err := w.subscribe(bus, domain); err != nil {
		return err
	}
	if err := w.publishData(bus, domain); err != nil {
		return err
	}
	return w.report(domain)
}

// Run works off keys, reports and flushes until ctx ends. Then it says that it is gone, as the real worker does when it
// is told to stop; after a Cut of its client that reaches no worker.
func (w *Worker) Run(ctx context.Context) {
	var tasks sync.WaitGroup
	task := func(every time.Duration, f func()) {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			timer := time.NewTimer(every)
			defer timer.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
					f()
					timer.Reset(every)
				}
			}
		}()
	}
	task(w.c.Poll, w.workOff)
	task(ReportEvery, w.Report)
	task(FlushEvery, w.Flush)
	<-ctx.Done()
	tasks.Wait()
	w.leave()
}

// subscribe asks for the keys of a domain, and first for the addresses of its nodes, where the device has a use for
// them.
func (w *Worker) subscribe(bus mqtt.Bus, domain string) error {
	w.mu.Lock()
	d, ok := w.domains[domain].(Assigner)
	w.mu.Unlock()
	if ok {
		err := bus.Subscribe(wgkex.AddressFilter(domain), func(m mqtt.Message) {
			_, key, own, err := wgkex.ParseAddress(m)
			if err == nil {
				err = d.Assign(key, own)
			}
			if err != nil {
				w.c.Log.Error("address not assigned", "err", err)
			}
		})
		if err != nil {
			return err
		}
	}
	return bus.Subscribe(wgkex.KeyFilter(domain), w.take)
}

// take queues a key from the bus.
func (w *Worker) take(m mqtt.Message) {
	domain, key, err := wgkex.ParseKey(m)
	if err != nil {
		w.c.Log.Error("message ignored", "err", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue[item{domain, key}] = struct{}{}
}

// workOff takes keys from the queue, in no order, until it is empty.
func (w *Worker) workOff() {
	for w.WorkOne() {
	}
}

// WorkOne takes one key from the queue and works it off. It reports false when there was none. Run calls it; it is for
// those who keep the schedule themselves, as Report and Flush are.
func (w *Worker) WorkOne() bool {
	w.mu.Lock()
	var next item
	found := false
	for next = range w.queue { // the order of a map is as good as any
		found = true
		break
	}
	delete(w.queue, next)
	d := w.domains[next.domain]
	w.mu.Unlock()
	if !found || d == nil {
		return found
	}
	err := d.AddKey(next.key)
	if err != nil {
		w.c.Log.Error("key not added", "domain", next.domain, "key", next.key, "err", err)
	}
	if w.c.OnKey != nil {
		w.c.OnKey(next.domain, next.key, err)
	}
	return true
}

// Report tells the broker how many nodes each domain has.
func (w *Worker) Report() {
	w.mu.Lock()
	domains := slices.Sorted(maps.Keys(w.domains))
	w.mu.Unlock()
	for _, d := range domains {
		if err := w.report(d); err != nil {
			w.c.Log.Error("no report", "domain", d, "err", err)
		}
	}
}

func (w *Worker) report(domain string) error {
	w.mu.Lock()
	bus, d := w.bus, w.domains[domain]
	w.mu.Unlock()
	if bus == nil {
		return nil
	}
	handshakes, err := d.Handshakes()
	if err != nil {
		return fmt.Errorf("worker %s: %w", w.c.Name, err)
	}
	n := 0
	for _, at := range handshakes {
		if !at.IsZero() && w.c.Now().Sub(at) < connectedFor {
			n++
		}
	}
	return bus.Publish(wgkex.PeersMessage(domain, w.c.Name, n))
}

// Flush removes peers without a handshake for three hours, or without any.
func (w *Worker) Flush() {
	w.mu.Lock()
	domains := maps.Clone(w.domains)
	w.mu.Unlock()
	for name, d := range domains {
		handshakes, err := d.Handshakes()
		if err != nil {
			w.c.Log.Error("no flush", "domain", name, "err", err)
			continue
		}
		for key, at := range handshakes {
			if !at.IsZero() && w.c.Now().Sub(at) < staleAfter {
				continue
			}
			if err := d.RemoveKey(key); err != nil {
				w.c.Log.Error("stale key not removed", "domain", name, "key", key, "err", err)
			}
		}
	}
}

func (w *Worker) publishData(bus mqtt.Bus, domain string) error {
	w.mu.Lock()
	d := w.domains[domain]
	w.mu.Unlock()
	port, key, link := d.Data()
	return bus.Publish(wgkex.DataMessage(domain, w.c.Name, wgkex.WorkerData{
		ExternalAddress: w.c.ExternalName, Port: port, PublicKey: key.String(), LinkAddress: link,
	}))
}

// leave takes the worker off the broker's list.
func (w *Worker) leave() {
	w.mu.Lock()
	bus := w.bus
	domains := slices.Sorted(maps.Keys(w.domains))
	w.mu.Unlock()
	if bus == nil {
		return
	}
	for _, d := range domains {
		_ = bus.Publish(wgkex.PeersMessage(d, w.c.Name, wgkex.Offline)) // the connection may be gone
	}
	_ = bus.Publish(wgkex.StatusMessage(w.c.Name, false))
}
