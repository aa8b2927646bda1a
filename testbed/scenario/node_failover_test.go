package scenario

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
	"wguplink/testbed/world"
)

// A gateway that cannot be reached any more is replaced.
func TestFailoverBlackHole(t *testing.T) {
	t.Parallel()
	s := newScene(t, world.Options{}, withBroker)
	l2 := s.frames()
	first := s.reply(l2, s.start())
	nodeConnected(s)
	gone := time.Now()
	nodeDrop(s, s.Named(first.Gateway))
	next, err := l2.Await(s.ctx, gone, func(r world.Reply) bool { return r.Gateway != first.Gateway })
	s.must(err)
	if st := nodeConnected(s); st.Switches != 2 || !strings.HasPrefix(st.Gateway.Name, next.Gateway) {
		t.Errorf("status %+v", st)
	}
}

// When nobody can be reached, the broker neither, it is the line that is gone: the node stays with its gateway until it is
// back, although its default route says nothing.
func TestLineGoneAndBack(t *testing.T) {
	t.Parallel()
	// Without names, so that the others can be tried without DNS; and with workers quick enough for one request to the broker, which
	// names one gateway by its name.
	s := newScene(t, world.Options{WorkerPoll: 20 * time.Millisecond}, func(w *world.World) string {
		return world.UCI(w.BrokerOptions(), nodeLiteral(w))
	})
	l2 := s.frames()
	first := s.reply(l2, s.start())
	nodeConnected(s)
	all := []*world.Gateway{s.Named(first.Gateway)}
	for _, g := range s.Gateways {
		if g.Name != first.Gateway {
			all = append(all, g)
		}
	}
	tries := nodeInitiations(s)
	undo, err := s.Router.Drop(append(netlab.DropAddr(world.NodeV4.Addr()), netlab.DropAddr(world.NodeV6.Addr())...)...)
	s.must(err)
	if st := nodeAwait(s, "suspect", func(st status) bool { return st.State == "suspect" }); st.Cause != "no_answer" {
		t.Errorf("status %+v", st)
	}
	// Until the others have been tried as often as a round tries them, in vain.
	for _, g := range all[1:] {
		tries.await(g, 5)
	}
	back := time.Now()
	s.must(undo())
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
	s    *scene
	fd   int
	seen map[netip.Addr]int
}

// nodeInitiations listens at the router, on the node's wire.
func nodeInitiations(s *scene) *nodeTries {
	s.t.Helper()
	n := &nodeTries{s: s, fd: -1, seen: map[netip.Addr]int{}}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	s.must(s.Router.Do(func() (err error) {
		if n.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return err
		}
		l, err := s.Router.Netlink().LinkByName("node")
		if err != nil {
			return err
		}
		return unix.Bind(n.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index})
	}))
	s.t.Cleanup(func() { unix.Close(n.fd) })
	// So that the end of the scenario is noticed.
	s.must(unix.SetsockoptTimeval(n.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	return n
}

// await waits until a gateway has been tried that often since the beginning.
func (n *nodeTries) await(g *world.Gateway, times int) {
	n.s.t.Helper()
	buf := make([]byte, 2048)
	for n.seen[g.V4]+n.seen[g.V6] < times {
		if n.s.ctx.Err() != nil {
			n.s.t.Fatalf("%s was tried %d times, not %d: %v", g.Name, n.seen[g.V4]+n.seen[g.V6], times, context.Cause(n.s.ctx))
		}
		if k, _, err := unix.Recvfrom(n.fd, buf, 0); err == nil {
			if to, ok := nodeInitiation(buf[:k]); ok {
				n.seen[to]++
			}
		}
	}
}

// nodeInitiation tells whether an IP packet begins a handshake: UDP to the gateways' port, with message type 1 (WireGuard
// paper, section 5.4.2), of 148 bytes.
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
