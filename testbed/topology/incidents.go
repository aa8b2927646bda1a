package topology

import (
	"fmt"
	"net/netip"

	"wguplink/testbed/netlab"
)

// Incident is something that happens beyond the node's WAN.
type Incident string

// The incidents. Those of a gateway are of the one that Happen names.
const (
	GatewayDies    Incident = "gateway-dies"    // abruptly, with its worker
	GatewayBoots   Incident = "gateway-boots"   // again, knowing no node
	GatewayIsCut   Incident = "gateway-is-cut"  // the router drops all that goes to it and comes from it
	GatewayForgets Incident = "gateway-forgets" // the node's key
	AllForget      Incident = "all-forget"      // all keys, at all gateways
	WANIsCut       Incident = "wan-is-cut"      // the router drops all of the node's, without a word
	Mended         Incident = "mended"          // the router drops nothing any more
)

// Happen has one happen; gateway is the name of the one that it concerns, or "".
func (topo *Topology) Happen(e Incident, gateway string) error {
	switch e {
	case AllForget:
		return topo.Forget()
	case WANIsCut:
		return topo.cut(NodeV4.Addr(), NodeV6.Addr())
	case Mended:
		return topo.mend()
	}
	g := topo.Named(gateway)
	if g == nil {
		return fmt.Errorf("%s: no gateway %q", e, gateway)
	}
	switch e {
	case GatewayDies:
		return g.Kill()
	case GatewayBoots:
		return g.Restart(false)
	case GatewayIsCut:
		return topo.cut(g.V4, g.V6)
	case GatewayForgets:
		keys := g.Keys()
		if len(keys) != 1 {
			return fmt.Errorf("gateway %s knows %d keys, not one", g.Name, len(keys))
		}
		return g.RemoveKey(keys[0])
	}
	return fmt.Errorf("no incident %q", e)
}

// cut has the router drop what comes from and goes to addresses, until mend.
func (topo *Topology) cut(addrs ...netip.Addr) error {
	var drops []netlab.Drop
	for _, a := range addrs {
		drops = append(drops, netlab.DropAddr(a)...)
	}
	undo, err := topo.Router.Drop(drops...)
	if err != nil {
		return err
	}
	topo.mu.Lock()
	defer topo.mu.Unlock()
	topo.cuts = append(topo.cuts, undo)
	return nil
}

func (topo *Topology) mend() error {
	topo.mu.Lock()
	defer topo.mu.Unlock()
	for len(topo.cuts) > 0 {
		if err := topo.cuts[len(topo.cuts)-1](); err != nil {
			return err
		}
		topo.cuts = topo.cuts[:len(topo.cuts)-1]
	}
	return nil
}
