package peerselector

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"
)

// Key is a WireGuard public key: 32 bytes of Curve25519.
type Key [32]byte

// String gives the key in base64, as wg(8) and the brokers write it.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText is String as bytes.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (k *Key) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(k) {
		return fmt.Errorf("public key %.60q: not 32 bytes in base64", text)
	}
	copy(k[:], b)
	return nil
}

// Peer is one gateway that the selector may choose. PublicKey identifies it.
type Peer struct {
	// Name is for people: the UCI section, or the host of the first endpoint.
	Name      string
	PublicKey Key
	// Endpoints are "host:port" or "[v6]:port", in order of preference. Names are resolved anew for each attempt.
	Endpoints []string
	// LinkAddress is the gateway's own address inside the tunnel; it is the VXLAN remote and is probed. A peer without
	// one cannot be probed: only its handshakes and its traffic tell whether it is alive.
	LinkAddress netip.Addr
	// AllowedIPs are what the peer may send and receive once it is promoted.
	AllowedIPs []netip.Prefix
	// Keepalive is the persistent keepalive once the peer is promoted, in whole seconds; 0 means the uplink's.
	Keepalive time.Duration
	// Preferred peers are tried before the others: the broker's choice, or one in the preferred location.
	Preferred bool
}
