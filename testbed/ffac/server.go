// Package ffac is Aachen's registration server for the lab (community-packages, ffac-wg-registration): nodes POST their
// name and key, and the gateways learn the key.
package ffac

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"wguplink/peerselector"
)

// maxBody bounds a request, in bytes.
const maxBody = 4096

// Registration is what a node handed in.
type Registration struct {
	NodeName string
	Key      peerselector.Key
	From     string // remote address
}

// Fault is a way for the server to go wrong. The zero value is none.
type Fault struct {
	name  string
	serve func(*Server, http.ResponseWriter, *http.Request)
}

// String names the fault, for timelines and test names.
func (f Fault) String() string {
	if f.name == "" {
		return "none"
	}
	return f.name
}

// Status answers with a status, and registers nobody.
func Status(code int) Fault {
	return Fault{fmt.Sprintf("status %d", code), func(_ *Server, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, http.StatusText(code), code)
	}}
}

// Hang never answers: until the client gives up, or the server is closed.
func Hang() Fault {
	return Fault{"silence", func(s *Server, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-s.closing:
		}
		panic(http.ErrAbortHandler)
	}}
}

// Server is an http.Handler; any path is the right one. Its methods may be called from any goroutine.
type Server struct {
	learn   func(Registration) error
	closing chan struct{}

	mu     sync.Mutex
	closed bool
	fault  Fault
	asked  int
	all    []Registration
}

// New returns a server that hands each registration to learn before it answers; an error of that becomes status 500.
func New(learn func(Registration) error) *Server {
	return &Server{learn: learn, closing: make(chan struct{})}
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

// SetFault changes how the server answers from the next request on. The zero Fault is none.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Registrations returns all that succeeded, the oldest first.
func (s *Server) Registrations() []Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// Asked is how many requests came, whatever the answer.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// ServeHTTP registers a node, or does as the fault says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked++
	fault := s.fault
	s.mu.Unlock()
	if fault.serve != nil {
		fault.serve(s, w, r)
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
		return
	}
	var body struct {
		NodeName  string           `json:"node_name"`
		PublicKey peerselector.Key `json:"public_key"`
	}
	err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&body)
	if err != nil || body.NodeName == "" || body.PublicKey == (peerselector.Key{}) {
		http.Error(w, "node_name or public_key is missing or wrong", http.StatusBadRequest)
		return
	}
	reg := Registration{body.NodeName, body.PublicKey, r.RemoteAddr}
	if err := s.learn(reg); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.all = append(s.all, reg)
	s.mu.Unlock()
	fmt.Fprintln(w, "OK")
}
