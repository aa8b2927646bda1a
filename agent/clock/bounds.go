package clock

import (
	"fmt"
	"strings"
	"time"
)

// Earliest is a time before this program existed. It does not depend on the date of the build.
var Earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// believable is how many years past the floor a claimed time may be: longer than a router lies in a drawer.
	believable = 15
	// horizon is how many years past the build any time may be.
	horizon = 30
	// credible is how many years past the build a kept time may be to count as the floor.
	credible = 5
	// alone is how many years past the floor one server is believed at its first word.
	alone = 1
)

// Bounds is the span of times that can be right. It serves any source of time, not only NTP.
type Bounds struct{ From, To time.Time }

// Check tells whether t is within; if not, the error says on which side, in one line with t.
func (b Bounds) Check(t time.Time) error {
	switch {
	case t.Before(b.From):
		return fmt.Errorf("%s: %s", beforeFloor(b.From), stamp(t))
	case t.After(b.To):
		return fmt.Errorf("%s: %s", tooLate(b.To), stamp(t))
	}
	return nil
}

func (b Bounds) has(t time.Time) bool { return b.Check(t) == nil }

// limits are what the times that are told are measured by; see the rules in the package's documentation.
type limits struct {
	floor     time.Time
	kept      time.Time // zero when there is none that makes sense
	possible  Bounds
	plausible Bounds // from the floor on
}

// limitsOf are those of a build date and a kept time, each of which may be zero.
func limitsOf(build, kept time.Time) limits {
	floor := Earliest
	if build.After(floor) {
		floor = build
	}
	l := limits{floor: floor, kept: kept, possible: Bounds{Earliest, floor.AddDate(horizon, 0, 0)}}
	latest := floor
	if kept.After(floor) {
		latest = kept
	}
	if !latest.After(floor.AddDate(credible, 0, 0)) {
		l.floor = latest
	}
	l.plausible = Bounds{l.floor, latest.AddDate(believable, 0, 0)}
	if l.plausible.To.After(l.possible.To) {
		l.plausible.To = l.possible.To
	}
	return l
}

// asked is what the answer of a server has to lie in to be looked at.
func (l limits) asked() Bounds { return Bounds{l.possible.From, l.plausible.To} }

func beforeFloor(floor time.Time) string {
	if floor.Equal(Earliest) {
		return "earlier than can be, before " + stamp(floor)
	}
	return "before the last known time " + stamp(floor)
}

func tooLate(to time.Time) string { return "later than can be, after " + stamp(to) }

// unfold tells the era of an NTP time, which counts seconds from 1900 in 32 bits: with the first bit clear it is from
// the second era, 2036 to 2104, else from the end of the first, 1968 to 2036 (RFC 4330, section 3).
func unfold(t time.Time) time.Time {
	const era = 1 << 32 * time.Second
	if t.Before(secondHalf) {
		return t.Add(era)
	}
	return t
}

// secondHalf is 2^31 seconds after 1900.
var secondHalf = time.Date(1968, 1, 20, 3, 14, 8, 0, time.UTC)

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
