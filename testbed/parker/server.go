// Package parker is a configuration service for the lab: it tells nodes their addresses and concentrators, signed, as
// Brunswick's etcdconfigweb does, or as wgkex does. It keeps its nodes in a Store: one file, or etcd.
package parker

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
)

// Dialect is whose service this is.
type Dialect int

const (
	Brunswick Dialect = iota // GET /config
	Wgkex                    // GET /api/v3/config
)

// Paths of the dialects. A server answers on its own alone.
const (
	PathBrunswick = "/config"
	PathWgkex     = "/api/v3/config"
)

// String names the dialect, for test names.
func (d Dialect) String() string {
	if d == Wgkex {
		return "wgkex"
	}
	return "Brunswick"
}

// Request is what a node sent, for tests to look at.
type Request struct {
	At       time.Time
	Method   string
	Path     string
	RawQuery string // as it came
	Host     string
	From     string
	Header   http.Header
	Fault    string // in force for this request
}

// MaxRecorded is how many requests are remembered.
const MaxRecorded = 4096

// Options of a Server. Store and Key are required.
type Options struct {
	Store   Store
	Key     SecretKey
	Dialect Dialect
	// Resolve looks up the host names of endpoints, as Brunswick's server does; nil leaves them as they are.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Now is the time that answers tell; nil: time.Now.
	Now func() time.Time
	// The callbacks run on the goroutine of the event and must not block for long.
	OnRequest func(Request)
	OnAnswer  func(peerselector.Key, Fields) // signed and about to be sent
}

// Server is an http.Handler. Its methods may be called from any goroutine.
type Server struct {
	o       Options
	closing chan struct{}
	turn    chan struct{} // one registration at a time: many swaps at once fail each other

	mu       sync.Mutex
	closed   bool
	fault    httpfault.Fault
	requests []Request
	answers  map[peerselector.Key][]byte // the last good one
}

// New returns a server. It starts nothing.
func New(o Options) (*Server, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("configuration service: no store; pass one from OpenFile or DialEtcd")
	case len(o.Key.Key) == 0:
		return nil, errors.New("configuration service: no signing key; make one with GenerateKey")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, closing: make(chan struct{}), turn: make(chan struct{}, 1),
		answers: make(map[peerselector.Key][]byte)}, nil
}

// Close ends requests that a fault keeps waiting.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
}

// Network gives the server's store to work with.
func (s *Server) Network() Network { return Network{s.o.Store} }

// Path is what nodes ask for, by dialect.
func (s *Server) Path() string {
	if s.o.Dialect == Wgkex {
		return PathWgkex
	}
	return PathBrunswick
}

// SetFault changes how the server answers from the next request on. The zero Fault is none.
func (s *Server) SetFault(f httpfault.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Requests returns the last MaxRecorded requests, the oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ServeHTTP answers like the real service, or as the fault says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	req := Request{At: time.Now(), Method: r.Method, Path: r.URL.Path, RawQuery: r.URL.RawQuery, Host: r.Host,
		From: r.RemoteAddr, Header: r.Header.Clone(), Fault: fault.String()}
	if len(s.requests) == MaxRecorded {
		s.requests = s.requests[1:]
	}
	s.requests = append(s.requests, req)
	s.mu.Unlock()
	if s.o.OnRequest != nil {
		s.o.OnRequest(req)
	}
	switch {
	case r.URL.Path != s.Path():
		http.NotFound(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		s.error(w, http.StatusMethodNotAllowed, "The method is not allowed for the requested URL.")
	default:
		fault.Serve(httpfault.Server{
			Good:    func(w http.ResponseWriter, r *http.Request) { s.good(w, r, fault) },
			Error:   func(w http.ResponseWriter, status int) { s.error(w, status, http.StatusText(status)) },
			Closing: s.closing,
		}, w, r)
	}
}

// error answers without a configuration.
func (s *Server) error(w http.ResponseWriter, status int, message string) {
	switch {
	case s.o.Dialect == Wgkex:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s\n", mustJSON(map[string]any{"error": map[string]string{"message": message}}))
	case status == http.StatusBadRequest:
		w.WriteHeader(status)
	default:
		http.Error(w, fmt.Sprintf("%d: %s", status, http.StatusText(status)), status)
	}
}

// good answers with a configuration, spoilt by a fault of the server's own.
func (s *Server) good(w http.ResponseWriter, r *http.Request, fault httpfault.Fault) {
	q, err := s.query(r.URL.RawQuery)
	if err != nil {
		s.error(w, http.StatusBadRequest, err.Error())
		return
	}
	spoilt := spoiltBy(fault)
	fields, err := s.fields(r.Context(), q, spoilt.unregistered, r.RemoteAddr)
	if err != nil {
		s.error(w, http.StatusInternalServerError, "An internal error has occurred. Please try again later.")
		return
	}
	if spoilt.edit != nil {
		spoilt.edit(&fields)
	}
	if s.o.OnAnswer != nil {
		s.o.OnAnswer(q.key, fields)
	}
	line := fields.line()
	sign := s.o.Key.Sign
	if spoilt.sign != nil {
		sign = func(m []byte) string { return spoilt.sign(s.o.Key, m) }
	}
	body := append(slices.Clone(line), sign(line)...)
	if spoilt.body != nil {
		body = spoilt.body(s, q, body)
	} else if fault.None() {
		s.remember(q.key, body)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
}

func (s *Server) remember(key peerselector.Key, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[key] = body
}

// query is what the service takes from a request.
type query struct {
	key   peerselector.Key
	nonce string
	v6mtu int
}

func (s *Server) query(raw string) (q query, err error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return q, fmt.Errorf("query: %w", err)
	}
	// A plus that was not escaped arrives as a space; the originals put it back.
	pubkey := strings.ReplaceAll(v.Get("pubkey"), " ", "+")
	b, err := base64.StdEncoding.DecodeString(pubkey)
	if err != nil || len(b) != len(q.key) {
		return q, errors.New("pubkey is no WireGuard public key")
	}
	q.key, q.nonce, q.v6mtu = peerselector.Key(b), v.Get("nonce"), 1280
	if q.nonce == "" {
		return q, errors.New("nonce is missing")
	}
	if text := v.Get("v6mtu"); text != "" {
		if q.v6mtu, err = strconv.Atoi(text); err != nil {
			return q, fmt.Errorf("v6mtu %.20q is no number", text)
		}
	}
	return q, nil
}

func (s *Server) register(ctx context.Context, key peerselector.Key) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	return register(ctx, s.o.Store, s.o.Dialect, key)
}
