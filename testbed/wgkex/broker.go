// Package wgkex is a broker for the lab that answers as freifunkMUC/wgkex does (held against its main branch of July
// 2026, by reading and by the recordings in testdata), and that speaks its MQTT topics, so that a real worker could
// take a lab worker's place, and the other way round. Left out: TLS and passwords towards the MQTT server. Beyond it:
// locations, which some forks have, and addresses for layer 3. Its faults can be set at run time.
package wgkex

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"

	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
	"wguplink/testbed/mqtt"
)

// API is one of the broker's endpoints.
type API int

const (
	V1        API = iota // POST /api/v1/wg/key/exchange
	V2                   // POST /api/v2/wg/key/exchange
	Locations            // GET /api/v1/locations
	Other                // any other request
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

// Registration is a key that a node handed in.
type Registration struct {
	API      API
	Domain   string
	Key      peerselector.Key
	Location string // wish of the node, "" when there was none
	Gateway  string // v2: name of the gateway chosen; "" for v1 and when none was online
	From     string // remote address
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
	Domains []string
	// DomainPrefixes, when not empty, are required: a domain that starts with none of them is refused even though it
	// is configured.
	DomainPrefixes []string
	// Weights are the workers' shares relative to each other, by name. A worker that is missing here counts as one that
	// has the weight 1, out of the total of the others (wgkex/config/config.py, relative_worker_weight).
	Weights map[string]int
	// Locations are where the workers are, by name.
	Locations map[string]string
	// ServeLocations turns on /api/v1/locations, which most brokers in the field do not have.
	ServeLocations bool
	// Layer3, when it is valid, is a range of addresses that nodes get one of, each its own; the gateways route it.
	// Beyond wgkex: see layer3.go.
	Layer3 netip.Prefix
	// Publish sends a message to the MQTT server; nil: there is none, and keys reach no gateway.
	Publish func(mqtt.Message) error
	// The callbacks run on the goroutine of the event and must not block for long.
	OnRequest  func(Request)
	OnRegister func(Registration)
}

// Counts are requests per API, with any answer, and v2 answers per gateway.
type Counts struct {
	V1, V2, Locations, Other int
	Chosen                   map[string]int // by gateway name
}

// Broker is an http.Handler. Its methods may be called from any goroutine.
type Broker struct {
	o       Options
	closing chan struct{}

	mu       sync.Mutex
	closed   bool
	deaf     bool
	domains  []string
	workers  []*worker // in the order in which they were first heard of
	faults   map[API]httpfault.Fault
	counts   [Other + 1]int
	chosen   map[string]int
	requests []Request
	assigned map[peerselector.Key]netip.Addr // out of Options.Layer3
	heard    chan struct{}                   // closed with the next message of a worker
}

// New returns a broker that knows of no worker. It starts nothing.
func New(o Options) *Broker {
	return &Broker{
		o:        o,
		closing:  make(chan struct{}),
		domains:  append([]string(nil), o.Domains...),
		faults:   make(map[API]httpfault.Fault),
		chosen:   make(map[string]int),
		assigned: make(map[peerselector.Key]netip.Addr),
		heard:    make(chan struct{}),
	}
}

// Close publishes no more, and ends requests that a fault keeps waiting. The handler itself still answers.
func (b *Broker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.closing)
	}
}

// AddDomain adds a domain to the configured ones.
func (b *Broker) AddDomain(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.configured(name) {
		b.domains = append(b.domains, name)
	}
}

// SetFault changes how an API answers from the next request on. The zero Fault is none.
func (b *Broker) SetFault(a API, f httpfault.Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[a] = f
}

// SetFaults changes how all APIs answer.
func (b *Broker) SetFaults(f httpfault.Fault) {
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
func (b *Broker) record(req Request) httpfault.Fault {
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

// configured reports whether a domain is in the configuration. The caller holds mu.
func (b *Broker) configured(domain string) bool { return slices.Contains(b.domains, domain) }
