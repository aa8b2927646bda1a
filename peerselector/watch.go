package peerselector

import "time"

// watchDeadlines are those of the gateway in use.
func (e *Engine) watchDeadlines(add func(deadline)) {
	add(deadline{kind: giveUp, at: e.lastAlive.Add(e.t.GiveUp)})
	if e.rival != nil {
		add(deadline{kind: takeRival, at: e.rivalAt()})
	}
	if e.probed() {
		if !e.answered && !e.current.mute {
			add(deadline{kind: callMute, at: e.promoted.Add(e.mutePatience(e.promoted))})
		}
		add(deadline{kind: probe, at: e.nextProbe()})
	}
	if e.renewing() {
		add(deadline{kind: renewAgain, at: e.nextRenewal()})
	}
	if !e.rebalance.IsZero() {
		add(deadline{kind: drawAnew, at: e.rebalance})
	}
	if e.running || !e.wait.IsZero() {
		return
	}
	if at, ok := e.suspectAt(); ok {
		add(deadline{kind: suspect, at: at})
	}
	if e.current.mute {
		if at, ok := e.betterAt(); ok {
			add(deadline{kind: leaveMute, at: at})
		}
	}
}

// probed says that the gateway in use has an address that can be probed.
func (e *Engine) probed() bool { return e.current.peer.LinkAddress.IsValid() }

// nextProbe is when to probe the gateway in use.
func (e *Engine) nextProbe() time.Time {
	switch {
	case e.lastProbe.IsZero():
		return e.promoted
	case !e.answered && !e.current.mute:
		return e.lastProbe.Add(e.t.ProbeNew)
	case !e.answered || e.unanswered.IsZero():
		return latest(e.lastAlive.Add(e.t.Quiet), e.lastProbe.Add(e.t.ProbeEvery))
	case e.rival != nil:
		return e.lastProbe.Add(e.t.ProbeFast)
	}
	// On a slow line answers are still under way when they would be due on a fast one.
	due := e.unanswered.Add(e.line.patience(e.t))
	if every := e.lastProbe.Add(e.t.ProbeEvery); e.lastProbe.Before(due) && every.Before(due) {
		return every
	}
	if e.lastProbe.Before(due) {
		return due
	}
	return e.lastProbe.Add(min(max(e.lastProbe.Sub(due)/4, e.t.ProbeFast), e.t.ProbeSlow))
}

func (e *Engine) probe(now time.Time) []Action {
	e.lastProbe = now
	if e.unanswered.IsZero() {
		e.unanswered = now
	}
	return []Action{Probe{e.current.peer}}
}

// suspectAt is when the gateway in use has been silent for so long that others are tried beside it; ok is false while
// nothing is missing. Where no other gateway is known it is when the broker has to be asked.
func (e *Engine) suspectAt() (at time.Time, ok bool) {
	switch {
	case e.alone():
		return e.lostAt()
	case !e.probed():
		return e.lastAlive.Add(e.t.SuspicionBlind), true
	case !e.answered:
		return e.lastAlive.Add(e.t.SuspicionMute), true
	}
	// The second probe goes out when the first should have been answered: a single lost packet is no reason for a
	// trial.
	late := e.line.patience(e.t)
	return e.unanswered.Add(late + min(late, e.t.ProbeSlow)/2), !e.unanswered.IsZero()
}

// leaveAt is when the gateway in use may be left for another that answers: its silence is longer than any of late.
func (e *Engine) leaveAt() (at time.Time, ok bool) {
	if !e.probed() || !e.answered {
		return e.suspectAt()
	}
	return e.unanswered.Add(e.line.proof(e.t)), !e.unanswered.IsZero()
}

// rivalAt is when the rival is taken. A gateway whose session is void cannot answer a probe: it has to shake hands
// first, by tries that get lost as others do. A rival that is through before it may only have been luckier.
func (e *Engine) rivalAt() time.Time {
	at := e.rivalUntil
	if !e.probed() || !e.answered {
		return at
	}
	tries := e.line.handshaking(e.t)
	if !e.renewed.IsZero() {
		return latest(at, e.renewed.Add(tries))
	}
	born := latest(e.promoted, e.shaken)
	void := born.Add(RejectAfter)
	// The handshake is older than the look that showed it. And life beyond the session's last answers shows another
	// handshake.
	if at.Before(void.Add(-e.t.Look)) || e.heard.After(void.Add(e.line.patience(e.t)+e.t.Look)) {
		return at
	}
	// So long did it live though no handshake got through: that goes on for as long as silences do.
	lived := e.heard.Sub(born.Add(rekeyAfter))
	return latest(latest(at, void.Add(tries)), e.heard.Add(lived+lived/4))
}

// lostAt is when the gateway in use counts as lost, although no other gateway may answer: the broker is asked, and the
// gateway is pointed at another of its addresses.
func (e *Engine) lostAt() (at time.Time, ok bool) {
	switch {
	case !e.probed():
		return e.lastAlive.Add(e.t.SuspicionBlind), true
	case !e.answered:
		return e.lastAlive.Add(e.t.SuspicionMute), true
	}
	return e.unanswered.Add(max(e.line.proof(e.t), e.t.Doubt)), !e.unanswered.IsZero()
}

// silent says that others are tried beside the gateway in use, or should be, for its silence.
func (e *Engine) silent(now time.Time) bool { return reached(e.suspectAt, now) }

// lost says that the gateway in use counts as lost.
func (e *Engine) lost(now time.Time) bool { return reached(e.lostAt, now) }

func reached(when func() (time.Time, bool), now time.Time) bool {
	at, ok := when()
	return ok && !at.After(now)
}

// mutePatience is how long a gateway that has shaken hands may take for its first answer inside the tunnel. Gateways
// which poll for new peers take up to ten seconds. Less than that only when another gateway has shown that it does
// better, and none that it does not.
func (e *Engine) mutePatience(now time.Time) time.Duration {
	better := false
	for _, c := range e.cands {
		if c.prompt > e.t.Prompt {
			return e.t.Mute
		}
		if c != e.current && c.prompt > 0 && !c.mute && (c.failed.IsZero() || now.Sub(c.failed) >= e.t.FailMemory) {
			better = true
		}
	}
	if better {
		return e.t.MuteKnown
	}
	return e.t.Mute
}

func (e *Engine) giveUp(now time.Time) []Action {
	c := e.current
	c.failed = now
	c.tried = false
	acts := append(e.stopRound(), Remove{c.peer})
	e.leave()
	return acts
}

// alive notes a sign of life of the gateway in use.
func (e *Engine) alive(a Alive, now time.Time) []Action {
	if e.current == nil || e.current.peer.PublicKey != a.Key {
		return nil
	}
	if e.answered {
		if !e.unanswered.IsZero() {
			e.line.ended(now.Sub(e.unanswered), now, e.t)
		}
		if a.RTT > 0 {
			e.line.answered(a.RTT, now)
		}
	} else if a.Reply {
		e.answered = true
		e.current.mute = false
		e.current.prompt = max(1, now.Sub(e.promoted))
		if a.RTT > 0 {
			e.line.answered(a.RTT, now)
		}
	}
	e.lastAlive, e.heard, e.unanswered = now, now, time.Time{}
	e.renewed, e.renewals = time.Time{}, 0
	if e.current.mute || e.wish != nil {
		return nil // that WireGuard lives is no news; a better one, or the one wished for, is still wanted
	}
	e.round = 0
	e.wait = time.Time{}
	e.askAgain = e.redraw
	return e.stopRound()
}

// renew creates the gateway in use anew: its session is void, because it had forgotten our key.
func (e *Engine) renew(now time.Time) []Action {
	e.renewed, e.renewSent, e.renewals = now, now, 0
	return []Action{Renew{e.current.peer}}
}

// renewing says that the gateway in use was created anew and has not answered yet.
func (e *Engine) renewing() bool { return !e.renewed.IsZero() && e.renewals < len(e.t.Retries) }

// nextRenewal is when to create it anew once more.
func (e *Engine) nextRenewal() time.Time {
	at := e.retry(e.renewed, e.renewSent, e.renewals)
	if e.line.known {
		at = latest(at, e.renewSent.Add(e.line.patience(e.t))) // as for the others: an answer may be under way
	}
	return at
}
