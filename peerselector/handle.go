package peerselector

import "time"

func (e *Engine) wanUp(now time.Time) []Action {
	if e.wan {
		return nil
	}
	e.wan = true
	if e.current != nil {
		// Whatever was silent while there was no way out says nothing about the gateway.
		e.lastAlive = now
		if !e.current.peer.LinkAddress.IsValid() {
			return nil
		}
		// Behind a NAT the gateway may only now learn our new place.
		e.lastProbe = now
		return []Action{Probe{e.current.peer}}
	}
	e.round = 0
	e.startRound(now)
	return nil
}

func (e *Engine) wanDown() []Action {
	e.wan = false
	return e.stopRound()
}

// told notes that the broker has spoken; it is left alone for a while, the longer the more often it was asked in vain.
func (e *Engine) told(retryAfter time.Duration, now time.Time) {
	e.asking, e.asked = false, true
	e.notAsk = now.Add(retryAfter + e.backoff(e.asks, e.t.AskMax))
}

func (e *Engine) registered(peers []Peer, now time.Time) []Action {
	e.told(0, now)
	e.keyTaken = now
	e.broker = peers
	for _, c := range e.cands {
		// A broker names the one it likes best at that moment; that is no verdict on the one in use, or lately in use.
		if (c == e.current || c.last) && !contains(e.broker, c.peer.PublicKey) && !contains(e.static, c.peer.PublicKey) {
			c.peer.Preferred = false
			e.broker = append(e.broker[:len(e.broker):len(e.broker)], c.peer)
		}
	}
	acts := e.merge(now)
	if e.current != nil && e.silent(now) {
		acts = append(acts, e.renew(now)...)
		if e.wan && !e.running && e.wish == nil && !e.alone() {
			e.startRound(now) // whoever was named just now need not wait until the backoff is over
		}
	}
	if e.running && e.wish == nil && (e.current == nil || !e.current.mute) {
		// Whatever was tried before was tried with a key that nobody knew.
		for _, c := range e.cands {
			c.tried = c.active
			c.started, c.attempt = now, 0
		}
		e.nextStart = now
	}
	if e.redraw && e.current != nil {
		e.redraw = false
		acts = append(acts, e.balanceBy(peers, now)...)
	}
	return acts
}

// balanceBy follows the broker's choice; one that makes none leaves it to chance.
func (e *Engine) balanceBy(peers []Peer, now time.Time) []Action {
	for _, p := range peers {
		if p.Preferred {
			return e.wishFor(p.PublicKey, now)
		}
	}
	return e.draw(now)
}

func (e *Engine) adopt(p Peer, now time.Time) []Action {
	if e.current != nil {
		return nil
	}
	e.use(e.know(p), now)
	return e.stopRound()
}

// remember lets the gateway that an agent before us used come first, once.
func (e *Engine) remember(p Peer, now time.Time) []Action {
	if e.current != nil {
		return nil
	}
	c := e.know(p)
	c.last = true
	e.shuffle(now)
	return nil
}

func (e *Engine) handshake(k Key, now time.Time) []Action {
	c := e.find(k)
	switch {
	case c == nil:
		return nil
	case c == e.current:
		e.renewed, e.renewals = time.Time{}, 0
		return e.alive(Alive{Key: k}, now)
	case !c.active && e.cfg.Standby && e.current == nil && e.wan:
		return e.take(c, now) // it stood by, and is the first to be back
	case !c.active:
		return nil // a late answer of one that was given up
	case e.current == nil || e.wish != nil || e.current.mute:
		return e.take(c, now)
	case e.silent(now):
		return e.challenge(c, now)
	}
	return nil // the one in use came back in the meantime
}

// silent says that nothing at all came from the gateway in use for too long.
func (e *Engine) silent(now time.Time) bool { return now.Sub(e.lastAlive) >= e.suspicion() }

// suspicion is how long the gateway in use may be silent.
func (e *Engine) suspicion() time.Duration {
	switch {
	case !e.current.peer.LinkAddress.IsValid():
		return e.t.SuspicionBlind
	case !e.answered:
		return e.t.SuspicionMute
	}
	// On a slow line the answers to the first probes are still on their way when they would be due on a fast one.
	return max(e.t.Suspicion, e.t.Quiet+3*e.rtt)
}

func (e *Engine) alive(a Alive, now time.Time) []Action {
	if e.current == nil || e.current.peer.PublicKey != a.Key {
		return nil
	}
	e.lastAlive = now
	e.renewed, e.renewals = time.Time{}, 0
	if a.Reply {
		e.answered = true
		e.current.mute = false
	}
	if a.RTT > 0 {
		e.rtt = max(a.RTT, e.rtt*7/8)
	}
	if e.current.mute || e.wish != nil {
		return nil // that WireGuard lives is no news; a better one, or the one wished for, is still wanted
	}
	e.round = 0
	e.wait = time.Time{}
	return e.stopRound()
}

func (e *Engine) fail(k Key, now time.Time) []Action {
	c := e.find(k)
	if c == nil || !c.active {
		return nil
	}
	e.drop(c, now)
	c.lost = false    // that a name cannot be resolved says nothing about our key
	e.nextStart = now // nothing was sent: no reason to hold the next one back
	return []Action{Remove{c.peer}}
}

// drop ends a handshake in vain.
func (e *Engine) drop(c *candidate, now time.Time) {
	c.active, c.last = false, false
	c.failed, c.lost = now, true
	if c == e.rival {
		e.rival = nil
	}
}

func (e *Engine) startRound(now time.Time) {
	e.running = true
	e.began = now
	e.nextStart = now
	e.wait = time.Time{}
	for _, c := range e.cands {
		c.tried, c.lost = false, false
	}
	e.shuffle(now)
}

// stopRound takes every handshake under way back.
func (e *Engine) stopRound() []Action {
	var acts []Action
	e.running = false
	e.rival, e.wish = nil, nil
	for _, c := range e.cands {
		if c.active {
			c.active = false
			acts = append(acts, Remove{c.peer})
		}
	}
	return acts
}

// renew creates the gateway in use anew: its session is void, because it had forgotten our key.
func (e *Engine) renew(now time.Time) []Action {
	e.renewed, e.renewSent, e.renewals = now, now, 0
	return []Action{Renew{e.current.peer}}
}

// backoff is the wait after n failures in a row: exponential, capped, full jitter.
func (e *Engine) backoff(n int, most time.Duration) time.Duration {
	d := e.t.BackoffBase
	for i := 1; i < n && d < most; i++ {
		d *= 2
	}
	return time.Duration(1 + e.cfg.Intn(int64(min(d, most))))
}

// patience is how long one peer has in this round.
func (e *Engine) patience() time.Duration {
	// On a line that is known to be slow, enough for the last attempt to come back.
	d := max(e.t.Patience, e.t.Retries[len(e.t.Retries)-1]+2*e.rtt)
	for i := 0; i < e.round && d < e.t.MaxPatience; i++ {
		d *= 2
	}
	return min(d, e.t.MaxPatience)
}
