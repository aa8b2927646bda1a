package broker

import (
	"fmt"
	"strings"
	"time"

	"wguplink/peerselector"
)

// Answer is what a successful registration brought.
type Answer struct {
	// Peers are the gateways that the broker named. It is empty after v1: use the configured list.
	Peers []peerselector.Peer
	// Broker is the base URL of the broker that answered.
	Broker string
	// API is "v2" or "v1".
	API string
	// Fallback says what went wrong before this answer came: with v2 at this broker, or with the brokers asked earlier.
	// It is nil when the first request was answered well. It is of type *Error.
	Fallback error
}

// Kind says what sort of failure an Error is.
type Kind int

// The kinds, in the order of what they tell about the cause: of several failures the last one in this list counts.
const (
	Unreachable Kind = iota // no connection, no complete answer in time, or a 5xx status
	Malformed               // an answer that makes no sense, or that we must not follow
	Refused                 // a 4xx status: unknown domain, bad key, no gateway online, too many requests
)

func (k Kind) String() string {
	switch k {
	case Unreachable:
		return "unreachable"
	case Malformed:
		return "malformed answer"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Error says why no broker could be used. Its text is one line without control characters.
type Error struct {
	Kind   Kind
	Broker string // base URL
	// RetryAfter is how long all brokers want to be left alone (Retry-After, RFC 9110 section 10.2.3), at most MaxRetryAfter;
	// 0 when at least one of them did not say so.
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string { return fmt.Sprintf("broker %s: %v: %v", e.Broker, e.Kind, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

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

// merge makes one Error of those of several brokers; errs is not empty.
func merge(errs []*Error) *Error {
	if len(errs) == 1 {
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
