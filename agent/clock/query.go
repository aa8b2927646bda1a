package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/beevik/ntp"
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
func (g *Gate) query(ctx context.Context, o Options, target netip.AddrPort, wait time.Duration, bounds Bounds) (*answer, *Refusal) {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var x exchange
	response, err := ntp.QueryWithOptions(target.String(), ntp.QueryOptions{
		Timeout: wait,
		Dialer: func(_, _ string) (net.Conn, error) {
			conn, err := o.Dial(limited, "udp", target.String())
			if err != nil {
				return nil, err
			}
			x.Conn = conn
			x.stop = context.AfterFunc(limited, func() { conn.Close() })
			return &x, nil
		},
	})
	var timeout net.Error
	switch {
	case x.header != nil && x.header[1] == 0:
		// Looked at before err, for the package wants of a kiss what only a time has.
		return nil, g.kissed(target, string(x.header[12:16]))
	case err != nil && ctx.Err() != nil:
		return nil, &Refusal{Reason: "no answer yet"}
	case err != nil && (limited.Err() != nil || errors.As(err, &timeout) && timeout.Timeout()):
		return nil, &Refusal{Reason: fmt.Sprintf("no answer within %v", wait), Value: x.dropped}
	case err != nil:
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, &Refusal{Reason: "query failed", Value: oneLine(err)}
	}
	// Response.Time was right when it was sent; half the round trip later it came in. This is what Response.ClockOffset
	// comes to, without the local clock in it.
	t := unfold(response.Time.Add(response.RTT / 2))
	if err := response.Validate(); err != nil {
		return nil, &Refusal{Reason: oneLine(err), Value: fmt.Sprintf("stratum %d, leap indicator %d, time %s, its clock was last set %s, root distance %v",
			response.Stratum, response.Leap, stamp(t), stamp(unfold(response.ReferenceTime)), response.RootDistance)}
	}
	if t.Before(bounds.From) {
		return nil, &Refusal{Reason: beforeFloor(bounds.From), Value: stamp(t)}
	}
	if t.After(bounds.To) {
		return nil, &Refusal{Reason: tooLate(bounds.To), Value: stamp(t)}
	}
	return &answer{addr: target, time: t, at: x.at, distance: response.RootDistance}, nil
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

// exchange is one question and its answer. It drops what does not answer the question, so that a forged packet that
// comes first does not shut out the true one.
type exchange struct {
	net.Conn
	stop    func() bool
	origin  []byte // transmit timestamp of our question
	header  []byte // of the answer
	at      time.Time
	dropped string
}

// NTP packets: RFC 5905, section 7.3.
const (
	headerSize = 48
	originAt   = 24
	transmitAt = 40
)

func (x *exchange) Write(p []byte) (int, error) {
	if len(p) >= headerSize {
		x.origin = append([]byte(nil), p[transmitAt:headerSize]...)
	}
	return x.Conn.Write(p)
}

func (x *exchange) Read(p []byte) (int, error) {
	for {
		n, err := x.Conn.Read(p)
		if err != nil {
			return n, err
		}
		switch {
		case n < headerSize:
			x.dropped = fmt.Sprintf("dropped a packet of %d bytes, an answer has at least %d", n, headerSize)
		case string(p[originAt:originAt+8]) != string(x.origin):
			x.dropped = fmt.Sprintf("dropped a packet that answers no question of ours, origin timestamp %#x", binary.BigEndian.Uint64(p[originAt:]))
		default:
			x.at = time.Now()
			x.header = append([]byte(nil), p[:headerSize]...)
			return n, nil
		}
	}
}

func (x *exchange) Close() error {
	x.stop()
	return x.Conn.Close()
}
