package peerselector

import "time"

// Timing holds the engine's constants. Default says why each is what it is.
type Timing struct {
	Stagger        time.Duration   // between the starts of two handshakes
	HeadStart      time.Duration   // before anybody else may start after a preferred peer did
	Parallel       int             // handshakes under way at once
	Retries        []time.Duration // when a peer is created anew, after its first start
	Patience       time.Duration   // for one peer in the first round; doubles with each empty round
	MaxPatience    time.Duration
	AskPatience    time.Duration // how long the first registration may hold up known gateways
	Quiet          time.Duration // silence before the present gateway is probed
	ProbeEvery     time.Duration // between probes while it is silent
	Suspicion      time.Duration // silence before others are tried beside it
	SuspicionMute  time.Duration // the same for a gateway that never answered a probe
	SuspicionBlind time.Duration // the same for one without an address to probe
	Grace          time.Duration // the least that a silent gateway gets for an answer once another has given one
	MaxGrace       time.Duration // the most
	Mute           time.Duration // without any answer inside the tunnel, after promotion, before another is tried
	GiveUp         time.Duration // silence after which the present one is an ordinary candidate again
	FailMemory     time.Duration // how long a failed peer goes last
	BackoffBase    time.Duration // first wait after an empty round; doubles, with full jitter
	BackoffMax     time.Duration
	AskMax         time.Duration // the same for questions to the broker
	Lost           time.Duration // without an answer to a handshake, before the gateway may have lost our key
	KeyMemory      time.Duration // after a registration, before gateways may have lost our key
	RotateRounds   int           // empty rounds before another source port is tried
}

// Default is the timing of the field.
func Default() Timing {
	return Timing{
		// Longer than a usual round trip, so that the random first one wins and the load stays even; short enough that
		// two dead gateways in front cost little more than half a second.
		Stagger: 300 * time.Millisecond,
		// The broker balances its gateways; and they learn a new key only 0.07 to 1.05 s after its answer (measured).
		HeadStart: time.Second,
		Parallel:  4,
		// Never closer than 250 ms (TAI64N stamps are coarse, gateways rate-limit); growing, because each new start
		// forgets the one before, and a line slower than the gap would never finish. After the last WireGuard's own 5 s
		// retries go on.
		Retries:  []time.Duration{250 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond, 2 * time.Second},
		Patience: 3 * time.Second,
		// WireGuard cannot complete a handshake over a round trip longer than 5 s anyhow; two of its tries.
		MaxPatience: 12 * time.Second,
		AskPatience: 2 * time.Second,
		// One small packet each 3 s on an idle link, none on a busy one.
		Quiet:      3 * time.Second,
		ProbeEvery: time.Second,
		// Three probes unanswered; a dead gateway then costs 6 s plus one race.
		Suspicion: 6 * time.Second,
		// A peer that got data owes a keepalive within 10 s (KEEPALIVE_TIMEOUT in the WireGuard paper, section 6.5): so a
		// gateway which filters our probes still shows life that way.
		SuspicionMute: 16 * time.Second,
		// An idle peer says nothing but a new handshake after each REKEY_AFTER_TIME (120 s), with up to 15 s of keepalive
		// and its own tries to that: what wgpeerselector takes for the limit, too.
		SuspicionBlind: 150 * time.Second,
		// A probe's round trip on a usual line.
		Grace: 250 * time.Millisecond,
		// WireGuard gives a handshake up after 5 s (REKEY_TIMEOUT) itself: no rival has needed more.
		MaxGrace: 5 * time.Second,
		Mute:     5 * time.Second,
		GiveUp:      RejectAfter,
		FailMemory:  10 * time.Minute,
		BackoffBase: time.Second,
		BackoffMax:  time.Minute,
		// A broker that comes back must not meet all its nodes within a minute.
		AskMax: 2 * time.Minute,
		// Longer than a handshake on a usual line; a slow one costs a registration more.
		Lost: time.Second,
		// Gateways learn a key up to 1.05 s after the broker's answer (measured), and forget it after hours.
		KeyMemory: 30 * time.Second,
		// About 20 s after the first try, with the patience of each round and the waits between.
		RotateRounds: 3,
	}
}

// RejectAfter is the age at which a session is void: REJECT_AFTER_TIME in the WireGuard paper, section 6.1.
const RejectAfter = 180 * time.Second
