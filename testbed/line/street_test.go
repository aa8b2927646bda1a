package line

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wguplink/testbed/netlab"
)

func TestMain(m *testing.M) {
	// A fuzzing worker has pipes to its parent, which do not survive the way into the lab. It needs none.
	if slices.Contains(os.Args, "-test.fuzzworker") {
		os.Exit(m.Run())
	}
	netlab.Main(m.Run)
}

var (
	nodeAddr4   = netip.MustParsePrefix("192.0.2.10/24")
	routerAddr4 = netip.MustParsePrefix("192.0.2.1/24")
	nodeAddr6   = netip.MustParsePrefix("2001:db8:1::10/64")
	routerAddr6 = netip.MustParsePrefix("2001:db8:1::1/64")
)

// street is a node and a router with a line between them, and a way to know what has passed.
type street struct {
	*Line
	t             *testing.T
	ctx           context.Context
	node, router  *netlab.Host
	servers       map[string]net.PacketConn // of the router, port NATPort
	near, far     net.PacketConn            // for marks
	mark          uint32
	atFar, atNear chan uint32 // marks that have arrived
}

const markPort = 9

func newStreet(t *testing.T) *street {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	s := &street{t: t, ctx: ctx, servers: map[string]net.PacketConn{}, atFar: make(chan uint32, 1),
		atNear: make(chan uint32, 1)}
	lab := netlab.New()
	t.Cleanup(func() {
		if err := lab.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	var err error
	s.node, err = lab.Host("node")
	s.must(err)
	s.router, err = lab.Host("router")
	s.must(err)
	s.Line = New(lab, "line", End{s.node, "wan"}, End{s.router, "node"})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.must(s.Start())
	s.must(errors.Join(s.node.Addr("wan", nodeAddr4), s.node.Addr("wan", nodeAddr6),
		s.router.Addr("node", routerAddr4), s.router.Addr("node", routerAddr6)))
	for network, a := range map[string]netip.Prefix{"udp4": routerAddr4, "udp6": routerAddr6} {
		s.servers[network] = s.packetConn(s.router, network, netip.AddrPortFrom(a.Addr(), NATPort).String())
	}
	// Broadcasts and multicasts are never lost, and so show what has arrived.
	s.near = s.packetConn(s.node, "udp4", fmt.Sprintf("0.0.0.0:%d", markPort))
	s.far = s.packetConn(s.router, "udp4", fmt.Sprintf("0.0.0.0:%d", markPort))
	s.marking(s.near, s.atNear)
	s.marking(s.far, s.atFar)
	for network := range s.servers {
		s.greet(network)
	}
	return s
}

func (s *street) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// packetConn opens a socket that ends with the test, and all reads of it with the deadline.
func (s *street) packetConn(h *netlab.Host, network, addr string) net.PacketConn {
	s.t.Helper()
	c, err := h.ListenPacket(s.ctx, network, addr)
	s.must(err)
	s.t.Cleanup(func() { c.Close() })
	deadline, _ := s.ctx.Deadline()
	s.must(c.SetDeadline(deadline))
	s.must(c.(*net.UDPConn).SetReadBuffer(4 << 20))
	return c
}

// marking hands on the numbers that arrive on a socket, the latest only.
func (s *street) marking(c net.PacketConn, to chan uint32) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 16)
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if n == 4 {
				select {
				case <-to:
				default:
				}
				to <- binary.BigEndian.Uint32(buf)
			}
		}
	}()
	s.t.Cleanup(func() { c.Close(); <-done })
}

// await sends marks through the line, each when the one before has come back, until something holds.
func (s *street) await(what string, ok func() bool) {
	s.t.Helper()
	for !ok() {
		if !s.pass() {
			up, down := s.Stats()
			s.t.Fatalf("never %s; up %+v, down %+v", what, up, down)
		}
	}
}

// pass sends a mark up and back down the line. It is false at the end of the test's time.
func (s *street) pass() bool {
	s.t.Helper()
	s.mark++
	for _, way := range []struct {
		from net.PacketConn
		to   chan uint32
	}{{s.near, s.atFar}, {s.far, s.atNear}} {
		all := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 255), Port: markPort}
		_, err := way.from.WriteTo(binary.BigEndian.AppendUint32(nil, s.mark), all)
		s.must(err)
		for arrived := uint32(0); arrived != s.mark; {
			select {
			case arrived = <-way.to:
			case <-s.ctx.Done():
				return false
			}
		}
	}
	return true
}

// client opens a socket of the node.
func (s *street) client(network string) net.PacketConn {
	s.t.Helper()
	a := nodeAddr4
	if network == "udp6" {
		a = nodeAddr6
	}
	return s.packetConn(s.node, network, netip.AddrPortFrom(a.Addr(), 0).String())
}

// send sends a datagram of that size from the node.
func (s *street) send(c net.PacketConn, network string, size int) {
	s.t.Helper()
	_, err := c.WriteTo(make([]byte, size), s.servers[network].LocalAddr())
	s.must(err)
}

// receive waits for a datagram, and says whence and how large.
func (s *street) receive(c net.PacketConn) (from net.Addr, size int) {
	s.t.Helper()
	size, from, err := c.ReadFrom(make([]byte, 65535))
	s.must(err)
	return from, size
}

// greet makes both ends know each other's MAC address.
func (s *street) greet(network string) {
	s.t.Helper()
	c := s.client(network)
	s.send(c, network, 1)
	from, _ := s.receive(s.servers[network])
	_, err := s.servers[network].WriteTo([]byte{1}, from)
	s.must(err)
	s.receive(c)
}

func (s *street) lost() int64 {
	up, _ := s.Stats()
	return up.Lost.Packets
}
