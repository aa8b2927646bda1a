package topology

import (
	"fmt"
	"strings"

	"wguplink/testbed/worker"
)

// Conditions says in a few words what a figure that is measured here depends on: who is at the far end, when a gateway
// knows of a node, and whose WireGuard it is.
func (topo *Topology) Conditions() string {
	var said []string
	poll := topo.o.WorkerPoll
	if poll == 0 {
		poll = worker.PollEvery
	}
	switch {
	case topo.Parker != nil:
		said = append(said, "Parker's servers and etcd")
	case topo.o.Glue:
		said = append(said, fmt.Sprintf("%d gateways, handshakes looked for each 10 s", len(topo.Gateways)))
	default:
		said = append(said, fmt.Sprintf("%d gateways, keys looked for each %v", len(topo.Gateways), poll))
	}
	if len(topo.Gateways) > 0 {
		said = append(said, topo.Gateways[0].Backend().String()+" WireGuard")
	}
	switch {
	case topo.o.NoV4:
		said = append(said, "IPv6 only")
	case topo.o.NoV6:
		said = append(said, "IPv4 only")
	}
	if topo.Line != nil {
		said = append(said, "an access line")
	}
	return strings.Join(said, ", ")
}
