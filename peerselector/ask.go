package peerselector

import "time"

// askDeadlines say when the broker is asked: before the first race, when no gateway answers, and to spread the load.
func (e *Engine) askDeadlines(add func(deadline)) {
	if e.askAgain || !e.registered && e.current == nil {
		add(deadline{kind: askBroker, at: latest(e.notAsk, e.budget())})
		return
	}
	at, ok := time.Time{}, true
	if e.current != nil {
		at, ok = e.lostAt()
	}
	if !ok || e.wish != nil || e.renewing() {
		return // what the last answer has brought about is still under way
	}
	if e.round > 0 && (e.current == nil || !e.current.mute) {
		add(deadline{kind: askOutage, at: at})
	}
	if e.running && e.keyDoubtful() {
		add(deadline{kind: suspectKey, at: latest(at, e.keyTaken.Add(e.t.KeyMemory))})
	}
}

// keyDoubtful says that several gateways have left our handshakes unanswered: they may have lost our key. It is
// registered again, without waiting for the rest of them.
func (e *Engine) keyDoubtful() bool {
	lost, others := 0, 0
	for _, c := range e.cands {
		if c == e.current {
			continue
		}
		others++
		if c.lost {
			lost++
		}
	}
	return lost > 0 && lost >= min(others, 2)
}

// askSoon has the broker asked. The first question in an outage waits for a random part of spread: all nodes have
// noticed it at the same moment.
func (e *Engine) askSoon(spread time.Duration, now time.Time) {
	if e.asks == 0 && !e.askAgain {
		e.notAsk = latest(e.notAsk, now.Add(e.upTo(spread)))
	}
	e.askAgain = true
}

func (e *Engine) ask(now time.Time) []Action {
	e.asking, e.askAgain = true, false
	e.askedAt = now
	e.asks++
	copy(e.askTimes[:], e.askTimes[1:])
	e.askTimes[len(e.askTimes)-1] = now
	return []Action{AskBroker{}}
}

// budget is when the node may ask again: it asks at most len(askTimes) times in a minute.
func (e *Engine) budget() time.Time {
	if e.askTimes[0].IsZero() {
		return time.Time{}
	}
	return e.askTimes[0].Add(time.Minute)
}

// told notes that the broker has spoken; it is left alone for a while: shorter at first when it has failed, longer when
// it has failed for minutes, or was slow, because then it has much to do.
func (e *Engine) told(retryAfter time.Duration, failed bool, now time.Time) {
	load := time.Duration(0)
	if e.asking {
		load = min(askLoad*min(now.Sub(e.askedAt), e.t.AskMax), e.t.AskMax)
	}
	starting := !e.registered
	e.asking, e.registered = false, true
	wait := e.t.AskEvery + e.upTo(e.t.AskJitter)
	quick := e.asks <= 1 || failed && e.asks <= quickAsks
	switch {
	case quick && !e.t.crowded():
		wait = e.backoff(e.asks, e.t.AskEvery)
	case quick && starting:
		wait = e.t.KeyMemory + e.upTo(e.t.AskSpread) // the message to the gateways may have been lost
	}
	if failed && e.asks > steadyAsks {
		wait += e.backoff(e.asks-steadyAsks+quickAsks, e.t.AskMax)
	}
	e.notAsk = now.Add(retryAfter + max(wait, load))
}

const (
	quickAsks  = 3  // questions in vain that follow each other within seconds
	steadyAsks = 20 // some five minutes of questions at a steady pace
	askLoad    = 2  // an answer that took long is followed by a rest of twice that
)

// brokerAnswered takes the gateways that a broker named when it took our key.
func (e *Engine) brokerAnswered(peers []Peer, now time.Time) []Action {
	first := !e.registered && e.current == nil
	if first {
		e.denseUntil = now.Add(e.t.Dense)
		// A TLS connection and its answer take at least four round trips (RFC 8446 and RFC 9293): a handshake is over
		// within one.
		e.denseGap = e.t.DenseGap
		if e.asking {
			e.denseGap = min(max(e.t.DenseGap, now.Sub(e.askedAt)/4), e.t.Retries[1])
		}
	}
	e.told(0, false, now)
	e.keyTaken = now
	e.broker = peers
	for _, c := range e.cands {
		// A broker names the one it likes best at that moment; that is no verdict on the one in use, or lately in use.
		if (c == e.current || c.last) && !contains(e.broker, c.peer.PublicKey) &&
			!contains(e.static, c.peer.PublicKey) {
			c.peer.Preferred = false
			e.broker = append(e.broker[:len(e.broker):len(e.broker)], c.peer)
		}
	}
	acts := e.merge(now)
	if e.current != nil && e.lost(now) {
		acts = append(acts, e.renew(now)...)
		if e.wan && !e.running && e.wish == nil && !e.alone() {
			e.startRound(now) // a peer that was named just now need not wait until the backoff is over
		}
	}
	if e.running && e.wish == nil && (e.current == nil || !e.current.mute) {
		// The handshakes before this answer were tried with a key that no gateway knew.
		for _, c := range e.cands {
			c.tried = c.active
			if c != e.rival {
				c.started, c.attempt, c.step, c.dense = now, 0, 0, false
			}
		}
		if first && len(e.cands) > 0 && e.cands[0].active && !e.cands[0].last {
			e.cands[0].dense = true
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
