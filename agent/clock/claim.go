package clock

import "time"

// What makes a doubtful time a repeated one: this often, over this long.
const (
	repeats    = 3
	repeatOver = 5 * time.Second
)

// claim is what a doubtful source said.
type claim struct {
	voice string // who said so: an address, or the name of a server of signed configurations
	// time was right at the moment at, of which only the monotonic reading counts.
	time, at time.Time
	// within is how wrong time can be though the source be honest.
	within time.Duration
}

func (c claim) agrees(with claim) bool {
	return (c.time.Sub(with.time) - c.at.Sub(with.at)).Abs() <= agreement+c.within+with.within
}

// repeated notes a claim, and tells whether the doubtful ones agree by now. One that contradicts those before begins anew.
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
		if old.voice != c.voice {
			return true
		}
	}
	return len(g.claims) >= repeats && c.at.Sub(g.claims[0].at) >= repeatOver
}
