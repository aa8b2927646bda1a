package peerselector

import (
	"fmt"
	"time"
)

// State is what the engine is about.
//
//	          WANUp                      Handshake
//	Idle ─────────────────────▶ Racing ─────────────▶ Connected ◀──────────┐
//	  ▲                         ▲    │                 │   ▲                │ Handshake of another
//	  │ WANDown, no gateway     │    │ every peer      │   │ Alive          │ (the present one still silent)
//	  │ in use                  │    ▼ tried in vain   ▼   │                │
//	  └──── any of these        Waiting               Suspect ─────────────┘
//	                            (backoff, then asks     │ races beside the present one
//	                             the broker again)      ▼ silent for GiveUp: Racing
type State int

// The states of an Engine.
const (
	Idle      State = iota // no WAN, or no peer to try and no broker to ask
	Racing                 // no gateway in use; registration or handshakes under way
	Waiting                // every peer was tried in vain; the backoff runs
	Connected              // a gateway is in use and alive
	Suspect                // the gateway in use is silent, or mute; others are raced beside it
)

func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Racing:
		return "racing"
	case Waiting:
		return "waiting"
	case Connected:
		return "connected"
	case Suspect:
		return "suspect"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Config is what an Engine is made from.
type Config struct {
	Timing Timing
	// Broker says that there is a broker to register with; the first race waits for its answer.
	Broker bool
	// Intn gives a uniform number in [0, n); n > 0. It should draw on crypto/rand: nodes that boot together must differ.
	Intn func(n int64) int64
}

// Engine is the state machine. The zero value is not usable; call New. It is not safe for concurrent use.
type Engine struct {
	cfg   Config
	t     Timing
	wan   bool
	cands []*candidate // in the order of this round

	static []Peer
	broker []Peer

	current   *candidate // in use: has the allowed IPs
	lastAlive time.Time  // of the current one
	promoted  time.Time
	answered  bool // the current one answered inside the tunnel since its promotion
	lastProbe time.Time

	round     int       // empty rounds in a row
	running   bool      // a round is under way
	began     time.Time // of the round under way, or of the last one
	nextStart time.Time // no start before that
	wait      time.Time // backoff after an empty round; zero when none

	asking   bool
	askedAt  time.Time
	asked    bool      // a broker has answered or failed at least once
	asks     int       // questions since a gateway was last in use
	notAsk   time.Time // no question to the broker before that
	askAgain bool
}

type candidate struct {
	peer    Peer
	failed  time.Time // zero: did not fail lately
	mute    bool      // shook hands, but the inside of the tunnel stayed silent
	tried   bool      // in this round
	active  bool      // handshake under way
	started time.Time
	attempt int
}

// New makes an Engine without WAN and without peers.
func New(cfg Config) *Engine { return &Engine{cfg: cfg, t: cfg.Timing} }

// State is the present state.
func (e *Engine) State() State {
	switch {
	case e.current != nil && e.running:
		return Suspect
	case e.current != nil && e.wan && !e.wait.IsZero():
		return Suspect
	case e.current != nil:
		return Connected
	case !e.wan:
		return Idle
	case e.running || e.asking:
		return Racing
	case !e.wait.IsZero():
		return Waiting
	}
	return Idle
}

// Current is the gateway in use; ok is false when there is none.
func (e *Engine) Current() (p Peer, ok bool) {
	if e.current == nil {
		return Peer{}, false
	}
	return e.current.peer, true
}

// Mute says that the gateway in use shook hands but has answered nothing inside the tunnel for longer than Timing.Mute.
func (e *Engine) Mute() bool { return e.current != nil && e.current.mute }

// EmptyRounds is how many rounds in a row have ended without any peer answering.
func (e *Engine) EmptyRounds() int { return e.round }

// Asking says that a broker has been asked and has not answered yet.
func (e *Engine) Asking() bool { return e.asking }

// Racing says that handshakes are under way, in a round that began at since: the caller should look for them often.
func (e *Engine) Racing() (since time.Time, ok bool) {
	for _, c := range e.cands {
		if c.active {
			return e.began, true
		}
	}
	return time.Time{}, false
}

// Handle takes one event and gives the actions that follow from it, in order.
func (e *Engine) Handle(ev Event, now time.Time) []Action {
	var acts []Action
	switch ev := ev.(type) {
	case Tick:
	case WANUp:
		acts = e.wanUp(now)
	case WANDown:
		acts = e.wanDown()
	case Static:
		e.static = ev.Peers
		acts = e.merge(now)
	case BrokerAnswered:
		acts = e.registered(ev.Peers, now)
	case BrokerFailed:
		e.told(ev.RetryAfter, now)
	case BrokerChanged:
		e.notAsk, e.asks = time.Time{}, 0
		e.askAgain = e.cfg.Broker && e.current == nil && !e.asking // a question under way is asked anew by the caller
	case Adopted:
		acts = e.adopt(ev.Peer, now)
	case Handshake:
		acts = e.handshake(ev.Key, now)
	case Failed:
		acts = e.fail(ev.Key, now)
	case Alive:
		acts = e.alive(ev, now)
	default:
		// A new event type without a case is a mistake in this package; doing nothing is the safe answer to it.
	}
	return append(acts, e.advance(now)...)
}

func (e *Engine) wanUp(now time.Time) []Action {
	if e.wan {
		return nil
	}
	e.wan = true
	if e.current != nil {
		// Whatever was silent while there was no way out says nothing about the gateway.
		e.lastAlive = now
		return nil
	}
	e.round = 0
	e.wait = time.Time{}
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
	e.broker = peers
	if c := e.current; c != nil && !contains(peers, c.peer.PublicKey) && !contains(e.static, c.peer.PublicKey) {
		// A broker names the one it likes best at that moment; that is no verdict on the one in use.
		e.broker = append(e.broker[:len(e.broker):len(e.broker)], c.peer)
	}
	acts := e.merge(now)
	if e.current != nil && e.silent(now) {
		acts = append(acts, Renew{e.current.peer})
	}
	if e.current == nil && e.running {
		// Whatever was tried before was tried with a key that nobody knew.
		for _, c := range e.cands {
			c.tried = c.active
			c.started, c.attempt = now, 0
		}
		e.nextStart = now
	}
	return acts
}

func contains(peers []Peer, k Key) bool {
	for _, p := range peers {
		if p.PublicKey == k {
			return true
		}
	}
	return false
}

func (e *Engine) adopt(p Peer, now time.Time) []Action {
	if e.current != nil {
		return nil
	}
	c := e.find(p.PublicKey)
	if c == nil {
		c = &candidate{peer: p}
		e.cands = append(e.cands, c)
		e.broker = append(e.broker, p)
	}
	e.use(c, now)
	return e.stopRound()
}

func (e *Engine) use(c *candidate, now time.Time) {
	c.active, c.failed, c.mute = false, time.Time{}, false
	e.current, e.promoted, e.lastAlive = c, now, now
	e.answered = false
	e.lastProbe = time.Time{}
	e.round, e.asks = 0, 0
	e.wait = time.Time{}
}

func (e *Engine) handshake(k Key, now time.Time) []Action {
	c := e.find(k)
	switch {
	case c == nil:
		return nil
	case c == e.current:
		return e.alive(Alive{Key: k}, now)
	case !c.active:
		return nil // a late answer of one that was given up
	}
	if e.current != nil && !e.deserted(now) {
		return nil // came back in the meantime; alive has ended the race already
	}
	old := e.current
	e.use(c, now)
	acts := []Action{Promote{c.peer}}
	if old != nil {
		if !old.mute {
			old.failed = now
		}
		acts = append(acts, Remove{old.peer})
	}
	return append(acts, e.stopRound()...)
}

// deserted says that the gateway in use gives reason to leave it.
func (e *Engine) deserted(now time.Time) bool {
	return e.current.mute || e.silent(now)
}

// silent says that nothing at all came from the gateway in use for too long.
func (e *Engine) silent(now time.Time) bool { return now.Sub(e.lastAlive) >= e.suspicion() }

func (e *Engine) suspicion() time.Duration {
	if e.answered {
		return e.t.Suspicion
	}
	return e.t.SuspicionMute
}

func (e *Engine) alive(a Alive, now time.Time) []Action {
	if e.current == nil || e.current.peer.PublicKey != a.Key {
		return nil
	}
	e.lastAlive = now
	if a.Reply {
		e.answered = true
		e.current.mute = false
	}
	if e.current.mute {
		return nil // that WireGuard lives is no news; a better one is still wanted
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
	c.active = false
	c.failed = now
	e.nextStart = now // nothing was sent: no reason to hold the next one back
	return []Action{Remove{c.peer}}
}

func (e *Engine) find(k Key) *candidate {
	for _, c := range e.cands {
		if c.peer.PublicKey == k {
			return c
		}
	}
	return nil
}

// merge makes the candidates from the broker's and the configured peers. Who is known keeps his history; a gateway named
// twice counts once, as the broker describes it.
func (e *Engine) merge(now time.Time) []Action {
	var acts []Action
	old := e.cands
	e.cands = nil
	for _, p := range append(append([]Peer(nil), e.broker...), e.static...) {
		if e.find(p.PublicKey) != nil {
			continue
		}
		c := &candidate{peer: p}
		for _, o := range old {
			if o.peer.PublicKey == p.PublicKey {
				o.peer = p
				c = o
			}
		}
		e.cands = append(e.cands, c)
	}
	for _, o := range old {
		if e.find(o.peer.PublicKey) != nil {
			continue
		}
		if o == e.current {
			e.current = nil
		} else if !o.active {
			continue
		}
		acts = append(acts, Remove{o.peer})
	}
	e.shuffle(now)
	if e.current == nil && e.wan && len(e.cands) > 0 && !e.running {
		e.wait = time.Time{}
		e.startRound(now)
	}
	return acts
}

// shuffle brings the candidates into the order of a round: at random, the preferred first, those that failed lately last.
func (e *Engine) shuffle(now time.Time) {
	for i := len(e.cands) - 1; i > 0; i-- {
		j := int(e.cfg.Intn(int64(i + 1)))
		e.cands[i], e.cands[j] = e.cands[j], e.cands[i]
	}
	rank := func(c *candidate) int {
		r := 0
		if e.failedLately(c, now) {
			r += 2
		}
		if !c.peer.Preferred {
			r++
		}
		return r
	}
	// Insertion sort: stable, and the list is short.
	for i := 1; i < len(e.cands); i++ {
		for j := i; j > 0 && rank(e.cands[j]) < rank(e.cands[j-1]); j-- {
			e.cands[j], e.cands[j-1] = e.cands[j-1], e.cands[j]
		}
	}
}

func (e *Engine) failedLately(c *candidate, now time.Time) bool {
	return !c.failed.IsZero() && now.Sub(c.failed) < e.t.FailMemory
}

func (e *Engine) startRound(now time.Time) {
	e.running = true
	e.began = now
	e.nextStart = now
	e.wait = time.Time{}
	for _, c := range e.cands {
		c.tried = false
	}
	e.shuffle(now)
}

// stopRound takes every handshake under way back.
func (e *Engine) stopRound() []Action {
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

// backoff is the wait after n failures in a row: exponential, capped, full jitter.
func (e *Engine) backoff(n int, most time.Duration) time.Duration {
	d := e.t.BackoffBase
	for i := 1; i < n && d < most; i++ {
		d *= 2
	}
	return time.Duration(1 + e.cfg.Intn(int64(min(d, most))))
}

func (e *Engine) patience() time.Duration {
	d := e.t.Patience
	for i := 0; i < e.round && d < e.t.MaxPatience; i++ {
		d *= 2
	}
	return min(d, e.t.MaxPatience)
}
