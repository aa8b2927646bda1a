// Package parker knows what follows for a node from a signed configuration together with its line: sizes of packets,
// and what such a configuration may not do to the WAN. It has no state, and asks no server.
package parker

import (
	"net/netip"
	"time"

	"wguplink/agent/mtu"
	"wguplink/peerselector"
)

// XLAT4 is what IPv4 has to leave for 464XLAT, in bytes: the header becomes 20 larger, and a fragment gets one of 8
// (RFC 7915).
const XLAT4 = 28

// MTU is that of a tunnel to this endpoint, in bytes: the configured one, or less where the WAN does not carry it. wan
// is the WAN's in bytes, 0 when it is not known; an endpoint that is not known yet is the zero Addr.
func MTU(configured int, endpoint netip.Addr, wan int) int {
	most := configured
	if wan != 0 && endpoint.IsValid() {
		overhead := mtu.WireGuard6
		if endpoint.Unmap().Is4() {
			overhead = mtu.WireGuard4
		}
		most = min(most, wan-overhead)
	}
	return max(mtu.Least, most)
}

// Tunnel is a tunnel's MTU in bytes, and the age of its last handshake; a negative age is none.
type Tunnel struct {
	MTU int
	Age time.Duration
}

// ClientMTU is what clients may send, in bytes: each tunnel with a session tunnel takes it, so that a switch between
// them loses nothing. 0 when no tunnel is live.
func ClientMTU(tunnels []Tunnel) int {
	smallest := 0
	for _, t := range tunnels {
		if t.Age >= 0 && t.Age < peerselector.RejectAfter && (smallest == 0 || t.MTU < smallest) {
			smallest = t.MTU
		}
	}
	return smallest
}
