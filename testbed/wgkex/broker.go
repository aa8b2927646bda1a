// Package wgkex is a broker for the lab that answers as freifunkMUC/wgkex does, without MQTT: keys reach the gateways
// through an interface, as late as MQTT would bring them. Its faults can be set at run time.
package wgkex

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"wguplink/peerselector"
)

// Between answering and the moment a gateway knew the key, the real broker and worker took this long (measured over a
// local MQTT server).
const (
	MinPublishDelay = 70 * time.Millisecond
	MaxPublishDelay = 1050 * time.Millisecond
)

// ErrNoGateway is returned when a domain or a gateway of that name is not configured.
var ErrNoGateway = errors.New("no such gateway")

// API is one of the broker's endpoints.
type API int

const (
	V1        API = iota // POST /api/v1/wg/key/exchange
	V2                   // POST /api/v2/wg/key/exchange
	Locations            // GET /api/v1/locations
	Other                // whatever else was asked for
)

// String names the API, for timelines and test names.
func (a API) String() string {
	switch a {
	case V1:
		return "v1"
	case V2:
		return "v2"
	case Locations:
		return "locations"
	case Other:
		return "other"
	}
	return fmt.Sprintf("API(%d)", int(a))
}

// Domain is a mesh with the gateways that serve it.
type Domain struct {
	Name     string
	Gateways []Gateway
}

// Gateway is what the broker knows of one worker in one domain.
type Gateway struct {
	// Name identifies the worker; the same name in several domains is the same worker.
	Name string
	// ExternalAddress is a host name or an IP address; empty: the worker published no data yet.
	ExternalAddress string
	Port            uint16
	PublicKey       peerselector.Key
	LinkAddress     string // without prefix length
	Location        string
	// Weight is the worker's share relative to the others; 0 counts as 1.
	Weight int
	// Peers are the connected clients in this domain as the worker reported them last, plus one for each v2 answer
	// since; -1: the domain is offline there.
	Peers  int
	Online bool
}

// Worker is the gateway's side: it receives every key of its domains. AddKey may be called concurrently.
type Worker interface {
	AddKey(domain string, key peerselector.Key) error
}

// WorkerFunc makes a Worker of a function.
type WorkerFunc func(domain string, key peerselector.Key) error

// AddKey calls f.
func (f WorkerFunc) AddKey(domain string, key peerselector.Key) error { return f(domain, key) }

// Registration is a key that a node handed in.
type Registration struct {
	API      API
	Domain   string
	Key      peerselector.Key
	Location string // wish of the node, "" when there was none
	Gateway  string // v2: name of the gateway chosen; "" for v1 and when none was online
	From     string // remote address
}

// Publication is a key that reached, or failed to reach, one gateway.
type Publication struct {
	Domain  string
	Key     peerselector.Key
	Gateway string
	Delay   time.Duration // since the registration, as chosen by Options.Delay
	Err     error         // of Worker.AddKey
}

// Request is what a client sent, for tests to look at.
type Request struct {
	API    API
	Method string
	Path   string
	Host   string
	From   string
	Header http.Header
	Body   []byte // at most MaxRecordedBody bytes
	Fault  string // in force for this request
}

// Limits of what Requests remembers.
const (
	MaxRecorded     = 1024
	MaxRecordedBody = 4096
)

// Options of a Broker.
type Options struct {
	Domains []Domain
	// DomainPrefixes, when not empty, are required: a domain that starts with none of them is refused even though it
	// is configured.
	DomainPrefixes []string
	// ServeLocations turns on /api/v1/locations, which most brokers in the field do not have.
	ServeLocations bool
	// Delay is how long a key takes to reach one gateway, asked for anew each time; nil: evenly between
	// MinPublishDelay and MaxPublishDelay.
	Delay func() time.Duration
	// After replaces time.After for delays.
	After func(time.Duration) <-chan time.Time
	// The callbacks run on the goroutine of the event and must not block for long.
	OnRequest  func(Request)
	OnRegister func(Registration)
	OnPublish  func(Publication)
}

// Counts are requests per API, whatever the answer, and v2 answers per gateway.
type Counts struct {
	V1, V2, Locations, Other int
	Chosen                   map[string]int // by gateway name
}

// Broker is an http.Handler. Its methods may be called from any goroutine.
type Broker struct {
	o       Options
	closing chan struct{}
	pending sync.WaitGroup // publications under way

	mu       sync.Mutex
	closed   bool
	domains  []Domain
	workers  map[string]Worker
	faults   map[API]Fault
	counts   [Other + 1]int
	chosen   map[string]int
	requests []Request
}

// New returns a broker without workers. It starts nothing.
func New(o Options) *Broker {
	if o.Delay == nil {
		o.Delay = func() time.Duration {
			return MinPublishDelay + rand.N(MaxPublishDelay-MinPublishDelay)
		}
	}
	if o.After == nil {
		o.After = time.After
	}
	b := &Broker{
		o:       o,
		closing: make(chan struct{}),
		workers: make(map[string]Worker),
		faults:  make(map[API]Fault),
		chosen:  make(map[string]int),
	}
	for _, d := range o.Domains {
		d.Gateways = append([]Gateway(nil), d.Gateways...)
		b.domains = append(b.domains, d)
	}
	return b
}

// Close drops publications that are not out yet, ends requests that a fault keeps waiting, and waits for the workers
// called. The handler itself still answers, but publishes no more.
func (b *Broker) Close() {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.closing)
	}
	b.mu.Unlock()
	b.pending.Wait()
}

// SetWorker connects the gateway of that name, in all its domains; nil disconnects it.
func (b *Broker) SetWorker(gateway string, w Worker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w == nil {
		delete(b.workers, gateway)
		return
	}
	b.workers[gateway] = w
}

// SetGateway adds g to a domain, or replaces the gateway of the same name there. An unknown domain is created.
func (b *Broker) SetGateway(domain string, g Gateway) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.domain(domain)
	if d == nil {
		b.domains = append(b.domains, Domain{Name: domain})
		d = &b.domains[len(b.domains)-1]
	}
	for i := range d.Gateways {
		if d.Gateways[i].Name == g.Name {
			d.Gateways[i] = g
			return
		}
	}
	d.Gateways = append(d.Gateways, g)
}

// SetOnline reports a worker as online or offline in all its domains, as its MQTT status (or last will) would.
func (b *Broker) SetOnline(gateway string, online bool) error {
	return b.change("", gateway, func(g *Gateway) { g.Online = online })
}

// SetPeers reports the connected clients of a worker in one domain; -1 takes the domain offline there.
func (b *Broker) SetPeers(domain, gateway string, peers int) error {
	return b.change(domain, gateway, func(g *Gateway) { g.Peers = peers })
}

// change edits a gateway in one domain, or in all for "".
func (b *Broker) change(domain, gateway string, edit func(*Gateway)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := false
	for i := range b.domains {
		d := &b.domains[i]
		for j := range d.Gateways {
			if d.Gateways[j].Name == gateway && (domain == "" || domain == d.Name) {
				edit(&d.Gateways[j])
				found = true
			}
		}
	}
	if !found {
		return fmt.Errorf("wgkex: gateway %q in domain %q: %w; add it with SetGateway", gateway, domain, ErrNoGateway)
	}
	return nil
}

// Gateways returns a copy of what the broker knows of a domain, or nil for an unknown one.
func (b *Broker) Gateways(domain string) []Gateway {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.domain(domain)
	if d == nil {
		return nil
	}
	return append([]Gateway(nil), d.Gateways...)
}

// SetFault changes how an API answers from the next request on. The zero Fault is none.
func (b *Broker) SetFault(a API, f Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[a] = f
}

// SetFaults changes how all APIs answer.
func (b *Broker) SetFaults(f Fault) {
	for a := V1; a <= Other; a++ {
		b.SetFault(a, f)
	}
}

// Counts returns the figures since the start.
func (b *Broker) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := Counts{
		V1: b.counts[V1], V2: b.counts[V2], Locations: b.counts[Locations], Other: b.counts[Other],
		Chosen: make(map[string]int, len(b.chosen)),
	}
	for name, n := range b.chosen {
		c.Chosen[name] = n
	}
	return c
}

// Requests returns the last MaxRecorded requests, the oldest first.
func (b *Broker) Requests() []Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Request(nil), b.requests...)
}

// record counts a request and returns the fault that applies.
func (b *Broker) record(req Request) Fault {
	b.mu.Lock()
	b.counts[req.API]++
	fault := b.faults[req.API]
	req.Fault = fault.String()
	if len(b.requests) == MaxRecorded {
		b.requests = append(b.requests[:0], b.requests[1:]...)
	}
	b.requests = append(b.requests, req)
	b.mu.Unlock()
	if b.o.OnRequest != nil {
		b.o.OnRequest(req)
	}
	return fault
}

// domain returns the domain of that name or nil. The caller holds mu.
func (b *Broker) domain(name string) *Domain {
	for i := range b.domains {
		if b.domains[i].Name == name {
			return &b.domains[i]
		}
	}
	return nil
}
