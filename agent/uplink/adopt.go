package uplink

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// saved is the gateway in use, kept in RAM for the next agent. A reboot forgets it: then the choice is random again, and a
// whole town that comes back after a power cut spreads evenly.
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

// goOn takes up the work of an agent before us: a gateway that is still at work on the device stays in use, and whether it is
// alive shows within seconds, as for any other. One whose device is gone is tried first.
func (u *Uplink) goOn() {
	if u.cfg.Protocol == config.Parker && !u.restoreNetwork() {
		return
	}
	var s saved
	b, err := os.ReadFile(u.gatewayFile())
	if err != nil || json.Unmarshal(b, &s) != nil || u.keyErr != nil {
		return
	}
	if s.Protocol != u.cfg.Protocol.String() || s.Domain != u.cfg.Domain || u.cfg.Protocol == config.Static && !u.configured(s.Peer) {
		return
	}
	if u.cfg.Protocol == config.Parker {
		c := u.concentrator(s.Peer.PublicKey)
		if c == nil {
			return
		}
		s.Peer = c.Peer
		delete(u.standby, s.Peer.PublicKey)
	}
	// One that is reached over a family which is not allowed any more is only remembered.
	if endpoint, ok := u.atWork(s.Peer); ok && len(u.order([]netip.AddrPort{endpoint})) > 0 {
		u.peers[s.Peer.PublicKey] = &installed{peer: s.Peer, endpoint: endpoint, promoted: true}
		u.handle(peerselector.Adopted{Peer: s.Peer})
		u.connected = status.Now()
		u.log.Info("going on with the gateway in use", "gateway", s.Peer.Name)
		return
	}
	u.handle(peerselector.Remembered{Peer: s.Peer})
}

// atWork says that the device has the peer, with a session, and where the peer is.
func (u *Uplink) atWork(gw peerselector.Peer) (endpoint netip.AddrPort, ok bool) {
	dev, err := u.tun.Status(u.deviceOf(gw.PublicKey))
	if err != nil || !u.cfg.Borrowed && dev.PrivateKey != u.key.Private.Reveal() {
		return endpoint, false
	}
	for _, p := range dev.Peers {
		if peerselector.Key(p.PublicKey) == gw.PublicKey && len(p.AllowedIPs) > 0 && !p.LastHandshakeTime.IsZero() && p.Endpoint != nil {
			return unmap(p.Endpoint.AddrPort()), true
		}
	}
	return endpoint, false
}

func (u *Uplink) configured(p peerselector.Peer) bool {
	for _, g := range u.cfg.Gateways {
		if g.PublicKey == p.PublicKey {
			return true
		}
	}
	return false
}
