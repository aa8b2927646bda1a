package peerselector

import "time"

// Timing holds the engine's constants. Default says why each is what it is.
type Timing struct {
	Stagger        time.Duration   // between the starts of two handshakes
	HeadStart      time.Duration   // before another may start after a preferred peer did
	Parallel       int             // handshakes under way at once
	Retries        []time.Duration // when a peer is created anew, after its first start
	LateRetries    int             // how many of them there are after an empty round
	Patience       time.Duration   // for one peer in the first round; doubles with each empty round
	MaxPatience    time.Duration
	AskPatience    time.Duration // how long the first registration may hold up known gateways
	Quiet          time.Duration // silence before the present gateway is probed
	ProbeEvery     time.Duration // between probes while each is answered
	ProbeNew       time.Duration // between probes of a gateway that has just been promoted
	ProbeFast      time.Duration // the least between probes while it is silent
	ProbeSlow      time.Duration // the most
	Look           time.Duration // the most between looks at the counters of a gateway in use
	Early          time.Duration // the least that an answer may take before others are tried beside it
	Unknown        time.Duration // the same while no round trip is known
	Leave          time.Duration // the least silence, from the first probe on, before it may be left
	Doubt          time.Duration // the same before the broker is asked for its sake
	MaxBurst       time.Duration // the longest silence that a line is expected to repeat
	SuspicionMute  time.Duration // the same for a gateway that never answered a probe
	SuspicionBlind time.Duration // the same for one without an address to probe
	Grace          time.Duration // the least that a silent gateway gets for an answer once another has given one
	GraceBurst     time.Duration // the same when the other has needed more than one handshake
	MaxGrace       time.Duration // the most
	Mute           time.Duration // without any answer inside the tunnel, after promotion, before another is tried
	MuteKnown      time.Duration // the same where another gateway is known to answer at once
	Prompt         time.Duration // the most that a gateway which answers at once needs
	GiveUp         time.Duration // silence after which the present one is an ordinary candidate again
	FailMemory     time.Duration // how long a failed peer goes last
	BackoffBase    time.Duration // first wait after an empty round; doubles, with full jitter
	BackoffMax     time.Duration
	AskEvery       time.Duration // the least between questions to the broker, after the first few
	AskJitter      time.Duration // what is added to that, at most
	AskSpread      time.Duration // by how much the first question in an outage may be put off
	AskMax         time.Duration // what is added at most to a broker that has failed for minutes
	Dense          time.Duration // how long after the first registration a gateway may take to learn our key
	DenseGap       time.Duration // between handshakes with one gateway meanwhile
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
		Retries: []time.Duration{250 * time.Millisecond, 600 * time.Millisecond,
			1200 * time.Millisecond, 2 * time.Second},
		LateRetries: 4,
		Patience:    3 * time.Second,
		// WireGuard cannot complete a handshake over a round trip longer than 5 s anyhow; two of its tries.
		MaxPatience: 12 * time.Second,
		AskPatience: 2 * time.Second,
		// More than a second, so that a link on which something comes each second is a busy one.
		Quiet: 1050 * time.Millisecond,
		// 30 a minute on an idle link, none on a busy one.
		ProbeEvery: 2 * time.Second,
		ProbeNew:   500 * time.Millisecond,
		ProbeFast:  200 * time.Millisecond,
		ProbeSlow:  time.Second,
		Look:       2 * time.Second,
		// The least RTO that TCP implementations use; RFC 6298 has 1 s, for a retransmission costs more than a
		// handshake.
		Early:   200 * time.Millisecond,
		Unknown: time.Second,     // RFC 6298, section 2.1
		Leave:   time.Second,     // a usual line repeats nothing longer; see package history
		Doubt:   3 * time.Second, // a burst should not lead a fleet to its broker
		// Longer than the bursts of lossy radio links, shorter than a modem's new connection.
		MaxBurst: 6 * time.Second,
		// A peer that got data owes a keepalive within 10 s (KEEPALIVE_TIMEOUT in the WireGuard paper, section 6.5): so
		// a gateway which filters our probes still shows life that way.
		SuspicionMute: 16 * time.Second,
		// An idle peer says nothing but a new handshake after each REKEY_AFTER_TIME (120 s), with up to 15 s of
		// keepalive and its own tries to that: what wgpeerselector takes for the limit, too.
		SuspicionBlind: 150 * time.Second,
		// Five probes. A dead gateway costs Quiet once or twice, Early, a handshake and this.
		Grace: 800 * time.Millisecond,
		// A dozen probes: the line itself was silent a moment ago.
		GraceBurst: 2500 * time.Millisecond,
		// WireGuard gives a handshake up after 5 s (REKEY_TIMEOUT) itself: no rival has needed more. Twice that, and a
		// little.
		MaxGrace: 12 * time.Second,
		// Gateways that poll for new peers do so each 10 s (wireguard-vxlan-glue).
		Mute:      12 * time.Second,
		MuteKnown: 5 * time.Second,
		Prompt:    1500 * time.Millisecond,
		// The session is void by then.
		GiveUp:      RejectAfter,
		FailMemory:  10 * time.Minute,
		BackoffBase: time.Second,
		// Gateways that come back are met within seconds; a round in vain is twenty packets.
		BackoffMax: 10 * time.Second,
		// Gateways that come back may have to be told our key: within 15 s for half of the nodes.
		AskEvery:  10 * time.Second,
		AskJitter: 8 * time.Second,
		// A broker that comes back after long must not meet all its nodes within a minute.
		AskMax: 2 * time.Minute,
		// A worker polls its queue each second and works it off one by one (measured: 0.07 to 1.05 s, and up to 3 s
		// under load).
		Dense: 3 * time.Second,
		// Gateways drop initiations closer than 20 ms, or with the same time stamp, which counts in steps of 16.8 ms;
		// under load they take 20 a second from one address.
		DenseGap: 100 * time.Millisecond,
		// Longer than a handshake on a usual line; a slow one costs a registration more.
		Lost: time.Second,
		// Gateways learn a key up to 1.05 s after the broker's answer (measured), and forget it after hours.
		KeyMemory: 30 * time.Second,
		// About 20 s after the first try, with the patience of each round and the waits between.
		RotateRounds: 3,
	}
}

// rekeyAfter is the age at which WireGuard begins to renew a session on which something is sent: REKEY_AFTER_TIME in
// the WireGuard paper, section 6.1.
const rekeyAfter = 120 * time.Second

// RejectAfter is the age at which a session is void: REJECT_AFTER_TIME in the WireGuard paper, section 6.1.
const RejectAfter = 180 * time.Second
