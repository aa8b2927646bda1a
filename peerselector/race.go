package peerselector

import "time"

// raceDeadlines are those of a round.
func (e *Engine) raceDeadlines(add func(deadline)) {
	active := 0
	for _, c := range e.cands {
		if !c.active {
			continue
		}
		active++
		if c == e.rival {
			continue // it has answered; nothing is wanted of it but patience
		}
		add(deadline{dropPeer, c.started.Add(e.patience(c)), c})
		if at, ok := e.nextAttempt(c); ok {
			add(deadline{repeatPeer, at, c})
		}
		if !c.lost {
			add(deadline{countLost, c.started.Add(max(e.t.Lost, e.line.patience(e.t))), c})
		}
	}
	left := false
	for _, c := range e.cands {
		if !e.startable(c) {
			continue
		}
		left = true
		if active < e.t.Parallel {
			at := latest(e.nextStart, e.rested(c))
			if e.asking && !e.registered && !c.last {
				// Gateways do not answer a key that they have not been told.
				at = latest(at, e.askedAt.Add(e.t.AskPatience))
			}
			add(deadline{startPeer, at, c})
		}
	}
	if active > 0 || left {
		return
	}
	switch {
	case !e.asking || e.registered && !e.alone() || e.wish != nil:
		add(deadline{kind: endRound})
	case e.alone() && e.current == nil:
		// There is no gateway to try before the broker has answered.
	default:
		// A silent gateway in use is kept waiting no longer: it may need another address, or another port.
		add(deadline{kind: endRound, at: e.askedAt.Add(e.t.AskPatience)})
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
	if e.current != nil && e.wish == nil && e.alone() && e.lost(now) && !e.asking && !e.renewing() {
		// A broker that names one gateway at a time has to name another. It may be the only one that is away.
		if e.cfg.Broker {
			e.askSoon(e.t.AskSpread/aloneShare, now)
		}
	}
}

// start begins the handshakes with a peer.
func (e *Engine) start(c *candidate, now time.Time) []Action {
	c.tried, c.active, c.started, c.sent, c.attempt, c.step, c.lost = true, true, now, now, 0, 0, false
	e.nextStart = now.Add(e.t.Stagger)
	if c.peer.Preferred || c.last {
		e.nextStart = now.Add(e.t.HeadStart)
	}
	// One only: the first, which is the broker's choice if it has made one.
	c.dense = e.current == nil && !c.last && now.Before(e.denseUntil) && !e.hasDense()
	return []Action{Install{c.peer, 0}}
}

func (e *Engine) hasDense() bool {
	for _, c := range e.cands {
		if c.active && c.dense {
			return true
		}
	}
	return false
}

// nextAttempt is when to create a peer anew that has not answered; ok is false when WireGuard's own tries must do.
func (e *Engine) nextAttempt(c *candidate) (at time.Time, ok bool) {
	if at := c.sent.Add(e.denseGap); c.dense && !at.After(e.denseUntil) {
		return at, true
	}
	retries := len(e.t.Retries)
	if e.round > 0 {
		retries = min(retries, e.t.LateRetries)
	}
	if c.step >= retries {
		return at, false
	}
	began := c.started
	if c.dense {
		began = e.denseUntil
	}
	at = e.retry(began, c.sent, c.step)
	if e.line.known {
		at = latest(at, c.sent.Add(e.line.patience(e.t))) // a new start forgets the one whose answer is still under way
	}
	return at, true
}

func (e *Engine) repeat(c *candidate, now time.Time) []Action {
	if !c.dense || c.sent.Add(e.denseGap).After(e.denseUntil) {
		c.step++
	}
	c.attempt++
	c.sent = now
	return []Action{Install{c.peer, c.attempt}}
}

// retry is when to create a peer anew, after the attempts that it had. A caller that comes late must not make two of
// them one.
func (e *Engine) retry(began, sent time.Time, attempts int) time.Time {
	return latest(began.Add(e.t.Retries[attempts]), sent.Add(e.t.Retries[0]))
}

// rested is when a candidate may be tried again, if it was in an earlier round.
func (e *Engine) rested(c *candidate) time.Time { return c.sent.Add(e.t.Retries[0]) }

// patience is how long one peer has in this round.
func (e *Engine) patience(c *candidate) time.Duration {
	// On a line that is known to be slow, enough for the last attempt to come back.
	d := max(e.t.Patience, e.t.Retries[len(e.t.Retries)-1]+2*e.line.mean)
	for i := 0; i < e.round && d < e.t.MaxPatience; i++ {
		d *= 2
	}
	d = min(d, e.t.MaxPatience)
	if c.dense {
		d += max(0, e.denseUntil.Sub(c.started))
	}
	return d
}

// alone says that no gateway is known but the one in use, if there is one.
func (e *Engine) alone() bool {
	return len(e.cands) == 0 || len(e.cands) == 1 && e.cands[0] == e.current
}

func (e *Engine) startable(c *candidate) bool {
	switch {
	case c.tried || c.active || c == e.current:
		return false
	case e.wish != nil && e.current != nil:
		return e.wish.key == (Key{}) || e.wish.key == c.peer.PublicKey
	}
	// Beside a mute gateway only one that is not known to be mute is worth a try.
	return e.current == nil || !e.current.mute || !c.mute
}

// drop ends a handshake in vain.
func (e *Engine) drop(c *candidate, now time.Time) {
	c.active, c.last = false, false
	c.failed, c.lost = now, true
	if c == e.rival {
		e.rival = nil
	}
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

// stopRound takes every handshake under way back.
func (e *Engine) stopRound() []Action {
	e.rival, e.wish = nil, nil
	if !e.running {
		return nil // none is under way; this is so with each sign of life
	}
	var acts []Action
	e.running = false
	for _, c := range e.cands {
		if c.active {
			c.active = false
			acts = append(acts, Remove{c.peer})
		}
	}
	return acts
}

// endRound is for a round in which no gateway has answered.
func (e *Engine) endRound(now time.Time) []Action {
	var acts []Action
	e.running = false
	if e.wish != nil {
		e.wish = nil // it may have fallen silent meanwhile: then the next round begins at once
		return nil
	}
	e.round++
	if e.current != nil && e.lost(now) {
		acts = append(acts, Reaim{e.current.peer})
	}
	if e.round%e.t.RotateRounds == 0 && (e.current == nil || e.lost(now)) {
		acts = append(acts, RotatePort{})
	}
	e.wait = now.Add(e.backoff(e.round, e.t.BackoffMax))
	if e.cfg.Broker && e.wait.Before(e.notAsk) && len(e.cands) == 0 {
		e.wait = e.notAsk
	}
	return acts
}

// waitOver begins the next round, where one is needed.
func (e *Engine) waitOver(now time.Time) {
	e.wait = time.Time{}
	// Beside a gateway that is only mute there may be no other left to try.
	if e.current == nil || e.silent(now) {
		e.startRound(now)
	}
}

// backoff is the wait after n failures in a row: exponential, capped, full jitter.
func (e *Engine) backoff(n int, most time.Duration) time.Duration {
	d := e.t.BackoffBase
	for i := 1; i < n && d < most; i++ {
		d *= 2
	}
	return e.upTo(min(d, most))
}

// upTo is a random time of at most d, and more than none; 0 when d is.
func (e *Engine) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(1 + e.cfg.Intn(int64(d)))
}
