// Package parker knows what follows for a node from a signed configuration together with its line: sizes of packets, and what
// such a configuration may not do to the WAN. It has no state, and asks nobody.
package parker

import (
	"net/netip"
	"time"
)

// What WireGuard costs on the line, in bytes: UDP 8, message header 16, authenticator 16, and an IP header of 20 or 40 (RFC 791,
// RFC 8200).
const (
	overhead4 = 60
	overhead6 = 80
)

// MinMTU is the smallest that IPv6 works over, in bytes (RFC 8200, section 5).
const MinMTU = 1280

// XLAT4 is what IPv4 has to leave for 464XLAT, in bytes: the header becomes 20 larger, and a fragment gets one of 8 (RFC 7915).
const XLAT4 = 28

// live is how old the handshake of a tunnel in use may be (REJECT_AFTER_TIME in the WireGuard paper, section 6.1).
const live = 180 * time.Second

// MTU is that of a tunnel to this endpoint, in bytes: the configured one, or less where the WAN does not carry it. wan is the
// WAN's in bytes, 0 when it is not known; an endpoint that is not known yet is the zero Addr.
func MTU(configured int, endpoint netip.Addr, wan int) int {
	mtu := configured
	if wan != 0 && endpoint.IsValid() {
		overhead := overhead6
		if endpoint.Unmap().Is4() {
			overhead = overhead4
		}
		mtu = min(mtu, wan-overhead)
	}
	return max(MinMTU, mtu)
}

// Tunnel is a tunnel's MTU in bytes, and the age of its last handshake; a negative age is none.
type Tunnel struct {
	MTU int
	Age time.Duration
}

// ClientMTU is what clients may send, in bytes: each live tunnel takes it, so that a switch between them loses nothing. 0 when no
// tunnel is live.
func ClientMTU(tunnels []Tunnel) int {
	smallest := 0
	for _, t := range tunnels {
		if t.Age >= 0 && t.Age < live && (smallest == 0 || t.MTU < smallest) {
			smallest = t.MTU
		}
	}
	return smallest
}
