package uplink

import (
	"os"
	"path/filepath"

	"wguplink/agent/config"
	"wguplink/agent/json"
	"wguplink/agent/slog"
	"wguplink/peerselector"
)

// store keeps in RAM what the next agent goes on with. A reboot forgets it: then the choice of the gateway is random
// again, and a whole town that comes back after a power cut spreads evenly.
type store struct {
	dir, uplink string
	log         *slog.Logger
}

// saved is the gateway in use.
type saved struct {
	Protocol string            `json:"protocol"`
	Domain   string            `json:"domain"`
	Peer     peerselector.Peer `json:"peer"`
}

func (s store) gatewayFile() string { return filepath.Join(s.dir, s.uplink+".gateway") }
func (s store) networkFile() string { return filepath.Join(s.dir, s.uplink+".signed") }

func (s store) saveGateway(cfg *config.Uplink, p peerselector.Peer) {
	b, err := json.Marshal(saved{cfg.Protocol.String(), cfg.Domain, p})
	if err == nil {
		err = replace(s.gatewayFile(), b)
	}
	if err != nil {
		s.log.Warn("the gateway in use is not kept for a restart of the agent", "err", err)
	}
}

// gateway is the one that an agent before us used in the same network.
func (s store) gateway(cfg *config.Uplink) (p peerselector.Peer, ok bool) {
	var k saved
	b, err := os.ReadFile(s.gatewayFile())
	if err != nil || json.Unmarshal(b, &k) != nil {
		return p, false
	}
	return k.Peer, k.Protocol == cfg.Protocol.String() && k.Domain == cfg.Domain
}

func (s store) forgetGateway() { os.Remove(s.gatewayFile()) }

// saveNetwork keeps the last good answer with a signed configuration.
func (s store) saveNetwork(answer []byte) {
	if err := replace(s.networkFile(), answer); err != nil {
		s.log.Warn("the configuration is not kept for a restart of the agent", "err", err)
	}
}

func (s store) network() ([]byte, bool) {
	b, err := os.ReadFile(s.networkFile())
	return b, err == nil
}

func replace(name string, content []byte) error {
	if err := os.WriteFile(name+".tmp", content, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}
