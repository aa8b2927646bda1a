package scenario

import (
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/derive"
	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

// brokerSpoilt goes through one fault twice. Without a static list the status names the fault, and when it is gone the
// node connects without a restart. With the list the node connects in spite of the fault. Never is there a peer that is
// not a gateway.
func brokerSpoilt(s *scene, fault func(), cause string, reasons ...string) {
	s.t.Helper()
	l2 := s.frames()
	peers := brokerWatch(s)

	fault()
	s.start()
	brokerTrouble(s, cause, reasons...)
	mended := time.Now()
	brokerBoth(s, httpfault.Fault{}, httpfault.Fault{})
	brokerConnected(s, l2, mended)
	s.must(s.agent.TakeDown(s.ctx))

	fault()
	key, _ := s.agent.Key(s.ctx)
	s.must(s.agent.Configure(brokerConfig(s.Topology,
		brokerOptions{"broker_timeout": {"1"}, "private_key": {brokerPrivate(s)}}, s.Sections())))
	brokerConnected(s, l2, s.start())
	if k, ok := s.agent.Key(s.ctx); !ok || k != key {
		s.t.Errorf("the key changed from %v to %v", key, k)
	}
	peers.onlyGateways()
}

// The broker answers, but nothing that could be used.
func TestBrokerFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  httpfault.Fault
		cause  string
		reason string
	}{
		{httpfault.Status(400), "broker_refused", "status 400"},
		{httpfault.Status(500), "broker_unreachable", "status 500"},
		{httpfault.HTML(502), "broker_unreachable", "status 502"},
		{httpfault.HTML(200), "broker_unreachable", "content type text/html"},
		{httpfault.Huge(2 << 20), "broker_unreachable", "more than 65536 bytes"},
		{httpfault.Drip(200 * time.Millisecond), "broker_unreachable", "no complete answer within 1s"},
		{wgkex.WrongTypes(), "broker_unreachable", "Endpoint.Address is"},
		{httpfault.Body("application/json", `{"Endpoint":`), "broker_unreachable", "not JSON"},
		{httpfault.Redirect(307, "https://elsewhere.example.org/"), "broker_unreachable", "elsewhere.example.org"},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			s := brokerScene(t, topology.Options{}, brokerOptions{"broker_timeout": {"1"}})
			brokerSpoilt(s, func() { brokerBoth(s, c.fault, c.fault) }, c.cause,
				"https://"+topology.BrokerName, c.reason)
		})
	}
}

// The answer is good JSON, and names an endpoint that no node must follow.
func TestBrokerHostileEndpoint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  httpfault.Fault
		reason string
	}{
		{wgkex.HostilePort("0"), `Endpoint.Port is "0"`},
		{wgkex.HostilePort(65536 + 51820), "Endpoint.Port is 117356"},
		{wgkex.HostileAddress("ff02::1"), `Endpoint.Address is "ff02::1"`},
		{wgkex.HostileAddress("224.0.0.1"), `Endpoint.Address is "224.0.0.1"`},
		{wgkex.HostileAddress("127.0.0.1"), `Endpoint.Address is "127.0.0.1"`},
		{wgkex.HostileAllowedIPs("::/0"), `Endpoint.AllowedIPs[0] is "::/0"`},
		{wgkex.HostileAllowedIPs("fe80::1", "2001:db8::/32"), `Endpoint.AllowedIPs[1] is "2001:db8::/32"`},
		{wgkex.Hostile("no key", func(e *wgkex.Endpoint) { e.PublicKey = "c2VjcmV0" }), "Endpoint.PublicKey is"},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			s := brokerScene(t, topology.Options{}, brokerOptions{"broker_timeout": {"1"}})
			brokerSpoilt(s, func() { brokerBoth(s, c.fault, httpfault.Status(500)) }, "broker_unreachable",
				"https://"+topology.BrokerName, c.reason)
		})
	}
}

// The broker claims that the gateway has our own address in the tunnel, or our own key.
func TestBrokerClaimsOurIdentity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		edit   func(*wgkex.Endpoint, peerselector.Key)
		reason string
	}{
		{"address", func(e *wgkex.Endpoint, k peerselector.Key) {
			e.AllowedIPs = []string{derive.LinkLocal(k, true).String()}
		}, "another address than our own"},
		{"key", func(e *wgkex.Endpoint, k peerselector.Key) { e.PublicKey = k.String() }, "another key than our own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := brokerScene(t, topology.Options{}, nil)
			key, err := wgtypes.GeneratePrivateKey()
			s.must(err)
			own := peerselector.Key(key.PublicKey())
			s.must(s.agent.Configure(brokerConfig(s.Topology,
				brokerOptions{"broker_timeout": {"1"}, "private_key": {key.String()}})))
			fault := wgkex.Hostile("ourselves", func(e *wgkex.Endpoint) { c.edit(e, own) })
			brokerSpoilt(s, func() { brokerBoth(s, fault, httpfault.Status(500)) }, "broker_unreachable", c.reason)
		})
	}
}

// The broker names a key that no gateway has, with the address in the tunnel that belongs to another gateway. It is
// tried, but gets no traffic: that goes to a gateway of the list.
func TestBrokerNamesStranger(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	key, err := wgtypes.GeneratePrivateKey()
	s.must(err)
	stranger := peerselector.Key(key.PublicKey())
	s.Broker.SetFault(wgkex.V2, wgkex.Hostile("stranger", func(e *wgkex.Endpoint) {
		e.PublicKey, e.AllowedIPs = stranger.String(), []string{s.Gateways[1].Link.String()}
	}))
	l2 := s.frames()
	peers := brokerWatch(s)
	st := brokerConnected(s, l2, s.start())
	if st.Gateway != nil && s.Named(st.Gateway.Name) == nil {
		t.Errorf("connected to %+v", st.Gateway)
	}
	peers.onlyGateways(stranger)
	for _, peer := range peers.seen {
		if peerselector.Key(peer.PublicKey) == stranger {
			return
		}
	}
	t.Error("the gateway that the broker named was not tried")
}

// A domain that the broker does not know is refused, and the status says whose fault that is.
func TestBrokerUnknownDomain(t *testing.T) {
	t.Parallel()
	s := brokerScene(t, topology.Options{}, brokerOptions{"domain": {"ffxx_moon"}})
	l2 := s.frames()
	s.start()
	brokerTrouble(s, "broker_refused", "https://"+topology.BrokerName, "status 400")
	mended := time.Now()
	s.Broker.AddDomain("ffxx_moon")
	for _, g := range s.Gateways {
		s.must(g.Worker.AddDomain("ffxx_moon"))
	}
	brokerConnected(s, l2, mended)
}
