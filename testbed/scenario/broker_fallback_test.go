package scenario

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/httpfault"
	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

// v2 fails: the node registers by v1 and takes a gateway of its own list.
func TestBrokerV2Down(t *testing.T) {
	t.Parallel()
	for _, fault := range []httpfault.Fault{httpfault.Status(500), httpfault.Status(404), httpfault.Hangup()} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, topology.Options{}, withBroker)
			s.Broker.SetFault(wgkex.V2, fault)
			l2 := s.frames()
			st := brokerConnected(s, l2, s.start())
			if want := "https://" + topology.BrokerName + " (v1)"; st.Broker != want {
				t.Errorf("status names the broker %q, want %q", st.Broker, want)
			}
			if c := s.Broker.Counts(); c.V1 == 0 || c.V1 != c.V2 {
				t.Errorf("requests %+v, want as many of each version", c)
			}
		})
	}
}

// No broker can be used, but the gateways know the key: the static list is enough, and the status still tells of the
// broker.
func TestBrokerDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		broker string // "" for the usual one
		spoil  func(*scene)
		says   []string // any of these
	}{
		{"status 500", "", func(s *scene) { brokerBoth(s, httpfault.Status(500), httpfault.Status(500)) },
			[]string{"status 500"}},
		{"silence", "", func(s *scene) { brokerBoth(s, httpfault.Hang(), httpfault.Hang()) },
			[]string{"no complete answer within 1s"}},
		{"blackhole", "", brokerBlackhole, []string{"no connection within 1s", "i/o timeout"}},
		{"closed port", "https://" + topology.BrokerName + ":4443", func(*scene) {}, []string{"connection refused"}},
		{"unknown name", "https://nowhere.example.org", func(*scene) {}, []string{"does not exist"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := c.broker
			if url == "" {
				url = "https://" + topology.BrokerName
			}
			s := brokerScene(t, topology.Options{}, nil)
			c.spoil(s)
			s.must(s.agent.Configure(brokerConfig(s.Topology, brokerOptions{
				"broker": {url}, "broker_timeout": {"1"}, "private_key": {brokerKnownKey(s).String()},
			}, s.Sections())))
			l2 := s.frames()
			began := s.start()
			s.line("registration failed")
			st := brokerConnected(s, l2, began)
			says := func(text string) bool { return strings.Contains(st.Broker, text) }
			if !says(url) || !slices.ContainsFunc(c.says, says) {
				t.Errorf("status says of the broker %q, want it to name %s and %q", st.Broker, url, c.says)
			}
		})
	}
}

// brokerBlackhole drops what goes to the broker's HTTPS port.
func brokerBlackhole(s *scene) {
	s.t.Helper()
	for _, a := range []netip.Addr{topology.ServicesV4.Addr(), topology.ServicesV6.Addr()} {
		_, err := s.Router.Drop(netlab.Drop{To: netip.PrefixFrom(a, a.BitLen()), Proto: unix.IPPROTO_TCP, ToPort: 443})
		s.must(err)
	}
}

// A broker that never answers does not hold a node with known gateways up, least of all for the whole timeout.
func TestBrokerSlowDoesNotHoldUp(t *testing.T) {
	t.Parallel()
	s := brokerScene(t, topology.Options{}, nil)
	brokerBoth(s, httpfault.Hang(), httpfault.Hang())
	s.must(s.agent.Configure(brokerConfig(s.Topology,
		brokerOptions{"broker_timeout": {"50"}, "private_key": {brokerKnownKey(s).String()}}, s.Sections())))
	l2 := s.frames()
	began := s.start()
	s.reply(l2, began)
	if said := strings.Join(s.agent.Lines(), "\n"); strings.Contains(said, "registration failed") {
		t.Error("it connected only once the broker had been given up")
	}
}

// v1 is good for the key only. Without a list there is no gateway to connect to, and the status says so.
func TestBrokerV1WithoutList(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, brokerOnly)
	s.Broker.SetFault(wgkex.V2, httpfault.Status(500))
	l2 := s.frames()
	s.start()
	brokerTrouble(s, "broker_unreachable", topology.BrokerName, "names no gateway", "config gateway", "status 500")
	mended := time.Now()
	s.Broker.SetFault(wgkex.V2, httpfault.Fault{})
	brokerConnected(s, l2, mended)
}

// Of several brokers one that works is enough, with any fault of the others.
func TestBrokerSeveral(t *testing.T) {
	t.Parallel()
	const good = "https://second.example.org"
	s := brokerScene(t, topology.Options{}, brokerOptions{"broker_timeout": {"1"}, "broker": {
		"https://" + topology.BrokerName + ":4443", "https://nowhere.example.org",
		"https://" + topology.BrokerName, good}})
	cert, err := s.CA.Server(time.Now(), "second.example.org")
	s.must(err)
	s.must(s.ServeBroker(cert, "second.example.org"))
	brokerBlackhole(s)
	l2 := s.frames()
	if st := brokerConnected(s, l2, s.start()); st.Broker != good+" (v2)" {
		t.Errorf("status names the broker %q, want %q", st.Broker, good+" (v2)")
	}
}
