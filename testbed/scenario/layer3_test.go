package scenario

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"wguplink/testbed/topology"
)

// layer3 is the configuration of a node that gets its address from the broker.
func layer3(topo *topology.Topology) map[string][]string {
	o := topo.BrokerOptions()
	delete(o, "vxlan_id")
	o["mode"] = []string{"layer3"}
	return o
}

// assigned is the address out of the topology's range that a host has on the agent's device.
func assigned(s *scene, h interface{ Netlink() *netlink.Handle }) netip.Addr {
	s.t.Helper()
	link, err := h.Netlink().LinkByName("wg_mesh")
	s.must(err)
	list, err := h.Netlink().AddrList(link, netlink.FAMILY_V4)
	s.must(err)
	for _, a := range list {
		if own, ok := netip.AddrFromSlice(a.IP.To4()); ok && topology.Layer3Range.Contains(own) {
			return own
		}
	}
	s.t.Fatalf("no address of the broker's on wg_mesh: %v", list)
	return netip.Addr{}
}

// A broker hands out addresses for tunnels of plain IP, and the gateway routes them: two nodes reach each other through
// it. A gateway that has lost its keys routes them again, to the same nodes, and an agent started anew keeps its
// address.
func TestLayer3Broker(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{Gateways: 1, Layer3: true},
		func(topo *topology.Topology) string { return topology.UCI(layer3(topo)) })
	second, node2, err := s.SecondAgent(os.Getenv(binaryEnv), t.TempDir(), topology.UCI(layer3(s.Topology)))
	s.must(err)
	s.start()
	nodeConnected(s)
	s.must(second.Start())
	_, err = second.WaitLine(s.ctx, "addresses taken")
	s.must(err)
	s.must(s.Ping(s.ctx, node2, topology.Layer3Gateway(1)))
	one, two := assigned(s, s.Node), assigned(s, node2)
	if one == two || one == topology.Layer3Gateway(1) || two == topology.Layer3Gateway(1) {
		t.Fatalf("addresses %v and %v", one, two)
	}
	s.must(s.Ping(s.ctx, s.Node, two))
	s.must(s.Ping(s.ctx, node2, one))

	s.must(s.Gateways[0].Restart(false))
	s.must(s.Ping(s.ctx, s.Node, two))

	nodeStop(s)
	s.start()
	nodeConnected(s)
	s.must(s.Ping(s.ctx, node2, one))
	if again := assigned(s, s.Node); again != one {
		t.Errorf("address %v, then %v", one, again)
	}
}

// With `route_allowed_ips '0'` a routing daemon owns the routes: only the gateway itself is reached until there is one.
func TestLayer3BrokerUnrouted(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{Gateways: 1, Layer3: true}, func(topo *topology.Topology) string {
		o := layer3(topo)
		o["route_allowed_ips"] = []string{"0"}
		return topology.UCI(o)
	})
	s.start()
	nodeConnected(s)
	s.must(s.Ping(s.ctx, s.Node, topology.Layer3Gateway(1)))
	routes, err := s.Node.Netlink().RouteList(nil, netlink.FAMILY_V4)
	s.must(err)
	if slices.ContainsFunc(routes, func(r netlink.Route) bool {
		return r.Dst != nil &&
			strings.HasPrefix(r.Dst.String(), "10.99.0.0/16")
	}) {
		t.Errorf("routes %v", routes)
	}
}
