package scenario

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"wguplink/testbed/dnsd"
	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
)

func TestDNSDeadAddressesGiven(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	n.gateways = n.LiteralSections()
	n.write()
	n.DNS.SetMode(dnsd.Dead)
	n.reply(n.frames(), n.start())
}

func TestDNSDeadAndBack(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	n.DNS.SetMode(dnsd.Dead)
	n.start()
	nodeAwait(n.scene, "no_handshake for want of a name", func(st topology.Status) bool {
		return st.Cause == "no_handshake" && strings.Contains(st.Reason, ".example.org")
	})
	l2 := n.frames()
	back := time.Now()
	n.DNS.SetMode(dnsd.Normal)
	n.reply(l2, back)
	if st := nodeConnected(n.scene); st.Cause != "" || st.Reason != "" {
		t.Errorf("connected, yet %+v", st)
	}
}

// Everything goes by the one family that there is: DNS, NTP, broker, tunnel.
func TestOneFamilyOnly(t *testing.T) {
	for name, o := range map[string]topology.Options{"IPv4": {NoV6: true}, "IPv6": {NoV4: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, o, brokerOnly)
			nodeBoots(s, nodeLongAgo)
			s.reply(s.frames(), s.start())
			st := nodeConnected(s)
			if end, err := netip.ParseAddrPort(st.Gateway.Endpoint); err != nil || end.Addr().Is4() != o.NoV6 {
				t.Errorf("endpoint %s: %v", st.Gateway.Endpoint, err)
			}
			if !strings.Contains(st.Clock, "set by") {
				t.Errorf("status says of the clock: %q", st.Clock)
			}
		})
	}
}

// An IPv6 route that leads nowhere does not keep a node with IPv4 off the net.
func TestDeadIPv6(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, func(topo *topology.Topology) string {
		o := topo.BrokerOptions()
		o["dns"] = []string{topology.ServicesV6.Addr().String(), topology.ServicesV4.Addr().String()}
		return topology.UCI(o)
	})
	nodeBoots(s, nodeLongAgo)
	own := netip.PrefixFrom(topology.NodeV6.Addr(), 128)
	_, err := s.Router.Drop(netlab.Drop{From: own}, netlab.Drop{To: own})
	s.must(err)
	l2 := s.frames()
	s.reply(l2, s.start())
	if st := nodeConnected(s); !strings.HasPrefix(st.Gateway.Endpoint, "203.0.113.") {
		t.Errorf("endpoint %s", st.Gateway.Endpoint)
	}
}

// A name server that does not answer does not keep the node from the next one.
func TestFirstNameServerDead(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, func(topo *topology.Topology) string {
		o := topo.BrokerOptions()
		o["dns"] = []string{"198.51.100.77", topology.ServicesV4.Addr().String()}
		return topology.UCI(o)
	})
	dead := netip.MustParsePrefix("198.51.100.77/32")
	_, err := s.Router.Drop(netlab.Drop{To: dead})
	s.must(err)
	l2 := s.frames()
	s.reply(l2, s.start())
}

func TestAddressFamily(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	l2 := n.frames()
	for option, want := range map[string]netip.Addr{"only4": n.Gateways[0].V4, "only6": n.Gateways[0].V6} {
		n.set("address_family", option)
		n.reply(l2, n.start())
		if st := nodeConnected(n.scene); st.Gateway.Endpoint != netip.AddrPortFrom(want, 51820).String() {
			t.Errorf("%s: endpoint %s", option, st.Gateway.Endpoint)
		}
		nodeStop(n.scene)
	}
}

// A node whose WAN comes up late waits without doing anything.
func TestWANLate(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{NoRoute: true}, func(topo *topology.Topology) string {
		return topology.UCI(topo.BrokerOptions(), topo.Sections(), "config global\n\toption log_level 'debug'\n")
	})
	nodeBoots(s, nodeLongAgo)
	l2 := s.frames()
	s.start()
	nodeAwait(s, "no_wan", func(st topology.Status) bool { return st.Cause == "no_wan" })
	s.line("no_wan")
	lines := len(s.agent.Lines())
	before, err := s.agent.Stats()
	s.must(err)
	s.must(topology.Pause(s.ctx, 20*time.Second))
	after, err := s.agent.Stats()
	s.must(err)
	if used := after.User + after.System - before.User - before.System; used > 200*time.Millisecond {
		t.Errorf("the agent used %v of CPU time while it had nothing to do", used)
	}
	if more := s.agent.Lines()[lines:]; len(more) != 0 {
		t.Errorf("the agent did something: %q", more)
	}
	if _, asked := s.Timeline().First("ntp asked"); asked || s.Broker.Counts().V2 != 0 {
		t.Error("the agent asked a server")
	}
	came := time.Now()
	s.must(s.RouteUp())
	s.reply(l2, came)
}

// The way out is by the table that the mark selects; the main table leads into the mesh, which our own tunnel carries.
func TestWANByMark(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{NoRoute: true}, brokerOnly)
	s.must(s.Node.Rule(1, 1))
	l2 := s.frames()
	s.start()
	nodeAwait(s, "no_wan", func(st topology.Status) bool { return st.Cause == "no_wan" })
	// As on Gluon: the clients' bridge has the mesh as a port, and the main table its default route.
	nodeBridge(s, "br-client")
	s.must(s.Node.Addr("br-client", netip.MustParsePrefix("10.99.0.1/24")))
	bridge, err := s.Node.Netlink().LinkByName("br-client")
	s.must(err)
	vxlan, err := s.Node.Netlink().LinkByName("mesh-vpn")
	s.must(err)
	// A macvlan in the place of batman-adv: what it does not take goes on to the VXLAN itself.
	s.must(s.Node.Netlink().LinkAdd(&netlink.Macvlan{Mode: netlink.MACVLAN_MODE_PRIVATE,
		LinkAttrs: netlink.LinkAttrs{Name: "bat0", ParentIndex: vxlan.Attrs().Index,
			MasterIndex: bridge.Attrs().Index}}))
	s.must(s.Node.LinkUp("bat0"))
	for _, dst := range []string{"0.0.0.0/0", "::/0"} {
		s.must(s.Node.Route(netlab.Route{Dst: netip.MustParsePrefix(dst), Dev: "br-client"}))
	}
	nodeAwait(s, "no_wan by the mesh", func(st topology.Status) bool {
		return st.Cause == "no_wan" && strings.Contains(st.Reason, "our own mesh, by br-client")
	})
	out := []netlab.Route{{Via: topology.RouterV4.Addr(), Table: 1}, {Via: topology.RouterV6.Addr(), Table: 1}}
	for range 2 {
		asked := s.Broker.Counts().V2
		came := time.Now()
		for _, r := range out {
			s.must(s.Node.Route(r))
		}
		s.reply(l2, came)
		if st := nodeConnected(s); !strings.Contains(st.WAN, "by wan") {
			t.Errorf("WAN %q", st.WAN)
		}
		if now := s.Broker.Counts().V2; asked == 0 && now != 1 {
			t.Errorf("%d registrations, of them %d without a way out", now, asked)
		}
		for _, r := range out {
			s.must(s.Node.DelRoute(r))
		}
		nodeAwait(s, "no_wan again", func(st topology.Status) bool { return st.Cause == "no_wan" })
	}
}
