package scenario

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/topology"
)

// A node goes through all steps, as those of virtual machines do.
func TestSteps(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, withBroker)
	l2 := s.frames()
	gateway := s.reply(l2, s.start()).Gateway
	before := nodeConnected(s)
	for _, step := range Steps {
		t.Log(step.Name)
		o, err := step.Run(s.ctx, Namespaces{s.Topology, s.agent, l2}, gateway)
		s.must(err)
		gateway = o.Reply.Gateway
		switches := before.Switches
		switch {
		case step.agent:
			switches = 0 // it has taken over what it found
		case step.By == AnotherOne:
			switches++
		}
		if st := nodeConnected(s); st.Switches != switches || topology.ShortName(st.Gateway.Name) != gateway ||
			st.PublicKey != before.PublicKey {
			t.Errorf("%s: status %+v, want %d switches, and the last to %s", step.Name, st, switches, gateway)
		}
		before = o.Status
		s.must(s.Happen(topology.Mended, ""))
	}
}

// When no gateway can be reached, the broker neither, the line is gone: the node stays with its gateway until it
// is back, although its default route says nothing.
func TestLineGoneAndBack(t *testing.T) {
	t.Parallel()
	// Without names, so that the others can be tried without DNS; and with workers quick enough for one request to the
	// broker, which names one gateway by its name.
	s := newScene(t, topology.Options{WorkerPoll: 20 * time.Millisecond}, func(topo *topology.Topology) string {
		return topology.UCI(topo.BrokerOptions(), topo.LiteralSections())
	})
	l2 := s.frames()
	first := s.reply(l2, s.start())
	nodeConnected(s)
	all := []*topology.Gateway{s.Named(first.Gateway)}
	for _, g := range s.Gateways {
		if g.Name != first.Gateway {
			all = append(all, g)
		}
	}
	tries := nodeInitiations(s)
	s.must(s.Happen(topology.WANIsCut, ""))
	if st := nodeAwait(s, "suspect",
		func(st topology.Status) bool { return st.State == "suspect" }); st.Cause != "no_answer" {
		t.Errorf("status %+v", st)
	}
	// Until the others have been tried as often as a round tries them, in vain.
	for _, g := range all[1:] {
		tries.await(g, 5)
	}
	back := time.Now()
	s.must(s.Happen(topology.Mended, ""))
	if r := s.reply(l2, back); r.Gateway != first.Gateway {
		t.Errorf("%s, then %s", first.Gateway, r.Gateway)
	}
	nodeLossless(s, l2, time.Now())
	if st := nodeConnected(s); st.Switches != 1 || !strings.HasPrefix(st.Gateway.Name, first.Gateway) {
		t.Errorf("status %+v", st)
	}
}

// nodeTries counts the WireGuard handshakes that the node begins, by where they go to.
type nodeTries struct {
	s       *scene
	packets *os.File
	seen    map[netip.Addr]int
}

// nodeInitiations listens at the router, on the node's wire.
func nodeInitiations(s *scene) *nodeTries {
	s.t.Helper()
	f, err := s.Router.Packets("node", unix.ETH_P_ALL, unix.SOCK_DGRAM)
	s.must(err)
	s.t.Cleanup(func() { f.Close() })
	return &nodeTries{s: s, packets: f, seen: map[netip.Addr]int{}}
}

// await waits until a gateway has been tried that often since the beginning.
func (n *nodeTries) await(g *topology.Gateway, times int) {
	n.s.t.Helper()
	defer context.AfterFunc(n.s.ctx, func() { n.packets.Close() })()
	buf := make([]byte, 2048)
	for n.seen[g.V4]+n.seen[g.V6] < times {
		k, err := n.packets.Read(buf)
		if err != nil {
			n.s.t.Fatalf("%s was tried %d times, not %d: %v, %v", g.Name, n.seen[g.V4]+n.seen[g.V6], times, err,
				context.Cause(n.s.ctx))
		}
		if to, ok := nodeInitiation(buf[:k]); ok {
			n.seen[to]++
		}
	}
}

// nodeInitiation tells whether an IP packet begins a handshake: UDP to the gateways' port, with message type 1
// (WireGuard paper, section 5.4.2), of 148 bytes.
func nodeInitiation(p []byte) (to netip.Addr, ok bool) {
	var udp []byte
	switch {
	case len(p) > 20 && p[0] == 0x45 && p[9] == unix.IPPROTO_UDP:
		to, udp = netip.AddrFrom4([4]byte(p[16:20])), p[20:]
	case len(p) > 40 && p[0]>>4 == 6 && p[6] == unix.IPPROTO_UDP:
		to, udp = netip.AddrFrom16([16]byte(p[24:40])), p[40:]
	}
	return to, len(udp) == 8+148 && binary.BigEndian.Uint16(udp[2:]) == 51820 && udp[8] == 1
}
