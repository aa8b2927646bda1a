package peerselector

import "time"

// advance does all that is due now. It is called after each event, so it must be idempotent.
func (e *Engine) advance(now time.Time) []Action {
	if !e.wan {
		return nil
	}
	var acts []Action
	if e.current != nil {
		acts = append(acts, e.watch(now)...)
	}
	if e.current == nil && !e.running && !e.asking && e.wait.IsZero() && (e.cfg.Broker || len(e.cands) > 0) {
		e.startRound(now)
	}
	if !e.wait.IsZero() && !now.Before(e.wait) {
		e.wait = time.Time{}
		// Beside a gateway that is only mute there may be nobody left to try; and it knows our key.
		if needed := e.current == nil || e.silent(now); needed || e.better(now) {
			e.startRound(now)
			e.askAgain = e.cfg.Broker && needed
		}
	}
	acts = append(acts, e.ask(now)...)
	if e.running {
		acts = append(acts, e.race(now)...)
	}
	return acts
}

// watch looks after the gateway in use.
func (e *Engine) watch(now time.Time) []Action {
	var acts []Action
	silent := now.Sub(e.lastAlive)
	c := e.current
	if silent >= e.t.GiveUp {
		c.failed = now
		c.tried = false
		e.current = nil
		return append(e.stopRound(), Remove{c.peer})
	}
	if !e.answered && !c.mute && now.Sub(e.promoted) >= e.t.Mute {
		c.mute = true
	}
	quiet := silent >= e.t.Quiet || !e.answered && !c.mute
	if quiet && now.Sub(e.lastProbe) >= e.t.ProbeEvery {
		e.lastProbe = now
		acts = append(acts, Probe{c.peer})
	}
	if e.running || !e.wait.IsZero() {
		return acts
	}
	if e.silent(now) || c.mute && e.better(now) {
		e.startRound(now)
	}
	return acts
}

// better says that there is a peer which has proved neither as mute as the one in use nor, lately, dead.
func (e *Engine) better(now time.Time) bool {
	for _, c := range e.cands {
		if c != e.current && !c.mute && !e.failedLately(c, now) {
			return true
		}
	}
	return false
}

// ask registers when that is due: before the first race, and after each empty round.
func (e *Engine) ask(now time.Time) []Action {
	if !e.cfg.Broker || e.asking || now.Before(e.notAsk) {
		return nil
	}
	first := !e.asked && e.current == nil
	if !first && !e.askAgain {
		return nil
	}
	e.asking, e.askAgain = true, false
	e.askedAt = now
	e.asks++
	return []Action{AskBroker{}}
}

// held says that the race waits for the first registration: gateways do not answer a key they have not been told.
func (e *Engine) held(now time.Time) bool {
	return e.asking && !e.asked && now.Sub(e.askedAt) < e.t.AskPatience
}

// race starts handshakes, repeats them, and ends those that ran out of patience.
func (e *Engine) race(now time.Time) []Action {
	if e.held(now) {
		return nil
	}
	var acts []Action
	active, left := 0, 0
	for _, c := range e.cands {
		switch {
		case c.active && now.Sub(c.started) >= e.patience():
			c.active = false
			c.failed = now
			acts = append(acts, Remove{c.peer})
		case c.active:
			active++
			if c.attempt < len(e.t.Retries) && now.Sub(c.started) >= e.t.Retries[c.attempt] {
				c.attempt++
				acts = append(acts, Install{c.peer, c.attempt})
			}
		case e.startable(c):
			left++
		}
	}
	for _, c := range e.cands {
		if active >= e.t.Parallel || now.Before(e.nextStart) {
			break
		}
		if !e.startable(c) {
			continue
		}
		c.tried, c.active, c.started, c.attempt = true, true, now, 0
		active++
		left--
		e.nextStart = now.Add(e.t.Stagger)
		if c.peer.Preferred {
			e.nextStart = now.Add(e.t.HeadStart)
		}
		acts = append(acts, Install{c.peer, 0})
	}
	if active == 0 && left == 0 && !(e.asking && len(e.cands) == 0) {
		if e.current != nil && e.silent(now) {
			acts = append(acts, Reaim{e.current.peer})
		}
		e.running = false
		e.round++
		e.wait = now.Add(e.backoff(e.round, e.t.BackoffMax))
		if e.cfg.Broker && e.wait.Before(e.notAsk) && len(e.cands) == 0 {
			e.wait = e.notAsk
		}
	}
	return acts
}

func (e *Engine) startable(c *candidate) bool {
	if c.tried || c.active || c == e.current {
		return false
	}
	// Beside a mute gateway only one that is not known to be mute is worth a try.
	return e.current == nil || !e.current.mute || !c.mute
}

// Next is when Handle must be called again with a Tick at the latest; ok is false when only an event can bring news.
func (e *Engine) Next() (at time.Time, ok bool) {
	next := func(t time.Time) {
		if !ok || t.Before(at) {
			at, ok = t, true
		}
	}
	if !e.wan {
		return at, false
	}
	if !e.wait.IsZero() {
		next(e.wait)
	}
	if e.askAgain && !e.asking {
		next(e.notAsk)
	}
	if e.current != nil {
		e.nextWatch(next)
	}
	if !e.running {
		return at, ok
	}
	start := e.nextStart
	if e.asking && !e.asked {
		if hold := e.askedAt.Add(e.t.AskPatience); hold.After(start) {
			start = hold
		}
	}
	active, left := 0, false
	for _, c := range e.cands {
		if c.active {
			active++
			next(c.started.Add(e.patience()))
			if c.attempt < len(e.t.Retries) {
				next(c.started.Add(e.t.Retries[c.attempt]))
			}
		}
		left = left || e.startable(c)
	}
	if left && active < e.t.Parallel {
		next(start)
	}
	return at, ok
}

func (e *Engine) nextWatch(next func(time.Time)) {
	probe := e.lastAlive.Add(e.t.Quiet)
	if !e.answered && !e.current.mute {
		probe = e.promoted
		next(e.promoted.Add(e.t.Mute))
	}
	if p := e.lastProbe.Add(e.t.ProbeEvery); p.After(probe) {
		probe = p
	}
	next(probe)
	next(e.lastAlive.Add(e.t.GiveUp))
	if !e.running && e.wait.IsZero() {
		next(e.lastAlive.Add(e.suspicion()))
	}
}
