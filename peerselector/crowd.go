package peerselector

import "time"

// What one node of a large network leaves to the others. docs/fleet.md has the figures.
const (
	// firstShare spreads the first questions after a loss of all gateways to 128 a second: gateways work off 200 keys a
	// second (wgkex's worker, measured).
	firstShare = 7800 * time.Microsecond
	// laterShare has each node ask after one to three times this for each node, 67 questions a second together.
	laterShare = 7500 * time.Microsecond
	// roundShare is what the longest wait after an empty round grows by for each node.
	roundShare = 2 * time.Millisecond
	// thinFrom is the number of nodes from which on a gateway gets fewer handshakes from each.
	thinFrom = 1000
	// aloneShare: where a node knows one gateway only, that is one of several, and few nodes miss it.
	aloneShare = 4
)

// For returns the timing for one of so many nodes that share brokers and gateways, and that may lose all of them at one
// moment. 0 means that it is not known: then each node does its best for itself.
func (t Timing) For(nodes int) Timing {
	if nodes <= 0 {
		return t
	}
	n := time.Duration(nodes)
	if spread := n * firstShare; spread >= time.Second {
		t.AskSpread = spread
	}
	t.AskEvery = max(t.AskEvery, n*laterShare)
	t.AskJitter = max(t.AskJitter, 2*n*laterShare)
	t.BackoffMax = max(t.BackoffMax, n*roundShare)
	if nodes >= thinFrom {
		// All of them may begin at one moment: each begins a handshake a second, about.
		t.Stagger *= 3
		t.Retries = []time.Duration{1900 * time.Millisecond, 2 * time.Second}
		t.LateRetries = 0
		// The gateways' workers have queues: the broker's choice learns our key as late as any other.
		t.HeadStart = t.Dense
	}
	return t
}

// crowded says that the broker has to be left time between questions, also between the first few.
func (t Timing) crowded() bool { return t.AskSpread > 0 }
