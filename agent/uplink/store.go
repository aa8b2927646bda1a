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
	failed      bool // something could not be written, and the log knows
}

// saved is the gateway in use.
type saved struct {
	Protocol string            `json:"protocol"`
	Domain   string            `json:"domain"`
	Peer     peerselector.Peer `json:"peer"`
}

func (s store) gatewayFile() string { return filepath.Join(s.dir, s.uplink+".gateway") }
func (s store) networkFile() string { return filepath.Join(s.dir, s.uplink+".signed") }

func (s *store) saveGateway(cfg *config.Uplink, p peerselector.Peer) {
	b, err := json.Marshal(saved{cfg.Protocol.String(), cfg.Domain, p})
	if err == nil {
		err = replace(s.gatewayFile(), b)
	}
	s.tell("the gateway in use is not kept for a restart of the agent", err)
}

// tell warns of the first of several failures in a row: a full disk stays full for a while.
func (s *store) tell(what string, err error) {
	if err != nil && !s.failed {
		s.log.Warn(what, "err", err)
	}
	s.failed = err != nil
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
func (s *store) saveNetwork(answer []byte) {
	s.tell("the configuration is not kept for a restart of the agent", replace(s.networkFile(), answer))
}

func (s store) network() ([]byte, bool) {
	b, err := os.ReadFile(s.networkFile())
	return b, err == nil
}

func replace(name string, content []byte) error {
	tmp := name + ".tmp"
	err := os.WriteFile(tmp, content, 0o600)
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		os.Remove(tmp) // what there was room for
	}
	return err
}
