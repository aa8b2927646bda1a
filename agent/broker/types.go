package broker

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"wguplink/peerselector"
)

// Answer is what a successful registration brought.
type Answer struct {
	// Peers are the gateways that the broker named. It is empty after v1, and after v2 when no gateway is online
	// (Fallback says so then): use the configured list.
	Peers []peerselector.Peer
	// Addresses are our own in the tunnel, which the broker has handed out, each a single one; none with most brokers.
	// Only with Options.Layer3.
	Addresses []netip.Prefix
	// Broker is the base URL of the broker that answered.
	Broker string
	// API is "v2" or "v1", "parker" or "ffac".
	API string
	// Fallback says what went wrong before this answer came: with v2 at this broker, or with the brokers asked earlier.
	// It is nil when the first request was answered well. It is of type *Error.
	Fallback error
	// Known is what FFAC's server said when it had this node's name and key already, or those of another node that look
	// the same to it; "" otherwise.
	Known string
	// Network is what a signed configuration says; nil with all other protocols. Its gateways are the only ones there
	// are.
	Network *Network
}

// Network is a verified configuration of a Parker node: what the node is, and its concentrators.
type Network struct {
	// ID is the node's, a number or its public key.
	ID string
	// Retry is when to ask again.
	Retry time.Duration
	// Time is the server's clock when it answered; the zero Time when it did not say.
	Time time.Time
	// Keepalive is in whole seconds; 0 is none.
	Keepalive time.Duration
	// MTU is that of the WireGuard devices, bytes.
	MTU int
	// Address4 and Address6 are the node's own on each of them.
	Address4, Address6 netip.Addr
	// Range4 and Range6 are the node's prefixes for its clients; XLATRange6 is that of 464XLAT, the zero Prefix when
	// there is none.
	Range4, Range6, XLATRange6 netip.Prefix
	Concentrators              []Concentrator
	// Warnings are about values that were taken with bounds.
	Warnings []string
	// Config is the signed line of JSON, with its newline, as it came.
	Config []byte
	// Saved is what Restore takes, to go on with this configuration after a restart.
	Saved []byte
}

// Concentrator is one gateway of a Parker network.
type Concentrator struct {
	// ID goes into the name of the device.
	ID   int
	Peer peerselector.Peer
	// Address4 and Address6 are its own inside the tunnel, and the next hops of the default routes.
	Address4, Address6 netip.Addr
}

// Kind says what sort of failure an Error is.
type Kind int

// The kinds, in the order of what they tell about the cause: of several failures the last one in this list counts.
const (
	Unreachable   Kind = iota // no connection, no complete answer in time, or a 5xx status
	Malformed                 // an answer that makes no sense, or that we must not follow
	Refused                   // a 4xx status: unknown domain, bad key, no gateway online, too many requests
	NotRegistered             // a good answer of a Parker server that says no more than when to come back
)

func (k Kind) String() string {
	switch k {
	case Unreachable:
		return "unreachable"
	case Malformed:
		return "malformed answer"
	case Refused:
		return "refused"
	case NotRegistered:
		return "not registered yet"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Error says why no broker could be used. Its text is one line without control characters.
type Error struct {
	Kind   Kind
	Broker string // base URL
	// RetryAfter is how long all brokers want to be left alone (Retry-After, RFC 9110 section 10.2.3), at most
	// MaxRetryAfter; 0 when at least one of them did not say so. With NotRegistered it is what that one server said in
	// its answer.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string { return fmt.Sprintf("broker %s: %v: %v", e.Broker, e.Kind, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// SaidError is what a server said about why it refuses.
type SaidError struct {
	Status string // e.g. "status 400 Bad Request"
	Text   string // short and printable
	// Hint is what is known of this text; "" when nothing is.
	Hint string
	// NoGateway says that the key was taken, but that no gateway is online.
	NoGateway bool
}

func (e *SaidError) Error() string {
	if e.Hint != "" {
		return fmt.Sprintf("%s: %q; %s", e.Status, e.Text, e.Hint)
	}
	return fmt.Sprintf("%s: %q", e.Status, e.Text)
}

// RedirectError is a redirect that is not followed, since the server that it leads to is not the one configured, or
// since the request would become another one.
type RedirectError struct {
	Status int
	To     string // as the server sent it, short and printable
	Why    string
	// Moved says that To is another server, or another scheme: the configuration should name it.
	Moved bool
}

func (e *RedirectError) Error() string {
	text := fmt.Sprintf("status %d with redirect to %q; %s", e.Status, e.To, e.Why)
	if e.Moved {
		text += ", put the new URL into `list broker`"
	}
	return text
}

// several is the cause in an Error that stands for more than one broker.
type several struct {
	first  error
	others []*Error
}

func (s *several) Error() string {
	var b strings.Builder
	b.WriteString(s.first.Error())
	for _, e := range s.others {
		b.WriteString("; ")
		b.WriteString(e.Error())
	}
	return b.String()
}

func (s *several) Unwrap() []error {
	errs := []error{s.first}
	for _, e := range s.others {
		errs = append(errs, e)
	}
	return errs
}

// merge makes one Error of those of several brokers; nil when there are none.
func merge(errs []*Error) *Error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	lead := 0
	retry := errs[0].RetryAfter
	for i, e := range errs {
		if e.Kind > errs[lead].Kind {
			lead = i
		}
		retry = min(retry, e.RetryAfter)
	}
	s := &several{first: errs[lead].Err}
	for i, e := range errs {
		if i != lead {
			s.others = append(s.others, e)
		}
	}
	return &Error{Kind: errs[lead].Kind, Broker: errs[lead].Broker, RetryAfter: retry, Err: s}
}

// MaxRetryAfter is the longest Retry-After that is believed: a node must not stay away for days because of one header.
const MaxRetryAfter = time.Hour
