package clock

import (
	"net/netip"
	"time"
)

// What makes a doubtful time a repeated one: this often, over this long.
const (
	repeats    = 3
	repeatOver = 5 * time.Second
)

// claim is what a doubtful source said.
type claim struct {
	server string         // as configured, or that of a signed configuration
	addr   netip.AddrPort // where it answered; the zero value for a signed configuration
	// time was right at the moment at, of which only the monotonic reading counts.
	time, at time.Time
	// within is how wrong time can be though the source be honest.
	within time.Duration
}

func (c claim) agrees(with claim) bool {
	return (c.time.Sub(with.time) - c.at.Sub(with.at)).Abs() <= agreement+c.within+with.within
}

// by tells whether two claims come from one source. Addresses of one name are different servers, but for an IPv4 and an
// IPv6 address, which may be one.
func (c claim) by(other claim) bool {
	if c.server != other.server {
		return c.addr == other.addr && c.addr.IsValid()
	}
	return c.addr == other.addr || c.addr.Addr().Is4() != other.addr.Addr().Is4()
}

// repeated notes a claim, and tells whether the doubtful ones agree by now. One that contradicts those before begins
// anew.
func (g *Gate) repeated(c claim) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, old := range g.claims {
		if !c.agrees(old) {
			g.claims = nil
			break
		}
	}
	if g.claims = append(g.claims, c); len(g.claims) > repeats {
		g.claims = append(g.claims[:1], g.claims[2:]...) // the first says since when
	}
	for _, old := range g.claims {
		if !old.by(c) {
			return true
		}
	}
	return len(g.claims) >= repeats && c.at.Sub(g.claims[0].at) >= repeatOver
}
