package scenario

import (
	"net/netip"
	"strings"
	"testing"

	"wguplink/testbed/dnsd"
	"wguplink/testbed/topology"
)

// Name servers that know nothing of EDNS0 do not keep a node from its broker and its gateways.
func TestOldNameServers(t *testing.T) {
	t.Parallel()
	for _, mode := range []dnsd.Mode{dnsd.FormErrEDNS, dnsd.NotImpEDNS, dnsd.DropEDNS} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, topology.Options{}, withBroker)
			s.DNS.SetMode(mode)
			l2 := s.frames()
			s.reply(l2, s.start())
			if n := s.Broker.Counts().V2; n == 0 {
				t.Error("the broker's name was not found")
			}
		})
	}
}

// The status says why a gateway's name gives no address.
func TestNameReasons(t *testing.T) {
	t.Parallel()
	four := netip.MustParseAddr("192.0.2.77")
	for _, c := range []struct {
		name, option, value string
		spoil               func(*scene, string)
		reason              string
	}{
		{"unknown", "", "", func(s *scene, name string) { s.DNS.Delete(name) }, "does not exist"},
		{"without an address", "", "", func(s *scene, name string) { s.DNS.Set(name) }, "has no address (name server"},
		{"of the other family", "address_family", "only6", func(s *scene, name string) { s.DNS.Set(name, four) },
			"has no address of an address family that is allowed"},
		{"of ourselves", "", "", func(s *scene, name string) {
			s.DNS.Set(name, netip.MustParseAddr("127.0.0.1"),
				netip.IPv6Loopback())
		},
			"has no address that can be used"},
		{"servers fail", "", "", func(s *scene, _ string) { s.DNS.SetMode(dnsd.ServFail) },
			"is not told by the name server"},
		{"servers silent", "", "", func(s *scene, _ string) { s.DNS.SetMode(dnsd.Dead) }, "there is no answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, topology.Options{}, func(topo *topology.Topology) string {
				o := topo.StaticOptions()
				if c.option != "" {
					o[c.option] = []string{c.value}
				}
				return topology.UCI(o, topo.Sections())
			})
			for _, g := range s.Gateways {
				c.spoil(s, g.DNS)
			}
			s.start()
			nodeAwait(s, c.reason, func(st topology.Status) bool {
				return st.Cause == "no_handshake" && strings.Contains(st.Reason, c.reason)
			})
		})
	}
}

// A broker with twenty addresses, of which one works, takes the node's key at once.
func TestBrokerWithDeadAddresses(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, brokerOnly)
	var addrs []netip.Addr
	for i := range 19 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}))
	}
	for _, a := range s.DNS.Lookup(topology.BrokerName) {
		if a.Is4() { // with an IPv6 address it would be the first to be tried
			addrs = append(addrs, a)
		}
	}
	s.DNS.Set(topology.BrokerName, addrs...)
	l2 := s.frames()
	s.reply(l2, s.start())
	if n := s.Broker.Counts().V2; n != 1 {
		t.Errorf("%d registrations", n)
	}
}
