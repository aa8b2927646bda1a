package wgpeerselector

import (
	"math"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/agent/ubus"
)

// recent is how young the last handshake of an established connection is, in seconds: WireGuard renews its keys every
// two minutes while there is traffic. It is the original's figure.
const recent = 150

// Status is the answer to method status of the ubus object Name: {"peers": {"gw1": {"established": 17}, "gw2": {}}},
// with the seconds since the connection was established. Gluon's respondd passes it on as the statistics mesh_vpn.
// Lua's binding sends a peer that is not connected as an empty array, which Yanic cannot read; an empty table it can.
func Status(u config.Uplink, s status.Snapshot, now status.Uptime) ubus.Table {
	peers := ubus.Table{}
	for _, p := range u.Gateways {
		peer := ubus.Table{}
		if g := s.Gateway; g != nil && g.PublicKey == p.PublicKey.String() && established(s, now) {
			peer = append(peer, ubus.Field{Name: "established",
				Value: int32(min(g.Established.Age(now), math.MaxInt32))})
		}
		peers = append(peers, ubus.Field{Name: p.Name, Value: peer})
	}
	return ubus.Table{{Name: "peers", Value: peers}}
}

func established(s status.Snapshot, now status.Uptime) bool {
	if s.State != status.Connected && s.State != status.Suspect {
		return false
	}
	return s.Gateway.HandshakeAt != 0 && s.Gateway.HandshakeAt.Age(now) < recent
}
