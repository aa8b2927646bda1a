package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// How long a server is left alone after a kiss of death (RFC 5905, section 7.4): DENY and RSTR ask us to stop for good,
// which a program that starts at each boot cannot promise; RATE asks for less.
const (
	quietDenied = time.Hour
	quietRate   = time.Minute
)

// answer is a time that one server gave and that is possible.
type answer struct {
	server string
	addr   netip.AddrPort
	// time was right when the answer came in, which was at. Of at only the monotonic reading counts, so that neither a
	// wrong wall clock nor a step in between matters.
	time, at time.Time
	// distance is how wrong time can be though the server be honest (RFC 5905, appendix A.5.5.2).
	distance time.Duration
}

// now is the time that the server would give now.
func (a *answer) now() time.Time { return a.time.Add(time.Since(a.at)) }

// ahead is by how much a is later than b.
func (a *answer) ahead(b *answer) time.Duration { return a.time.Sub(b.time) - a.at.Sub(b.at) }

// query asks one address once. The Refusal lacks the server's name.
func (g *Gate) query(ctx context.Context, o Options, target netip.AddrPort, wait time.Duration,
	bounds Bounds) (*answer, *Refusal) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := o.Dial(limited, "udp", target.String())
	var p packet
	var dropped string
	if err == nil {
		defer conn.Close()
		stop := context.AfterFunc(limited, func() { conn.Close() })
		defer stop()
		p, dropped, err = swap(conn)
	}
	var timeout net.Error
	switch {
	case p.header != nil && p.stratum() == 0:
		// Looked at before err, because a kiss need not have a time.
		return nil, g.kissed(target, p.kissCode())
	case err != nil && ctx.Err() != nil:
		return nil, &Refusal{Reason: "no answer yet"}
	case err != nil && (limited.Err() != nil || errors.As(err, &timeout) && timeout.Timeout()):
		return nil, &Refusal{Reason: fmt.Sprintf("no answer within %v", wait), Value: dropped}
	case err != nil:
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, &Refusal{Reason: "query failed", Value: oneLine(err), Away: away(err)}
	}
	// The time was right when it was sent; half the round trip later it came in.
	t := p.transmit().Add(p.rtt / 2)
	if wrong := p.wrong(); wrong != "" {
		return nil, &Refusal{Reason: wrong,
			Value: fmt.Sprintf("stratum %d, leap indicator %d, time %s, its clock was last set %s, root distance %v",
				p.stratum(), p.leap(), stamp(t), stamp(p.reference()), p.distance())}
	}
	if t.Before(bounds.From) {
		return nil, &Refusal{Reason: beforeFloor(bounds.From), Value: stamp(t)}
	}
	if t.After(bounds.To) {
		return nil, &Refusal{Reason: tooLate(bounds.To), Value: stamp(t)}
	}
	return &answer{addr: target, time: t, at: p.at, distance: p.distance()}, nil
}

// away says that an error means that there is no way: no route, no address of the family, or no such family in the
// kernel.
func away(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) ||
		errors.Is(err, unix.EADDRNOTAVAIL) ||
		errors.Is(err, unix.EAFNOSUPPORT)
}

func (g *Gate) kissed(target netip.AddrPort, code string) *Refusal {
	switch code {
	case "DENY", "RSTR":
		g.keepQuiet(target, quietDenied)
	case "RATE":
		g.keepQuiet(target, quietRate)
	}
	return &Refusal{Reason: "kiss of death (stratum 0)", Value: fmt.Sprintf("%+q", code)}
}
