package clock

import "time"

// OfferThreshold is how wrong the clock may be beside an offered time, which says nothing of when it was sent: the original's
// limit (nodeconfig.lua in ffbs-mesh-vpn-parker).
const OfferThreshold = time.Minute

// Offer takes the time from a source that is to be trusted but not exact, such as a signed answer of that server. The clock is
// stepped when it is off by more than OfferThreshold. A time that cannot be right is refused: Result says Unverified and why.
// The error is for a clock that cannot be set, or a time that cannot be right.
func (g *Gate) Offer(t time.Time, server string) (Result, error) {
	floor, kept, refused := g.floor()
	res := Result{Source: Unverified, Server: server, Floor: floor, Refused: refused}
	if err := BoundsFrom(floor).Check(t); err != nil {
		return res, err
	}
	res.Offset = t.Sub(g.o.System.Now())
	if res.Offset.Abs() > OfferThreshold {
		if err := g.step(&res, t); err != nil {
			return res, err
		}
	}
	res.Source = FromSigned
	res.FloorErr = g.keep(t, kept)
	return res, nil
}
