package ntpd

import (
	"fmt"
	"sync"
	"time"
)

// Lie is what a server does instead of telling the truth. The zero value is the truth.
type Lie struct {
	name string
	dead bool
	edit func(*reply)
}

// String names the lie, for timelines and test names.
func (l Lie) String() string {
	if l.name == "" {
		return "honest"
	}
	return l.name
}

// Honest returns the zero Lie.
func Honest() Lie { return Lie{} }

// Dead never answers.
func Dead() Lie { return Lie{name: "dead", dead: true} }

// Kiss answers with a kiss of death (RFC 5905 section 7.4): stratum 0 and a code of four letters such as RATE, DENY or
// RSTR. The timestamps are right, so that only the stratum gives it away.
func Kiss(code string) Lie {
	return Lie{name: "kiss of death " + code, edit: func(r *reply) {
		r.stratum = 0
		r.refID = [4]byte{}
		copy(r.refID[:], code)
	}}
}

// Stratum answers with the right time and the given stratum; 16 means unsynchronised, and 0 is a kiss of death without
// a code.
func Stratum(n uint8) Lie {
	return Lie{name: fmt.Sprintf("stratum %d", n), edit: func(r *reply) {
		r.stratum = n
		if n == 0 {
			r.refID = [4]byte{}
		}
	}}
}

// At is a clock that stands still at t, for example in 1970 or in 20 years.
func At(t time.Time) Lie {
	return Lie{name: "clock at " + t.UTC().Format(time.RFC3339), edit: func(r *reply) {
		r.receive, r.transmit = t, t
	}}
}

// Offset is a clock that runs, but off by d (positive: ahead).
func Offset(d time.Duration) Lie {
	return Lie{name: fmt.Sprintf("clock off by %v", d), edit: func(r *reply) {
		r.receive, r.transmit = r.receive.Add(d), r.transmit.Add(d)
	}}
}

// Once tells that lie in its first answer to each address family, and is honest from then on.
func Once(l Lie) Lie {
	var told sync.Map
	return Lie{name: l.String() + ", once", edit: func(r *reply) {
		if _, again := told.LoadOrStore(r.four, true); !again {
			l.edit(r)
		}
	}}
}

// WrongOrigin answers with an origin timestamp that the client never sent, as a blind attacker must.
func WrongOrigin() Lie {
	return Lie{name: "wrong origin", edit: func(r *reply) {
		for i := range r.origin {
			r.origin[i] ^= 0xff
		}
	}}
}

// Garbage answers with n bytes that are no NTP packet; n under 48 is also a short one.
func Garbage(n int) Lie {
	return Lie{name: fmt.Sprintf("%d bytes of garbage", n), edit: func(r *reply) {
		r.raw = make([]byte, n)
		for i := range r.raw {
			r.raw[i] = 0xa5
		}
	}}
}
