package clock

import "time"

// OfferThreshold is how wrong the clock may be beside an offered time, which says nothing of when it was sent: the
// original's limit (nodeconfig.lua in ffbs-mesh-vpn-parker).
const OfferThreshold = time.Minute

// Offer takes the time from a source that is to be trusted but not exact, such as a signed answer of that server. The
// clock is stepped when it is off by more than OfferThreshold. A time that cannot be right, or is before the floor and
// not repeated, is refused: Result says Unverified and why. The error is for a time that is refused, or a *SetError.
func (g *Gate) Offer(t time.Time, server string) (Result, error) {
	o := g.options()
	l, refused := o.limits()
	res := Result{Source: Unverified, Server: server, Floor: l.floor, Refused: refused}
	agreed := false
	if err := l.plausible.Check(t); err != nil {
		agreed = l.asked().has(t) && g.repeated(claim{server: server, time: t, at: time.Now(), within: OfferThreshold})
		if !agreed {
			return res, err
		}
	}
	res.Offset = t.Sub(o.System.Now())
	if res.Offset.Abs() > OfferThreshold {
		if err := g.step(&res, t); err != nil {
			return res, err
		}
	}
	res.Source = FromSigned
	res.FloorErr = o.keep(t, l, agreed)
	return res, nil
}
