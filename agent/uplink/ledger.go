package uplink

import (
	"cmp"
	"time"

	"wguplink/agent/status"
	"wguplink/peerselector"
)

// ledger keeps what became of each gateway at its last try, for the status. It knows the gateways of the network, and
// no others, so that it stays small.
type ledger struct {
	rows  map[peerselector.Key]*row
	table []status.Candidate // as last made; is never changed in place: it is published
	of    tableOf
	stale bool // the table has to be made anew
}

type row struct {
	result   status.Result
	reason   string
	rtt      time.Duration
	begun    time.Time     // the handshake under way; the zero Time for none
	tried    status.Uptime // when it was begun, or the last one
	endpoint string
}

// tableOf is what a table follows from beside the rows.
type tableOf struct {
	current peerselector.Key
	link    status.Link
}

func newLedger() ledger { return ledger{rows: map[peerselector.Key]*row{}, stale: true} }

func (g *ledger) row(k peerselector.Key) *row {
	r := g.rows[k]
	if r == nil {
		r = &row{result: status.Untried}
		g.rows[k] = r
	}
	return r
}

// named notes that there may be other gateways now.
func (g *ledger) named() { g.stale = true }

// began notes that a handshake is begun. at is where; "" while that is not known yet.
func (g *ledger) began(k peerselector.Key, at string, now time.Time) {
	r := g.row(k)
	r.result, r.reason, r.begun, r.tried = status.Trying, "", now, status.Now()
	if at != "" {
		r.endpoint = at
	}
	g.stale = true
}

// aimed notes where a gateway is tried, once its name is resolved.
func (g *ledger) aimed(k peerselector.Key, at string, now time.Time) {
	if r := g.rows[k]; r != nil && !r.begun.IsZero() && at != "" {
		r.begun, r.endpoint = now, at
		g.stale = true
	}
}

// shook notes a handshake.
func (g *ledger) shook(k peerselector.Key, at string, now time.Time) {
	r := g.row(k)
	if r.tried == 0 { // it stands by, and did so by itself
		r.tried = status.Now()
	}
	if !r.begun.IsZero() {
		r.rtt, r.begun = now.Sub(r.begun), time.Time{}
	} else if r.result == status.Answered && r.endpoint == at {
		return // a session was renewed, as each two minutes
	}
	r.result, r.reason, r.endpoint = status.Answered, "", at
	g.stale = true
}

// replied notes the round trip of a probe.
func (g *ledger) replied(k peerselector.Key, rtt time.Duration) {
	g.row(k).rtt = rtt
	g.stale = true
}

// removed notes that a gateway was taken off. left says that it was in use, and is the reason in one word.
func (g *ledger) removed(k peerselector.Key, at, left string) {
	r := g.row(k)
	switch {
	case r.result == status.Trying && at == "":
		r.result, r.reason = status.NoAddress, "its name was not resolved in time"
	case r.result == status.Trying:
		r.result, r.endpoint = status.NoShake, at
	case left == reasonMute:
		r.result = status.Unanswering
	case left == reasonSilent:
		r.result = status.WasSilent
	}
	r.begun = time.Time{}
	g.stale = true
}

// failed notes that a gateway cannot be tried.
func (g *ledger) failed(k peerselector.Key, err error) {
	r := g.row(k)
	r.result, r.begun = status.NoAddress, time.Time{}
	if err != nil {
		r.reason = err.Error()
	}
	g.stale = true
}

// list gives all gateways for the status, by name.
func (g *ledger) list(e *peerselector.Engine, link status.Link) []status.Candidate {
	cur, inUse := e.Current()
	of := tableOf{cur.PublicKey, link}
	if !g.stale && of == g.of {
		return g.table
	}
	g.stale, g.of = false, of
	peers := e.Peers()
	known := make(map[peerselector.Key]*row, len(peers))
	table := make([]status.Candidate, 0, len(peers))
	for _, p := range peers {
		c := status.Candidate{Name: p.Name, PublicKey: p.PublicKey.String(), Result: status.Untried}
		if p.LinkAddress.IsValid() {
			c.LinkAddress = p.LinkAddress.String()
		}
		if len(p.Endpoints) > 0 {
			c.Endpoint = p.Endpoints[0]
		}
		if r := g.rows[p.PublicKey]; r != nil {
			known[p.PublicKey] = r
			c.Result, c.Reason, c.RTT, c.TriedAt = r.result, r.reason, r.rtt.Microseconds(), r.tried
			c.Endpoint = cmp.Or(r.endpoint, c.Endpoint)
		}
		if inUse && p.PublicKey == cur.PublicKey {
			c.InUse, c.Result = true, resultOf(link)
		}
		// Sorted by insertion: the list is short, and the library's sort is large for each type.
		i := len(table)
		for table = append(table, c); i > 0 && before(&c, &table[i-1]); i-- {
			table[i] = table[i-1]
		}
		table[i] = c
	}
	g.rows, g.table = known, table
	return table
}

func before(a, b *status.Candidate) bool {
	return a.Name < b.Name || a.Name == b.Name && a.PublicKey < b.PublicKey
}

// resultOf is that of the gateway in use.
func resultOf(link status.Link) status.Result {
	switch link {
	case status.Mute:
		return status.Unanswering
	case status.Silent:
		return status.WasSilent
	}
	return status.Answered
}
