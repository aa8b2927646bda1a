package peerselector

import "time"

// Event is something the caller saw.
type Event interface{ event() }

type (
	// Tick says only that time has passed. The caller sends one when Next is reached, after it has reported what else
	// it saw.
	Tick struct{}

	// WANUp says that there is a default route out; WANDown that there is none any more.
	WANUp   struct{}
	WANDown struct{}

	// Static is the configured list of gateways. It replaces an earlier one.
	Static struct{ Peers []Peer }

	// BrokerAnswered says that a broker took our key. Peers are the gateways it named; none is a good answer too.
	BrokerAnswered struct{ Peers []Peer }

	// BrokerFailed says that no broker could be used. RetryAfter is how long it asked us to stay away, 0 if it did not.
	BrokerFailed struct{ RetryAfter time.Duration }

	// BrokerChanged says that the brokers are others now: what earlier ones answered, or did not, counts no more.
	BrokerChanged struct{}

	// Adopted says that this peer was found at work when the agent started; it stays in use without a race.
	Adopted struct{ Peer Peer }

	// Remembered says that an agent before us, since the last boot, was connected to this peer: it is tried first,
	// once.
	Remembered struct{ Peer Peer }

	// Crowd says how many nodes share brokers and gateways; 0 means that it is not known. See Timing.For.
	Crowd struct{ Nodes int }

	// Reconnect asks for a switch although nothing is wrong: to the gateway with that key, or, with the zero Key, to
	// any other. The present one is kept until the new one has answered, and for good if it does not.
	Reconnect struct{ Key Key }

	// Rebalance says how often, on average, to draw the gateway anew although the present one works; 0 means never.
	Rebalance struct{ Every time.Duration }

	// Economy says how often to probe a link on which nothing else is received; 0 means Timing.ProbeEvery.
	Economy struct{ ProbeEvery time.Duration }

	// Handshake says that the peer's latest handshake changed.
	Handshake struct{ Key Key }

	// Failed says that a peer cannot even be tried now, e.g. because its name does not resolve.
	Failed struct{ Key Key }

	// Alive says that bytes came from the peer. Reply is set when they answered a probe, or can only be payload: then
	// the inside of the tunnel works, not only WireGuard.
	Alive struct {
		Key   Key
		Reply bool
		RTT   time.Duration // how long the answer took; 0 when that is not known
	}
)

func (Tick) event()           {}
func (WANUp) event()          {}
func (WANDown) event()        {}
func (Static) event()         {}
func (BrokerAnswered) event() {}
func (BrokerFailed) event()   {}
func (BrokerChanged) event()  {}
func (Adopted) event()        {}
func (Remembered) event()     {}
func (Reconnect) event()      {}
func (Rebalance) event()      {}
func (Economy) event()        {}
func (Crowd) event()          {}
func (Handshake) event()      {}
func (Failed) event()         {}
func (Alive) event()          {}

// Action is something the caller shall do. Actions are to be carried out in the order given.
type Action interface{ action() }

type (
	// Install makes the peer start a handshake at once, without allowed IPs. Attempt counts from 0; for each further
	// attempt the peer is created anew, because WireGuard itself would wait 5 s before it tries again (REKEY_TIMEOUT in
	// the WireGuard paper, section 6.1), and the next of the endpoint's addresses is used.
	Install struct {
		Peer    Peer
		Attempt int
	}

	// Promote gives the peer its allowed IPs and points the tunnel at it. The one promoted before follows in a Remove.
	Promote struct{ Peer Peer }

	// Reaim points the gateway in use at the next of its addresses, looked up anew; its session stays. The address
	// family in use may have died, or the gateway moved.
	Reaim struct{ Peer Peer }

	// Renew creates the gateway in use anew, with its allowed IPs: its session is void, because it had forgotten our
	// key.
	Renew struct{ Peer Peer }

	// Remove takes the peer off the device.
	Remove struct{ Peer Peer }

	// Probe sends one small packet through the tunnel that the peer will answer.
	Probe struct{ Peer Peer }

	// RotatePort has WireGuard send from another port: there are NATs, and DS-Lite lines, that lose one for good.
	RotatePort struct{}

	// AskBroker registers the key again and asks for gateways; BrokerAnswered or BrokerFailed must follow.
	AskBroker struct{}
)

func (Install) action()    {}
func (Promote) action()    {}
func (Reaim) action()      {}
func (Renew) action()      {}
func (Remove) action()     {}
func (Probe) action()      {}
func (RotatePort) action() {}
func (AskBroker) action()  {}
