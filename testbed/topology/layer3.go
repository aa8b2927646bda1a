package topology

import (
	"net/netip"

	"wguplink/testbed/netlab"
)

// Layer3Range is what gateways route with Options.Layer3.
var Layer3Range = netip.MustParsePrefix("10.99.0.0/16")

// Layer3Gateway is the address in the tunnel of the ith gateway, counted from 1: the last ones of the range's first
// 256.
func Layer3Gateway(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(255 - i)}) }

func (topo *Topology) layer3Range() netip.Prefix {
	if topo.o.Layer3 {
		return Layer3Range
	}
	return netip.Prefix{}
}

// The addresses of a second node.
var (
	secondV4 = netip.MustParsePrefix("192.0.2.134/30")
	secondV6 = netip.MustParsePrefix("2001:db8:2::2/64")
)

// SecondAgent makes another node beside the topology's, with an agent of its own that is not started yet.
func (topo *Topology) SecondAgent(binary, dir, uci string) (*Agent, *netlab.Host, error) {
	h, err := topo.Lab.Host("node2")
	if err != nil {
		return nil, nil, err
	}
	if err := topo.attach(h, "node2", secondV4, secondV6); err != nil {
		return nil, nil, err
	}
	a, err := topo.NewAgent(binary, dir, uci)
	if err != nil {
		return nil, nil, err
	}
	a.host, a.As = h, AsRoot
	return a, h, nil
}

// on is the host that the agent is on.
func (a *Agent) on() *netlab.Host {
	if a.host != nil {
		return a.host
	}
	return a.topo.Node
}
