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
			// Not while the last question, or what its answer has brought about, is still under way.
			e.askAgain = e.cfg.Broker && needed && !e.asking && !e.renewing()
		}
	}
	e.suspectKey(now)
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
		acts = append(e.stopRound(), Remove{c.peer})
		e.leave()
		return acts
	}
	if e.rival != nil && !now.Before(e.rivalUntil) {
		acts = e.take(e.rival, now)
		return append(acts, e.watch(now)...)
	}
	if e.probed() {
		if !e.answered && !c.mute && now.Sub(e.promoted) >= e.t.Mute {
			c.mute = true
		}
		quiet := silent >= e.t.Quiet || !e.answered && !c.mute
		if quiet && now.Sub(e.lastProbe) >= e.t.ProbeEvery {
			e.lastProbe = now
			acts = append(acts, Probe{c.peer})
		}
	}
	if e.renewing() && !now.Before(e.retry(e.renewed, e.renewSent, e.renewals)) {
		e.renewals++
		e.renewSent = now
		acts = append(acts, Renew{c.peer})
	}
	acts = append(acts, e.balance(now)...)
	if e.running || !e.wait.IsZero() {
		return acts
	}
	if silent := e.silent(now); silent || c.mute && e.better(now) {
		e.startRound(now)
		if silent && e.alone() {
			e.askAgain = e.cfg.Broker && !e.asking // a broker that names one gateway at a time has to name another
		}
	}
	return acts
}

// renewing says that the gateway in use was created anew and has not answered yet.
func (e *Engine) renewing() bool { return !e.renewed.IsZero() && e.renewals < len(e.t.Retries) }

// retry is when to create a peer anew, after the attempts that it had. A caller that comes late must not make two of them
// one.
func (e *Engine) retry(began, sent time.Time, attempts int) time.Time {
	return latest(began.Add(e.t.Retries[attempts]), sent.Add(e.t.Retries[0]))
}

// rested is when a candidate may be tried again, if it was in an earlier round.
func (e *Engine) rested(c *candidate) time.Time { return c.sent.Add(e.t.Retries[0]) }

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// probed says that the gateway in use has an address that can be probed.
func (e *Engine) probed() bool { return e.current.peer.LinkAddress.IsValid() }

// suspectKey counts the gateways that leave our handshakes unanswered. When several do, they may have lost our key: it is
// registered again, without waiting for the rest of them.
func (e *Engine) suspectKey(now time.Time) {
	lost, others := 0, 0
	for _, c := range e.cands {
		if c == e.current {
			continue
		}
		others++
		if c.active && c != e.rival && now.Sub(c.started) >= e.t.Lost {
			c.lost = true
		}
		if c.lost {
			lost++
		}
	}
	if !e.running || e.wish != nil || lost < min(others, 2) || lost == 0 || e.current != nil && !e.silent(now) || now.Sub(e.keyTaken) < e.t.KeyMemory {
		return
	}
	e.askAgain = e.cfg.Broker && !e.asking
}

// ask registers when that is due: before the first race, when nobody answers, and to spread the load.
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

// alone says that no gateway is known but the one in use, if there is one.
func (e *Engine) alone() bool {
	return len(e.cands) == 0 || len(e.cands) == 1 && e.cands[0] == e.current
}

// waits says that there is nobody to try before the broker has answered. A silent gateway in use is not kept waiting for that
// any longer than AskPatience: it may need another address, or another port.
func (e *Engine) waits(now time.Time) bool {
	return e.asking && e.alone() && e.wish == nil && (e.current == nil || now.Sub(e.askedAt) < e.t.AskPatience)
}

// race starts handshakes, repeats them, and ends those that ran out of patience.
func (e *Engine) race(now time.Time) []Action {
	var acts []Action
	active, left := 0, 0
	for _, c := range e.cands {
		switch {
		case c.active && c == e.rival:
			active++ // it has answered; nothing is wanted of it but patience
		case c.active && now.Sub(c.started) >= e.patience():
			e.drop(c, now)
			acts = append(acts, Remove{c.peer})
		case c.active:
			active++
			if c.attempt < len(e.t.Retries) && !now.Before(e.retry(c.started, c.sent, c.attempt)) {
				c.attempt++
				c.sent = now
				acts = append(acts, Install{c.peer, c.attempt})
			}
		case e.startable(c):
			left++
		}
	}
	held, waits := e.held(now), e.waits(now)
	for _, c := range e.cands {
		if active >= e.t.Parallel || now.Before(e.nextStart) {
			break
		}
		if !e.startable(c) || held && !c.last || now.Before(e.rested(c)) {
			continue
		}
		c.tried, c.active, c.started, c.sent, c.attempt, c.lost = true, true, now, now, 0, false
		active++
		left--
		e.nextStart = now.Add(e.t.Stagger)
		if c.peer.Preferred || c.last {
			e.nextStart = now.Add(e.t.HeadStart)
		}
		acts = append(acts, Install{c.peer, 0})
	}
	if active == 0 && left == 0 && !waits && !held {
		acts = append(acts, e.endRound(now)...)
	}
	return acts
}

// endRound is for a round in which nobody has answered.
func (e *Engine) endRound(now time.Time) []Action {
	var acts []Action
	e.running = false
	if e.wish != nil {
		if e.wish = nil; e.silent(now) {
			e.startRound(now) // it fell silent meanwhile
			return e.race(now)
		}
		return nil
	}
	e.round++
	if e.current != nil && e.silent(now) {
		acts = append(acts, Reaim{e.current.peer})
	}
	if e.round%e.t.RotateRounds == 0 && (e.current == nil || e.silent(now)) {
		acts = append(acts, RotatePort{})
	}
	e.wait = now.Add(e.backoff(e.round, e.t.BackoffMax))
	if e.cfg.Broker && e.wait.Before(e.notAsk) && len(e.cands) == 0 {
		e.wait = e.notAsk
	}
	return acts
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
	if e.running {
		e.nextRace(next)
	}
	return at, ok
}

func (e *Engine) nextRace(next func(time.Time)) {
	if e.current != nil && e.asking && e.alone() && e.wish == nil {
		next(e.askedAt.Add(e.t.AskPatience))
	}
	active := 0
	for _, c := range e.cands {
		if c.active {
			active++
		}
		if c.active && c != e.rival {
			next(c.started.Add(e.patience()))
			if c.attempt < len(e.t.Retries) {
				next(e.retry(c.started, c.sent, c.attempt))
			}
			if !c.lost {
				next(c.started.Add(e.t.Lost))
			}
		}
	}
	if active >= e.t.Parallel {
		return
	}
	for _, c := range e.cands {
		if !e.startable(c) {
			continue
		}
		start := latest(e.nextStart, e.rested(c))
		if e.asking && !e.asked && !c.last {
			start = latest(start, e.askedAt.Add(e.t.AskPatience))
		}
		next(start)
	}
}

func (e *Engine) nextWatch(next func(time.Time)) {
	next(e.lastAlive.Add(e.t.GiveUp))
	if e.probed() {
		probe := e.lastAlive.Add(e.t.Quiet)
		if !e.answered && !e.current.mute {
			probe = e.promoted
			next(e.promoted.Add(e.t.Mute))
		}
		next(latest(probe, e.lastProbe.Add(e.t.ProbeEvery)))
	}
	if e.rival != nil {
		next(e.rivalUntil)
	}
	if e.renewing() {
		next(e.retry(e.renewed, e.renewSent, e.renewals))
	}
	if !e.rebalance.IsZero() {
		next(e.rebalance)
	}
	if !e.running && e.wait.IsZero() {
		next(e.lastAlive.Add(e.suspicion()))
	}
}
