package peerselector

import "time"

func (e *Engine) wanUp(now time.Time) []Action {
	if e.wan {
		return nil
	}
	e.wan = true
	if e.current != nil {
		// Silence while there was no way out says nothing about the gateway.
		e.lastAlive, e.unanswered = now, time.Time{}
		if !e.probed() {
			return nil
		}
		// Behind a NAT the gateway may only now learn our new place.
		return e.probe(now)
	}
	e.round = 0
	e.startRound(now)
	return nil
}

func (e *Engine) wanDown() []Action {
	e.wan = false
	return e.stopRound()
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
		e.shaken = now
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
