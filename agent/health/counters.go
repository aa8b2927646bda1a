// Package health tells whether the link to a gateway is alive: by what WireGuard counts, and by an echo request to the
// gateway's link address inside the tunnel. Each received byte is a sign of life, however late: a busy line is not a
// dead one.
package health

import (
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

// payloadBytes is more than WireGuard itself can have sent unasked within the first seconds after a handshake: a
// response (92), a cookie (64) and some keepalives (32 each). A device that received more got payload: the inside of
// the tunnel works.
const payloadBytes = 1000

// Counters turns successive readings of a WireGuard device into events. It compares values and never looks at the wall
// clock: WireGuard reports handshakes as wall-clock times, which jump when NTP sets the clock.
type Counters struct {
	peers map[wgtypes.Key]reading
}

type reading struct {
	handshake time.Time
	shaken    time.Time // when that was seen first; the zero Time for none
	rx        int64
	payload   int64 // rx when the peer was last created or promoted
	told      int64 // bytes since the reading that are known from elsewhere
}

// Forget drops what is known of a peer, because it was created anew or has a new role: its counters start from here.
func (c *Counters) Forget(k wgtypes.Key) { delete(c.peers, k) }

// Answered notes that an answer to an echo request has come from the peer's address since the last reading. At the next
// reading its bytes are no sign of life of their own: that one would be later than the answer was.
func (c *Counters) Answered(k wgtypes.Key, from netip.Addr) {
	if r, ok := c.peers[k]; ok {
		r.told += answerSize(from)
		c.peers[k] = r
	}
}

// answerSize is what WireGuard counts for an answer, in bytes: the packet, padded to a multiple of 16, with a header of
// 16 and a tag of 16 (WireGuard paper, section 5.4.6).
func answerSize(from netip.Addr) int64 {
	header := int64(20) // RFC 791
	if from.Is6() {
		header = 40 // RFC 8200
	}
	return (header+minMessage+15)/16*16 + 32
}

// Observe compares a reading with the one before and gives what has happened since. A handshake that stands in the
// first reading of a peer is an event too, unless the peer was adopted with it.
func (c *Counters) Observe(peers []wgtypes.Peer, at time.Time) []peerselector.Event {
	var events []peerselector.Event
	now := make(map[wgtypes.Key]reading, len(peers))
	for _, p := range peers {
		was, known := c.peers[p.PublicKey]
		is := reading{handshake: p.LastHandshakeTime, shaken: was.shaken, rx: p.ReceiveBytes, payload: was.payload}
		if is.rx < was.rx {
			was, is.payload, is.shaken = reading{}, 0, time.Time{} // created anew behind our back
		}
		if !is.handshake.IsZero() && !is.handshake.Equal(was.handshake) {
			is.shaken = at
			events = append(events, peerselector.Handshake{Key: peerselector.Key(p.PublicKey)})
		}
		if !known {
			is.payload = is.rx
		} else if is.rx > was.rx+was.told {
			events = append(events, peerselector.Alive{Key: peerselector.Key(p.PublicKey),
				Reply: is.rx-is.payload > payloadBytes})
		}
		now[p.PublicKey] = is
	}
	c.peers = now
	return events
}

// Oldest is when a handshake was seen of the peer whose latest is the longest ago; the zero Time when one has none.
func (c *Counters) Oldest() (at time.Time) {
	first := true
	for _, r := range c.peers {
		if first || r.shaken.Before(at) {
			at, first = r.shaken, false
		}
	}
	return at
}

// Only says that the devices had that peer, and no other, at the last reading.
func (c *Counters) Only(k wgtypes.Key) bool {
	_, ok := c.peers[k]
	return ok && len(c.peers) == 1
}
