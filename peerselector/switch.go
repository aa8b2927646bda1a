package peerselector

import "time"

// wish is a switch away from a gateway that works: an operator wants it, or the load shall be spread.
type wish struct {
	key Key // zero: any but the present one
}

// reconnect begins a switch away from a gateway that works; where none is in use it begins a fresh race.
func (e *Engine) reconnect(k Key, now time.Time) []Action {
	if !e.wan {
		return nil // with the WAN comes a race anyhow
	}
	if e.current == nil {
		acts := e.stopRound()
		e.round = 0
		if e.find(k) != nil {
			e.wish = &wish{key: k}
			defer func() { e.wish = nil }() // it comes first; any other is as welcome
		}
		e.startRound(now)
		return acts
	}
	return e.wishFor(k, now)
}

// wishFor tries a gateway beside the present one: the one with that key, or any other.
func (e *Engine) wishFor(k Key, now time.Time) []Action {
	if e.current.peer.PublicKey == k || k != (Key{}) && e.find(k) == nil {
		return nil
	}
	if k == (Key{}) && len(e.cands) == 1 {
		return e.renew(now) // there is no other gateway to go to: a fresh session is the most that can be had
	}
	acts := e.stopRound()
	e.wish = &wish{key: k}
	e.startRound(now)
	return acts
}

// settleRebalance says when to draw anew next: a whole fleet must not do it at once.
func (e *Engine) settleRebalance(now time.Time) {
	e.rebalance = time.Time{}
	if e.every > 0 && e.current != nil {
		e.rebalance = now.Add(e.every/2 + time.Duration(e.cfg.Intn(int64(e.every))))
	}
}

// balance draws the gateway anew if all is well. A broker knows the load, and is asked for its choice.
func (e *Engine) balance(now time.Time) []Action {
	e.settleRebalance(now)
	if e.State() != Connected || e.current.mute {
		return nil
	}
	if e.cfg.Broker {
		e.askAgain, e.redraw = true, true
		return nil
	}
	return e.draw(now)
}

// draw picks uniformly among the best, the present one included: afterwards each carries its share, however the nodes
// were spread before.
func (e *Engine) draw(now time.Time) []Action {
	var best []*candidate
	for _, c := range e.cands {
		if len(best) > 0 && e.rank(c, now) > e.rank(best[0], now) || c.mute {
			continue
		}
		if len(best) > 0 && e.rank(c, now) < e.rank(best[0], now) {
			best = nil
		}
		best = append(best, c)
	}
	if len(best) == 0 {
		return nil
	}
	return e.wishFor(best[e.cfg.Intn(int64(len(best)))].peer.PublicKey, now)
}

// challenge is called when another gateway has answered beside the silent one in use. Both go over the same line: so
// the one in use has to answer, too, within twice the time that the other has needed, and that such answers took of
// late. A rival that has answered its first handshake proves that the line worked while the one in use was silent. One
// that has needed several may have met the end of a burst, and the one in use gets longer.
func (e *Engine) challenge(c *candidate, now time.Time) []Action {
	if c == e.rival {
		return nil
	}
	// A probe that is sent within the first half of that can be answered within the second.
	last := max(2*now.Sub(c.sent), e.t.Grace, e.line.patience(e.t))
	if c.attempt > 0 {
		last = max(last, e.t.GraceBurst)
	}
	until := now.Add(min(last, e.t.MaxGrace))
	if at, ok := e.leaveAt(); ok {
		until = latest(until, at)
	}
	if e.rival != nil && !until.Before(e.rivalUntil) {
		return nil
	}
	challenged := e.rival != nil
	e.rival, e.rivalUntil = c, until
	if challenged || !e.probed() {
		return nil
	}
	return e.probe(now)
}

// take makes a candidate that has shaken hands the one in use.
func (e *Engine) take(c *candidate, now time.Time) []Action {
	old, silent := e.current, e.current != nil && e.silent(now)
	e.use(c, now)
	acts := []Action{Promote{c.peer}}
	if old != nil {
		if silent && !old.mute {
			old.failed = now
		}
		acts = append(acts, Remove{old.peer})
	}
	return append(acts, e.stopRound()...)
}

// use makes a candidate the one in use, without a word about the one before.
func (e *Engine) use(c *candidate, now time.Time) {
	e.leave()
	for _, o := range e.cands {
		o.last = false
	}
	c.active, c.failed, c.mute = false, time.Time{}, false
	e.current, e.promoted, e.lastAlive, e.heard, e.looked = c, now, now, now, now
	e.round, e.asks = 0, 0
	e.wait = time.Time{}
	e.settleRebalance(now)
}

// leave forgets what was known of the gateway in use.
func (e *Engine) leave() {
	e.current, e.rival, e.wish = nil, nil, nil
	e.answered, e.lastProbe, e.unanswered, e.shaken = false, time.Time{}, time.Time{}, time.Time{}
	e.line.other()
	e.renewed, e.renewals = time.Time{}, 0
	e.rebalance, e.redraw = time.Time{}, false
}
