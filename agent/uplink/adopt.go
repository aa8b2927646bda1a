package uplink

import (
	"encoding/json"
	"os"
	"path/filepath"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// saved is the gateway in use, kept in RAM for an agent that starts after a crash.
type saved struct {
	Protocol string            `json:"protocol"`
	Domain   string            `json:"domain"`
	Peer     peerselector.Peer `json:"peer"`
}

func (u *Uplink) gatewayFile() string { return filepath.Join(u.o.RunDir, u.cfg.Name+".gateway") }

func (u *Uplink) forgetGateway() { os.Remove(u.gatewayFile()) }

func (u *Uplink) saveGateway(in *installed) {
	b, err := json.Marshal(saved{u.cfg.Protocol.String(), u.cfg.Domain, in.peer})
	if err == nil {
		if err = os.WriteFile(u.gatewayFile()+".tmp", b, 0o600); err == nil {
			err = os.Rename(u.gatewayFile()+".tmp", u.gatewayFile())
		}
	}
	if err != nil {
		u.log.Warn("the gateway in use is not kept for a restart of the agent", "err", err)
	}
}

// adopt goes on with the gateway that an agent before us used, if the device still holds it. Whether it is alive shows
// within seconds, as for any other.
func (u *Uplink) adopt() {
	var s saved
	b, err := os.ReadFile(u.gatewayFile())
	if err != nil || json.Unmarshal(b, &s) != nil || u.keyErr != nil {
		return
	}
	if s.Protocol != u.cfg.Protocol.String() || s.Domain != u.cfg.Domain || u.cfg.Protocol == config.Static && !u.configured(s.Peer) {
		return
	}
	dev, err := u.tun.Status(u.cfg.Interface)
	if err != nil || dev.PrivateKey != u.key.Private.Reveal() {
		return
	}
	for _, p := range dev.Peers {
		if peerselector.Key(p.PublicKey) != s.Peer.PublicKey || len(p.AllowedIPs) == 0 || p.LastHandshakeTime.IsZero() || p.Endpoint == nil {
			continue
		}
		u.peers[s.Peer.PublicKey] = &installed{peer: s.Peer, endpoint: unmap(p.Endpoint.AddrPort()), promoted: true}
		u.handle(peerselector.Adopted{Peer: s.Peer})
		u.connected = status.Now()
		u.log.Info("going on with the gateway in use", "gateway", s.Peer.Name)
	}
}

func (u *Uplink) configured(p peerselector.Peer) bool {
	for _, g := range u.cfg.Gateways {
		if g.PublicKey == p.PublicKey {
			return true
		}
	}
	return false
}
