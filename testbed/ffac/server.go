// Package ffac is Aachen's registration server for the lab (community-packages, ffac-wg-registration): nodes POST their
// name and key, and the gateways learn the key.
package ffac

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
)

// maxBody bounds a request, in bytes.
const maxBody = 4096

// Registration is what a node handed in.
type Registration struct {
	NodeName string
	Key      peerselector.Key
	From     string // remote address
}

// Form is how a server words its answers (ff-supernode, ff.wgbroker). All of them have {"Message":"OK"} with status 200
// for a key that they take.
type Form int

const (
	Messages Form = iota // since 2023-05: errors have status 200, and stand in Message
	Texts                // before: errors have status 400, and are plain text
	Memory               // newer: as Messages, but the entries are gone after a restart
)

// String names the form, for test names.
func (f Form) String() string {
	switch f {
	case Messages:
		return "messages"
	case Texts:
		return "texts"
	case Memory:
		return "memory"
	}
	return fmt.Sprintf("Form(%d)", int(f))
}

// Refuse has every key refused with that text, in the form that is set.
func Refuse(text string) httpfault.Fault { return httpfault.Own("refusal", refusal(text)) }

type refusal string

// Server is an http.Handler; any path is the right one. Its methods may be called from any goroutine.
type Server struct {
	learn   func(Registration) error
	closing chan struct{}

	mu     sync.Mutex
	form   Form
	slugs  map[string]peerselector.Key // what each entry is called, with its key
	closed bool
	fault  httpfault.Fault
	asked  int
	all    []Registration
}

// New returns a server that hands each registration to learn before it answers; an error of that becomes status 500.
func New(learn func(Registration) error) *Server {
	return &Server{learn: learn, closing: make(chan struct{}), slugs: make(map[string]peerselector.Key)}
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
func (s *Server) SetFault(f httpfault.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// SetForm changes how answers are worded from the next request on.
func (s *Server) SetForm(f Form) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.form = f
}

// Restart forgets the entries where they are in memory only.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.form == Memory {
		clear(s.slugs)
	}
}

// slug is what the server calls an entry: the name of the node and the first four characters of its key, case folded.
// Two keys of nodes with one name may give the same.
func slug(name string, key peerselector.Key) string {
	return strings.ToLower(name + "_" + key.String()[:4])
}

// Registrations returns all that succeeded, the oldest first.
func (s *Server) Registrations() []Registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// Asked is how many requests came, with any answer.
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
	fault.Serve(httpfault.Server{
		Good: func(w http.ResponseWriter, r *http.Request) {
			if text, ok := fault.Own().(refusal); ok {
				s.refuse(w, string(text))
				return
			}
			s.register(w, r)
		},
		Error:   func(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) },
		Closing: s.closing,
	}, w, r)
}

func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
		return
	}
	refuse := func(text string) { s.refuse(w, text) }
	var body struct {
		NodeName  string `json:"node_name"`
		PublicKey string `json:"public_key"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&body); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	var key peerselector.Key
	switch err := key.UnmarshalText([]byte(body.PublicKey)); {
	case body.NodeName == "":
		refuse("node_name missing")
		return
	case err != nil || key == peerselector.Key{}:
		refuse("Not a valid Wireguard public key: " + body.PublicKey + ".")
		return
	}
	name := slug(body.NodeName, key)
	s.mu.Lock()
	_, exists := s.slugs[name]
	if !exists {
		s.slugs[name] = key
	}
	s.mu.Unlock()
	if exists {
		refuse(name + " already exists")
		return
	}
	reg := Registration{body.NodeName, key, r.RemoteAddr}
	if err := s.learn(reg); err != nil {
		s.mu.Lock()
		delete(s.slugs, name)
		s.mu.Unlock()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock()
	s.all = append(s.all, reg)
	s.mu.Unlock()
	message(w, "OK")
}

func (s *Server) refuse(w http.ResponseWriter, text string) {
	s.mu.Lock()
	form := s.form
	s.mu.Unlock()
	text = "Error adding key: " + text
	if form == Texts {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, text)
		return
	}
	message(w, text)
}

func message(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	// The client may have had enough.
	_ = json.NewEncoder(w).Encode(struct{ Message string }{text})
}
