package uplink

import (
	"net/netip"

	"wguplink/agent/network"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// targets are what the kernel is asked for the way to, and what they followed from.
type targets struct {
	wan.Targets
	from targetsFrom
}

// targetsFrom differs when the destinations may. A new configuration makes a new kind.
type targetsFrom struct {
	kind    network.Kind
	peers   int
	current peerselector.Key
}

// aim sets the destinations that the kernel is asked for now. The address of the gateway in use comes first, because
// the way there is the one that counts.
func (l *loop) aim() {
	cur, _ := l.engine.Current()
	from := targetsFrom{l.kind, l.peers.Changes(), cur.PublicKey}
	if from == l.to.from {
		return
	}
	l.to.from = from
	found := l.peers.Addresses()
	if in := l.peers.Get(cur.PublicKey); in != nil && in.Endpoint.IsValid() {
		found = append([]netip.AddrPort{in.Endpoint}, found...)
	}
	l.to.Set(network.Destinations(l.cfg, l.kind.Candidates(), found))
}
