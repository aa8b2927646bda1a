package names

import (
	"context"
	"errors"
	"net"
	"os"
)

// Reason is why a name gives no address.
type Reason int

// The reasons, in the order of what they tell: of both families' failures the last in this list counts.
const (
	NoAddress Reason = iota // the name exists, but has no address
	Failed                  // no server could be asked, or the answer makes no sense
	Refused                 // the servers answer that they cannot tell: SERVFAIL, REFUSED and the like
	Timeout                 // no answer in time
	NotFound                // the name does not exist: NXDOMAIN
	Unusable                // all addresses are loopback, multicast, unspecified or our own
	Family                  // no address is of an address family that is allowed
)

func (r Reason) String() string {
	switch r {
	case NoAddress:
		return "has no address"
	case Refused:
		return "is not told by the name server"
	case Timeout:
		return "is not resolved, there is no answer in time"
	case NotFound:
		return "does not exist"
	case Unusable:
		return "has no address that can be used"
	case Family:
		return "has no address of an address family that is allowed"
	}
	return "cannot be looked up"
}

// Error says why a name gives no address that can be used.
type Error struct {
	Host   string
	Reason Reason
	// Servers are those asked; "" when that is not known.
	Servers string
	// Err is the cause; nil where the reason says all.
	Err    error
	detail string // the text shown for Err; "" for its own
}

func (e *Error) Error() string {
	text := "name " + e.Host + " " + e.Reason.String()
	detail := e.detail
	if detail == "" && e.Err != nil {
		detail = e.Err.Error()
	}
	switch {
	case e.Reason == NotFound, e.Reason == NoAddress, e.Reason == Timeout:
	case detail != "":
		text += ": " + detail
	}
	if e.Servers != "" {
		text += " (name server " + e.Servers + ")"
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// reason tells what an error of package net's resolver means. It says "no such host" for a name without an address,
// too.
func (c *codes) reason(err error) Reason {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case !errors.As(err, &dns):
		return Failed
	case dns.IsNotFound && c.exists():
		return NoAddress
	case dns.IsNotFound:
		return NotFound
	case dns.IsTimeout:
		return Timeout
	case c.refused():
		return Refused
	}
	return Failed
}
