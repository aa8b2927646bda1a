package peerselector

import (
	"fmt"
	"time"
)

// State is what the engine is about.
//
//	        WANUp              Handshake               Reconnect, rebalance
//	Idle ─────────▶ Racing ───────────────▶ Connected ─────────────────────▶ Switching
//	 ▲               ▲  │ ▲                  │ ▲  ▲ ▲                             │
//	 │ WANDown,      │  │ │   silent or mute │ │  │ └─────────────────────────────┘
//	 │ no gateway    │  │ │                  ▼ │  │   Handshake of the one wanted, or its
//	 │ in use        │  │ │              Suspect  │   patience is over: the present one stays
//	 │       backoff │  │ │  silent for   │ │  │  │
//	 │       is over │  │ └───────────────┘ │  └──┘ Handshake of another, and the present one
//	 │               │  ▼ every peer  GiveUp│       silent even through the grace
//	 └───────────── Waiting  tried in vain  └─ Alive: back to Connected
//
// A WAN that goes and comes changes nothing while a gateway is in use.
type State int

// The states of an Engine.
const (
	Idle      State = iota // no WAN, or no peer to try and no broker to ask
	Racing                 // no gateway in use; registration or handshakes under way
	Waiting                // every peer was tried in vain; the backoff runs
	Connected              // a gateway is in use and alive
	Suspect                // the gateway in use is silent, or mute; others are raced beside it
	Switching              // the gateway in use is alive; another is tried at an operator's wish or to spread load
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
	case Switching:
		return "switching"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// Config is what an Engine is made from.
type Config struct {
	Timing Timing
	// Broker says that there is a broker to register with; the first race waits for its answer.
	Broker bool
	// Standby says that a peer keeps trying for a session after its Remove, because it has a device of its own: when no
	// gateway is in use, the first to shake hands is taken, whether it has its turn or not.
	Standby bool
	// Intn gives a uniform number in [0, n); n > 0. It should draw on crypto/rand: nodes that boot together must
	// differ.
	Intn func(n int64) int64
}

// Engine is the state machine. The zero value is not usable; call New. It is not safe for concurrent use.
type Engine struct {
	cfg    Config
	t      Timing
	wan    bool
	cands  []*candidate // in the order of this round
	static []Peer
	broker []Peer
	line   history

	inUse
	planned
	rounds
	questions
}

// inUse is about the gateway in use.
type inUse struct {
	current    *candidate // has the allowed IPs; nil when none is in use
	lastAlive  time.Time  // when its silence began: the last sign of life, or the WAN's return
	heard      time.Time  // the last sign of life
	promoted   time.Time
	answered   bool      // it answered inside the tunnel since its promotion
	shaken     time.Time // its latest handshake since its promotion; zero when there was none
	looked     time.Time // when the caller last read the counters
	lastProbe  time.Time
	unanswered time.Time // the first probe since lastAlive; zero when there was none
	renewed    time.Time // when it was created anew; zero when that was not needed, or has succeeded
	renewSent  time.Time // for the last time
	renewals   int
	rival      *candidate // has answered beside it while it was silent: it gets a last chance
	rivalUntil time.Time
}

// planned are switches that nothing is wrong to cause.
type planned struct {
	wish      *wish         // a switch that is wanted
	every     time.Duration // between draws of the gateway, on average; 0 means never
	rebalance time.Time     // the next draw
	redraw    bool          // the broker was asked for the sake of rebalancing
}

// rounds are about the handshakes with candidates.
type rounds struct {
	round     int       // empty rounds in a row
	running   bool      // a round is under way
	began     time.Time // of the round under way, or of the last one
	nextStart time.Time // no start before that
	wait      time.Time // backoff after an empty round; zero when none
}

// questions are about the broker.
type questions struct {
	asking     bool
	askedAt    time.Time
	registered bool         // a broker has answered or failed at least once
	asks       int          // questions since a gateway was last in use
	askTimes   [5]time.Time // of the latest questions
	notAsk     time.Time    // no question to the broker before that
	askAgain   bool
	keyTaken   time.Time     // when a broker last took our key
	denseUntil time.Time     // gateways are learning our key for the first time until then
	denseGap   time.Duration // between handshakes with one of them
}

// New makes an Engine without WAN and without peers.
func New(cfg Config) *Engine { return &Engine{cfg: cfg, t: cfg.Timing} }

// State is the present state.
func (e *Engine) State() State {
	switch {
	case e.current != nil && e.wish != nil:
		return Switching
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

// Silence is how long nothing has come from the gateway in use; 0 when there is none.
func (e *Engine) Silence(now time.Time) time.Duration {
	if e.current == nil {
		return 0
	}
	return now.Sub(e.lastAlive)
}

// Peers are all gateways that are known now, in no particular order.
func (e *Engine) Peers() []Peer {
	var ps []Peer
	for _, c := range e.cands {
		ps = append(ps, c.peer)
	}
	return ps
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
		e.looked = now
	case WANUp:
		acts = e.wanUp(now)
	case WANDown:
		acts = e.wanDown()
	case Static:
		e.static = ev.Peers
		acts = e.merge(now)
	case BrokerAnswered:
		acts = e.brokerAnswered(ev.Peers, now)
	case BrokerFailed:
		e.told(ev.RetryAfter, true, now)
		if e.redraw && e.current != nil {
			acts = e.draw(now)
		}
		e.redraw = false
	case BrokerChanged:
		e.notAsk, e.asks = time.Time{}, 0
		e.askAgain = e.cfg.Broker && e.current == nil && !e.asking // a question under way is asked anew by the caller
	case Adopted:
		acts = e.adopt(ev.Peer, now)
	case Remembered:
		acts = e.remember(ev.Peer, now)
	case Rebalance:
		e.every = ev.Every
		e.settleRebalance(now)
	case Economy:
		e.t.ProbeEvery = ev.ProbeEvery
		if ev.ProbeEvery <= 0 {
			e.t.ProbeEvery = e.cfg.Timing.ProbeEvery
		}
	case Crowd:
		every := e.t.ProbeEvery
		e.t = e.cfg.Timing.For(ev.Nodes)
		e.t.ProbeEvery = every
	case Reconnect:
		acts = e.reconnect(ev.Key, now)
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
