package peerselector

import (
	"slices"
	"time"
)

// candidate is a peer and its history.
type candidate struct {
	peer    Peer
	failed  time.Time // zero: did not fail lately
	mute    bool      // shook hands, but the inside of the tunnel stayed silent
	last    bool      // the one in use before the agent was started anew
	tried   bool      // in this round
	active  bool      // handshake under way
	started time.Time
	attempt int
	step    int           // attempts that Timing.Retries counts
	dense   bool          // created anew at short intervals: its gateway is learning our key
	sent    time.Time     // the latest attempt
	prompt  time.Duration // from its promotion to its first answer inside the tunnel; 0: not known
	lost    bool          // in this round: got no answer for Timing.Lost
}

func (e *Engine) find(k Key) *candidate {
	for _, c := range e.cands {
		if c.peer.PublicKey == k {
			return c
		}
	}
	return nil
}

func contains(peers []Peer, k Key) bool {
	for _, p := range peers {
		if p.PublicKey == k {
			return true
		}
	}
	return false
}

// know makes a peer a candidate that neither the broker nor the configuration names now.
func (e *Engine) know(p Peer) *candidate {
	c := e.find(p.PublicKey)
	if c == nil {
		c = &candidate{peer: p}
		e.cands = append(e.cands, c)
		e.broker = append(e.broker[:len(e.broker):len(e.broker)], p)
	}
	return c
}

// merge makes the candidates from the broker's and the configured peers. Who is known keeps his history; a gateway
// named twice counts once, as the broker describes it. It takes time in proportion to their number.
func (e *Engine) merge(now time.Time) []Action {
	var acts []Action
	old := e.cands
	known := make(map[Key]*candidate, len(old))
	for _, o := range old {
		known[o.peer.PublicKey] = o
	}
	named := make(map[Key]bool, len(e.broker)+len(e.static))
	e.cands = nil
	for _, p := range append(append([]Peer(nil), e.broker...), e.static...) {
		if named[p.PublicKey] {
			continue
		}
		named[p.PublicKey] = true
		c := known[p.PublicKey]
		if c == nil {
			c = &candidate{}
		}
		c.peer = p
		e.cands = append(e.cands, c)
	}
	for _, o := range old {
		if named[o.peer.PublicKey] {
			continue
		}
		if o == e.rival {
			e.rival = nil
		}
		if o == e.current {
			e.leave()
		} else if !o.active {
			continue
		}
		acts = append(acts, Remove{o.peer})
	}
	e.shuffle(now)
	if e.current == nil && e.wan && len(e.cands) > 0 && !e.running {
		e.startRound(now)
	}
	return acts
}

// shuffle brings the candidates into the order of a round: at random, the preferred first, those that failed lately
// last. Before all comes the one that an earlier agent used, and that a person wishes for.
func (e *Engine) shuffle(now time.Time) {
	for i := len(e.cands) - 1; i > 0; i-- {
		j := int(e.cfg.Intn(int64(i + 1)))
		e.cands[i], e.cands[j] = e.cands[j], e.cands[i]
	}
	const last, wished = 4, 8 // more than any rank
	var groups [last + wished + 4][]*candidate
	for _, c := range e.cands {
		r := last + wished + e.rank(c, now)
		if c.last {
			r -= last
		}
		if e.wish != nil && e.wish.key == c.peer.PublicKey {
			r -= wished
		}
		groups[r] = append(groups[r], c)
	}
	e.cands = slices.Concat(groups[:]...)
}

// rank says how good a choice a candidate is; less is better, and none is less than 0 or more than 3.
func (e *Engine) rank(c *candidate, now time.Time) int {
	r := 0
	if e.failedLately(c, now) {
		r += 2
	}
	if !c.peer.Preferred {
		r++
	}
	return r
}

func (e *Engine) failedLately(c *candidate, now time.Time) bool {
	return !c.failed.IsZero() && now.Sub(c.failed) < e.t.FailMemory
}

// betterAt is when there is a peer which has proved neither as mute as the one in use nor, lately, dead; ok is false
// when there is none to come.
func (e *Engine) betterAt() (at time.Time, ok bool) {
	for _, c := range e.cands {
		if c == e.current || c.mute {
			continue
		}
		free := c.failed
		if !free.IsZero() {
			free = free.Add(e.t.FailMemory)
		}
		if !ok || free.Before(at) {
			at, ok = free, true
		}
	}
	return at, ok
}
