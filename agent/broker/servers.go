//go:build !nobroker

package broker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"sync"
	"time"

	"wguplink/agent/printable"
)

// servers are asked in turn, in each protocol. It holds no connection between calls.
type servers struct {
	o      Options // of these Domain, Location and OwnLink are for wgkex alone
	bases  []*url.URL
	header textproto.MIMEHeader

	mu   sync.Mutex
	held []hold // per base
}

// hold is a server's wish to be left alone.
type hold struct {
	until time.Time
	err   *Error
}

// newServers checks the options; accept is the header of that name.
func newServers(o Options, accept string) (*servers, error) {
	if len(o.Bases) == 0 {
		return nil, errors.New("broker: no URL given; `list broker` needs at least one")
	}
	if o.Dial == nil {
		return nil, errors.New("broker: no dial function given")
	}
	if o.CAFile == PinOnly && len(o.Pins) == 0 {
		return nil,
			fmt.Errorf(
				"broker: authority %q without a pin would trust any server; give a pin, or no authority for "+
					"the system's", PinOnly)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Intn == nil {
		o.Intn = random
	}
	s := &servers{o: o, header: make(textproto.MIMEHeader), held: make([]hold, len(o.Bases))}
	for _, u := range o.Bases {
		if err := checkBase(u); err != nil {
			return nil, err
		}
		b := *u
		s.bases = append(s.bases, &b)
	}
	for name, values := range o.Header {
		for _, v := range values {
			// One odd character in a release file must not keep the node from registering.
			if v = headerValue(v); v != "" {
				s.header.Add(name, v)
			}
		}
	}
	if s.header.Get("User-Agent") == "" {
		s.header.Set("User-Agent", defaultAgent)
	}
	s.header.Set("Accept", accept)
	return s, nil
}

func checkBase(u *url.URL) error {
	const want = "want http[s]://host[:port][/prefix]"
	switch {
	case u == nil:
		return errors.New("broker: empty URL; " + want)
	case u.User != nil: // not printed: it holds a password
		return fmt.Errorf("broker: URL for host %q has a user name in it; %s", u.Host, want)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "",
		u.RawQuery != "", u.Fragment != "":
		return fmt.Errorf("broker: URL %q; %s", printable.Text(u.String(), 200), want)
	}
	return nil
}

// random is a uniform number in [0, n); the bias of the modulo is far below what could ever be seen.
func random(n int64) int64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0 // the kernel has had randomness since boot; without it the order is merely not random
	}
	return int64(binary.NativeEndian.Uint64(b[:]) % uint64(n))
}

// inTurn asks the servers in the configured order, from a random one on, so that the load spreads, until ask says that
// one was good, or the context ends. A server that sent a Retry-After is left alone until that is over. ask gives an
// Error when the server was not good, and may when it was; the Broker in it is filled in here. What went wrong comes
// back as one Error, nil when nothing did.
func (s *servers) inTurn(ctx context.Context, ask func(base *url.URL) (good bool, e *Error)) (good bool,
	failed *Error) {
	var errs []*Error
	for _, i := range s.order() {
		if e := s.onHold(i); e != nil {
			errs = append(errs, e)
			continue
		}
		good, e := ask(s.bases[i])
		if e != nil {
			e.Broker = s.bases[i].String()
			errs = append(errs, e)
		}
		if good {
			return true, merge(errs)
		}
		s.setHold(i, e)
		if ctx.Err() != nil {
			break
		}
	}
	return false, merge(errs)
}

// result is what Register gives, from what inTurn gave.
func result(a Answer, good bool, failed *Error) (Answer, error) {
	if !good {
		return Answer{}, failed
	}
	if failed != nil {
		a.Fallback = failed
	}
	return a, nil
}

// order is the configured one, rotated to a random start.
func (s *servers) order() []int {
	n := len(s.bases)
	start := int(s.o.Intn(int64(n)))
	o := make([]int, n)
	for i := range o {
		o[i] = (start + i) % n
	}
	return o
}

func (s *servers) setHold(i int, e *Error) {
	if e.RetryAfter <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[i] = hold{until: s.o.Now().Add(e.RetryAfter), err: e}
}

// onHold gives the error that made the broker ask for peace, with what is left of that time; nil when it may be asked.
func (s *servers) onHold(i int) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[i]
	if h.err == nil {
		return nil
	}
	left := h.until.Sub(s.o.Now())
	if left <= 0 || left > MaxRetryAfter { // more than that: the clock went back
		s.held[i] = hold{}
		return nil
	}
	return &Error{Kind: h.err.Kind, Broker: h.err.Broker, RetryAfter: left, Err: h.err.Err}
}
