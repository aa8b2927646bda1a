package fleet

import (
	"time"

	"wguplink/peerselector"
)

const (
	// goLoad is how many waiting handshakes make wireguard-go consider itself under load: an eighth of its queue
	// (QueueHandshakeSize is 1024, device/queueconstants_default.go and device.go, IsUnderLoad). Linux has four times
	// as many (MAX_QUEUED_INCOMING_HANDSHAKES, drivers/net/wireguard/messages.h and receive.c).
	goLoad = 1024 / 8
	// handshakeWork is what an initiation costs one core of a gateway, and strangerWork one with an unknown key, which
	// is given up after the first operation on Curve25519: wireguard-go on a busy core of 2026 (0.57 and 0.14 ms,
	// BenchmarkResponder). The kernel's is faster, and uses all cores.
	handshakeWork = 600 * time.Microsecond
	strangerWork  = 150 * time.Microsecond
)

// gateway is one gateway: what its WireGuard knows, and what it has to do. It is the device of a real worker.
type gateway struct {
	c     *clock
	index int
	peer  peerselector.Peer
	alive bool

	known    map[peerselector.Key]time.Time // the last handshake; zero: none yet
	sessions map[peerselector.Key]int       // the node's generation that has a session
	arrived  *series                        // initiations
	vain     *series                        // those while it was away
	backlog  time.Duration                  // work that waits
	worked   time.Time
	finished []time.Time // when each that waits will be done
	deepest  int         // most initiations waiting at once
}

// AddKey implements worker.Device. A key that is there stays as it is.
func (g *gateway) AddKey(k peerselector.Key) error {
	if _, ok := g.known[k]; !ok {
		g.known[k] = time.Time{}
	}
	return nil
}

// RemoveKey implements worker.Device.
func (g *gateway) RemoveKey(k peerselector.Key) error {
	delete(g.known, k)
	delete(g.sessions, k)
	return nil
}

// Handshakes implements worker.Device.
func (g *gateway) Handshakes() (map[peerselector.Key]time.Time, error) { return g.known, nil }

// Data implements worker.Device.
func (g *gateway) Data() (port uint16, key peerselector.Key, linkAddress string) {
	return gatewayPort, g.peer.PublicKey, g.peer.LinkAddress.String()
}

// forget drops all sessions, and the keys, too, unless they are kept.
func (g *gateway) forget(keepKeys bool) {
	clear(g.sessions)
	if !keepKeys {
		clear(g.known)
		return
	}
	for k := range g.known {
		g.known[k] = time.Time{}
	}
}

// initiation is a handshake that a node begins. done says when it is answered; ok is false when it is not.
func (g *gateway) initiation(k peerselector.Key, generation int) (done time.Time, ok bool) {
	if !g.alive {
		g.vain.count(g.c.now)
		return done, false
	}
	g.arrived.count(g.c.now)
	_, known := g.known[k]
	work := handshakeWork
	if !known {
		work = strangerWork
	}
	g.backlog = max(0, g.backlog-g.c.now.Sub(g.worked)) + work
	g.worked = g.c.now
	g.finished = append(g.finished, g.c.now.Add(g.backlog))
	for g.finished[0].Before(g.c.now) {
		g.finished = g.finished[1:]
	}
	g.deepest = max(g.deepest, len(g.finished))
	if !known {
		return done, false
	}
	g.sessions[k] = generation
	g.known[k] = g.c.now
	return g.c.now.Add(g.backlog), true
}

// answers says whether a packet in a session gets an answer.
func (g *gateway) answers(k peerselector.Key, generation int) bool {
	return g.alive && g.sessions[k] == generation && g.c.now.Sub(g.known[k]) < peerselector.RejectAfter
}
