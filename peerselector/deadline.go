package peerselector

import "time"

// deadline is something that the engine does at a certain moment unless an event comes first.
type deadline struct {
	kind kind
	at   time.Time  // the zero time: at once
	c    *candidate // whom it is about; nil for most kinds
}

// kind says what is done at a deadline; meet does it.
type kind int

const (
	giveUp     kind = iota // the gateway in use is an ordinary candidate again
	takeRival              // the last chance of the gateway in use is over
	callMute               // the gateway in use has answered nothing inside the tunnel since its promotion
	probe                  // the gateway in use is probed
	lookAgain              // the caller reads the counters
	renewAgain             // the gateway in use is created anew once more
	drawAnew               // rebalancing
	suspect                // others are tried beside the silent gateway in use
	leaveMute              // another is tried beside a mute gateway
	begin                  // a round starts
	waitOver               // the backoff after an empty round is over
	countLost              // a handshake without an answer counts as a sign that our key is lost
	suspectKey             // the broker is asked, because gateways may have lost our key
	askOutage              // the broker is asked, because no gateway answers
	askBroker              // the question goes out
	dropPeer               // the patience with a peer is over
	repeatPeer             // a peer is created anew
	startPeer              // the next peer is tried
	endRound               // no peer is left to try
	kinds                  // how many there are
)

// advance meets all deadlines that are due, the earliest first. It is called after each event.
func (e *Engine) advance(now time.Time) []Action {
	var acts []Action
	for {
		d, ok := e.first()
		if !ok || d.at.After(now) {
			return acts
		}
		acts = append(acts, e.meet(d, now)...)
	}
}

// Next is when Handle must be called again with a Tick at the latest; ok is false when only an event can bring news.
func (e *Engine) Next() (at time.Time, ok bool) {
	d, ok := e.first()
	return d.at, ok
}

// first is the earliest deadline. Of several at one moment it is the one that deadlines names first.
func (e *Engine) first() (first deadline, ok bool) {
	e.deadlines(func(d deadline) {
		if !ok || d.at.Before(first.at) {
			first, ok = d, true
		}
	})
	return first, ok
}

// deadlines names all that follow from the present state. A deadline that is met must change the state so that it is
// gone, or later.
func (e *Engine) deadlines(add func(deadline)) {
	if e.current != nil {
		// Also without a WAN: bytes count as life when they are seen, and a session's age follows from that.
		add(deadline{kind: lookAgain, at: e.looked.Add(e.t.Look)})
	}
	if !e.wan {
		return
	}
	if e.current != nil {
		e.watchDeadlines(add)
	}
	if !e.wait.IsZero() {
		add(deadline{kind: waitOver, at: e.wait})
	} else if e.current == nil && !e.running && !e.asking && (e.cfg.Broker || len(e.cands) > 0) {
		add(deadline{kind: begin})
	}
	if e.cfg.Broker && !e.asking {
		e.askDeadlines(add)
	}
	if e.running {
		e.raceDeadlines(add)
	}
}

// meet does what a deadline is for.
func (e *Engine) meet(d deadline, now time.Time) []Action {
	switch d.kind {
	case giveUp:
		return e.giveUp(now)
	case takeRival:
		return e.take(e.rival, now)
	case callMute:
		e.current.mute = true
	case probe:
		return e.probe(now)
	case lookAgain:
		e.looked = now
	case renewAgain:
		e.renewals++
		e.renewSent = now
		return []Action{Renew{e.current.peer}}
	case drawAnew:
		return e.balance(now)
	case suspect, leaveMute, begin:
		e.startRound(now)
	case waitOver:
		e.waitOver(now)
	case countLost:
		d.c.lost = true
	case suspectKey, askOutage:
		e.askSoon(e.t.AskSpread, now)
	case askBroker:
		return e.ask(now)
	case dropPeer:
		e.drop(d.c, now)
		return []Action{Remove{d.c.peer}}
	case repeatPeer:
		return e.repeat(d.c, now)
	case startPeer:
		return e.start(d.c, now)
	case endRound:
		return e.endRound(now)
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
