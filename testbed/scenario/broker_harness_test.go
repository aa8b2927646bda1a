package scenario

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

// brokerOptions are options of an uplink, by name, that replace the usual ones.
type brokerOptions map[string][]string

// brokerConfig is the usual configuration with some options replaced, and with further sections.
func brokerConfig(topo *topology.Topology, change brokerOptions, sections ...string) string {
	o := topo.BrokerOptions()
	maps.Copy(o, change)
	return topology.UCI(o, sections...)
}

// brokerScene is newScene with a configuration without static gateways.
func brokerScene(t *testing.T, o topology.Options, change brokerOptions) *scene {
	t.Helper()
	return newScene(t, o, func(topo *topology.Topology) string { return brokerConfig(topo, change) })
}

// brokerKnownKey makes a key that all gateways have been told of long ago.
func brokerKnownKey(s *scene) wgtypes.Key {
	s.t.Helper()
	key, err := s.KnownKey()
	s.must(err)
	return key
}

// brokerTrouble waits until the agent complains of the broker, and checks what its status says then.
func brokerTrouble(s *scene, cause string, reasons ...string) {
	s.t.Helper()
	s.line("cause=broker_")
	st := s.status()
	if st.State != "connecting" || string(st.Cause) != cause || st.Gateway != nil {
		s.t.Errorf("status %+v, want connecting, cause %s", st, cause)
	}
	for _, r := range reasons {
		if !strings.Contains(st.Reason, r) {
			s.t.Errorf("the reason is %q, want it to name %q", st.Reason, r)
		}
	}
}

// brokerConnected waits for a reply to a frame sent after a moment, and gives the status.
func brokerConnected(s *scene, l *topology.Layer2, after time.Time) topology.Status {
	s.t.Helper()
	s.reply(l, after)
	s.line("msg=connected") // the status file is written between the first frames and this line
	st := s.status()
	if st.State != "connected" || st.Cause != "" || st.Gateway == nil {
		s.t.Errorf("status %+v, want connected", st)
	}
	return st
}

// brokerPeers watches which peers the node's WireGuard device has.
type brokerPeers struct {
	s    *scene
	quit chan struct{}
	done chan struct{}
	err  error
	seen map[string]wgtypes.Peer
	n    int // looks at a device that had peers
}

// brokerWatch looks at the device every few milliseconds, as WireGuard has no event for a new peer. A peer that is
// being tried stays for 300 ms at the very least.
func brokerWatch(s *scene) *brokerPeers {
	p := &brokerPeers{s: s, quit: make(chan struct{}), done: make(chan struct{}), seen: map[string]wgtypes.Peer{}}
	go func() {
		defer close(p.done)
		p.err = s.Node.Inside(p.look)
	}()
	s.t.Cleanup(p.end)
	return p
}

func (p *brokerPeers) look() error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		select {
		case <-p.quit:
			return nil
		case <-tick.C:
		}
		dev, err := client.Device("wg_mesh")
		if err != nil {
			continue // none at this moment
		}
		if len(dev.Peers) > 0 {
			p.n++
		}
		for _, peer := range dev.Peers {
			p.seen[fmt.Sprint(peer.PublicKey, peer.Endpoint, peer.AllowedIPs)] = peer
		}
	}
}

func (p *brokerPeers) end() {
	select {
	case <-p.done:
	default:
		close(p.quit)
		<-p.done
	}
}

// onlyGateways ends the watch, and fails when any peer ever was anything but one of the topology's gateways, with its
// own address outside and nothing but its own inside. strangers may be tried, but get no traffic.
func (p *brokerPeers) onlyGateways(strangers ...peerselector.Key) {
	p.s.t.Helper()
	p.end()
	if p.err != nil || p.n == 0 {
		p.s.t.Fatalf("peers seen at %d looks, %v", p.n, p.err)
	}
	for what, peer := range p.seen {
		if slices.Contains(strangers, peerselector.Key(peer.PublicKey)) && len(peer.AllowedIPs) == 0 {
			continue
		}
		if !p.isGateway(peer) {
			p.s.t.Errorf("the node's WireGuard device had the peer %s", what)
		}
	}
}

func (p *brokerPeers) isGateway(peer wgtypes.Peer) bool {
	for _, g := range p.s.Gateways {
		if g.PublicKey() != peerselector.Key(peer.PublicKey) || peer.Endpoint == nil {
			continue
		}
		at := peer.Endpoint.AddrPort()
		good := at.Port() == 51820 && (at.Addr().Unmap() == g.V4 || at.Addr().Unmap() == g.V6)
		for _, a := range peer.AllowedIPs {
			good = good && a.String() == netip.PrefixFrom(g.Link, 128).String()
		}
		return good
	}
	return false
}

// brokerBoth sets the faults of both versions of the API.
func brokerBoth(s *scene, v2, v1 httpfault.Fault) {
	s.Broker.SetFault(wgkex.V2, v2)
	s.Broker.SetFault(wgkex.V1, v1)
}
