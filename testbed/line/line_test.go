package line

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDelay(t *testing.T) {
	s := newStreet(t)
	const up, down = 40 * time.Millisecond, 90 * time.Millisecond
	s.Set(Shape{Delay: up}, Shape{Delay: down})
	c := s.client("udp4")
	for range 5 {
		began := time.Now()
		s.send(c, "udp4", 100)
		from, _ := s.receive(s.servers["udp4"])
		turned := time.Now()
		if took := turned.Sub(began); took < up {
			t.Errorf("up in %v", took)
		}
		_, err := s.servers["udp4"].WriteTo([]byte{1}, from)
		s.must(err)
		s.receive(c)
		if took := time.Since(turned); took < down {
			t.Errorf("down in %v", took)
		}
	}
	// Broadcasts take their time too.
	began := time.Now()
	s.await("a mark", func() bool { return s.mark > 0 })
	if took := time.Since(began); took < up {
		t.Errorf("broadcast in %v", took)
	}
}

// However long a line is, its ends find each other.
func TestNeighbors(t *testing.T) {
	s := newStreet(t)
	s.Set(Shape{}, Shape{Delay: time.Hour, Loss: 1, Rate: 1})
	link, err := s.node.Netlink().LinkByName("wan")
	s.must(err)
	known, err := s.node.Netlink().NeighList(link.Attrs().Index, 0)
	s.must(err)
	for _, n := range known {
		if err := s.node.Netlink().NeighDel(&n); !errors.Is(err, unix.ENOENT) {
			s.must(err)
		}
	}
	for _, network := range []string{"udp4", "udp6"} {
		s.send(s.client(network), network, 1)
		s.receive(s.servers[network])
	}
}

func TestLoss(t *testing.T) {
	s := newStreet(t)
	for _, network := range []string{"udp4", "udp6"} {
		s.Set(Shape{Loss: 1}, Shape{})
		before := s.lost()
		c := s.client(network)
		for range 50 {
			s.send(c, network, 100)
		}
		s.await("all lost", func() bool { return s.lost()-before == 50 })
		// The other direction is another matter.
		_, err := s.servers[network].WriteTo([]byte{1}, c.LocalAddr())
		s.must(err)
		s.receive(c)

		s.Set(Shape{}, Shape{Loss: 1})
		_, downBefore := s.Stats()
		s.send(c, network, 7)
		if _, size := s.receive(s.servers[network]); size != 7 {
			t.Errorf("%s: one that was to be lost has arrived", network)
		}
		_, err = s.servers[network].WriteTo([]byte{1}, c.LocalAddr())
		s.must(err)
		s.await("the answer lost",
			func() bool { _, down := s.Stats(); return down.Lost.Packets == downBefore.Lost.Packets+1 })
		s.Set(Shape{}, Shape{})
	}
}

func TestLossShare(t *testing.T) {
	const total, loss = 2000, 0.3
	s := newStreet(t)
	s.Set(Shape{Loss: loss}, Shape{Loss: 1})
	c, server := s.client("udp4"), s.servers["udp4"]
	before := s.lost()
	var passed atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, _, err := server.ReadFrom(make([]byte, 1)); err != nil {
				return
			}
			passed.Add(1)
		}
	}()
	for i := range total {
		s.send(c, "udp4", 100)
		if i%50 == 0 {
			s.pass() // no more at once than the kernel takes
		}
	}
	s.await("all through", func() bool { return s.lost()-before+passed.Load() >= total })
	server.Close()
	<-done
	lost := s.lost() - before
	if lost+passed.Load() != total {
		t.Errorf("%d lost and %d passed of %d", lost, passed.Load(), total)
	}
	if sigma := math.Sqrt(total * loss * (1 - loss)); math.Abs(float64(lost)-total*loss) > 6*sigma {
		t.Errorf("%d of %d lost", lost, total)
	}
}

// What is too large is lost without a word; a sender that asks for IP packets of the right size gets them through.
func TestMTU(t *testing.T) {
	s := newStreet(t)
	const mtu = 1400
	s.Set(Shape{MTU: mtu}, Shape{})
	for network, head := range map[string]int{"udp4": ip4Size + udpSize, "udp6": ip6Size + udpSize} {
		before := s.lost()
		c := s.client(network)
		s.send(c, network, mtu-head+1)
		s.await("one lost", func() bool { return s.lost() == before+1 })
		s.send(c, network, mtu-head)
		if _, size := s.receive(s.servers[network]); size != mtu-head {
			t.Errorf("%s: %d bytes arrived", network, size)
		}
	}
}

func TestFragments(t *testing.T) {
	s := newStreet(t)
	for _, network := range []string{"udp4", "udp6"} {
		c := s.client(network)
		s.Set(Shape{}, Shape{DropFragments: true})
		s.send(c, network, 4000)
		if _, size := s.receive(s.servers[network]); size != 4000 {
			t.Errorf("%s: %d bytes arrived", network, size)
		}
		s.Set(Shape{DropFragments: true}, Shape{})
		before := s.lost()
		s.send(c, network, 4000)
		s.await("three lost", func() bool { return s.lost() == before+3 })
		s.send(c, network, 1000)
		if _, size := s.receive(s.servers[network]); size != 1000 {
			t.Errorf("%s: %d bytes arrived", network, size)
		}
	}
}

// More than a rate takes is dropped, and what passes takes its time.
func TestTailDrop(t *testing.T) {
	s := newStreet(t)
	const size = 1000 - etherSize - ip4Size - udpSize // 8 ms each
	s.Set(Shape{Rate: 1_000_000, Queue: 40 * time.Millisecond}, Shape{})
	before, _ := s.Stats()
	c := s.client("udp4")
	began := time.Now()
	for range 100 {
		s.send(c, "udp4", size)
	}
	for i := range 5 {
		s.receive(s.servers["udp4"])
		if took, least := time.Since(began), time.Duration(i+1)*8*time.Millisecond; took < least {
			t.Errorf("%d frames took %v, not %v", i+1, took, least)
		}
	}
	s.Set(Shape{}, Shape{})
	s.await("dropped", func() bool { up, _ := s.Stats(); return up.Dropped.Packets > 0 })
	if up, down := s.Stats(); up.Lost != before.Lost || down.Dropped.Packets != 0 {
		t.Errorf("up %+v, down %+v", up, down)
	}
}

// Kernels put off segmenting and checksums to the device. Here they cannot: what enters the line are frames that could
// be on a wire, from both ends.
func TestOffloads(t *testing.T) {
	s := newStreet(t)
	s.Set(Shape{MTU: 1500}, Shape{MTU: 1500})
	ln, err := s.router.Listen(s.ctx, "tcp", netip.AddrPortFrom(routerAddr4.Addr(), 80).String())
	s.must(err)
	const total = 2 << 20
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			defer c.Close()
			_, err = io.CopyN(c, c, total) // echoes
		}
		served <- err
	}()
	c, err := s.node.Dial(s.ctx, "tcp", ln.Addr().String())
	s.must(err)
	defer context.AfterFunc(s.ctx, func() { c.Close(); ln.Close() })()
	go c.Write(make([]byte, total))
	_, err = io.CopyN(io.Discard, c, total)
	s.must(err)
	s.must(<-served)
	c.Close()
	ln.Close()

	// Five datagrams in one call.
	u := s.client("udp4")
	raw, err := u.(*net.UDPConn).SyscallConn()
	s.must(err)
	s.must(raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1000) }))
	s.must(err)
	s.send(u, "udp4", 5000)
	for range 5 {
		if _, size := s.receive(s.servers["udp4"]); size != 1000 {
			t.Errorf("%d bytes arrived", size)
		}
	}
	up, down := s.Stats()
	if up.Lost.Packets+down.Lost.Packets != 0 || min(up.Passed.Packets, down.Passed.Packets) < total/1500 {
		t.Errorf("up %+v, down %+v", up, down)
	}
}

// The whole life of a NAT, as a real client and a real server see it. The kernels check the checksums.
func TestNAT(t *testing.T) {
	s := newStreet(t)
	s.NAT(true)
	server := s.servers["udp4"]
	c := s.client("udp4")
	own := c.LocalAddr().(*net.UDPAddr).Port
	reach := func(c net.PacketConn) net.Addr {
		t.Helper()
		s.send(c, "udp4", 100)
		from, _ := s.receive(server)
		_, err := server.WriteTo([]byte("answer"), from)
		s.must(err)
		if at, size := s.receive(c); size != 6 || at.String() != server.LocalAddr().String() {
			t.Errorf("%d bytes from %v", size, at)
		}
		return from
	}
	downLost := func() int64 { _, down := s.Stats(); return down.Lost.Packets }

	first := reach(c)
	if a := first.(*net.UDPAddr); a.Port == own || a.AddrPort().Addr().Unmap() != nodeAddr4.Addr() {
		t.Errorf("%v is behind %v", c.LocalAddr(), first)
	}
	if again := reach(c); again.String() != first.String() {
		t.Errorf("behind %v, then %v", first, again)
	}
	if got := s.Ports(); len(got) != 1 || int(got[0]) != own {
		t.Errorf("ports %v", got)
	}

	s.LoseMappings()
	before := downLost()
	_, err := server.WriteTo([]byte("for no host"), first)
	s.must(err)
	s.await("lost for want of a mapping", func() bool { return downLost() == before+1 })
	second := reach(c)
	if second.String() == first.String() {
		t.Errorf("behind %v again", first)
	}

	s.Block(s.Ports()...)
	up := s.lost()
	s.send(c, "udp4", 100)
	s.await("lost for a block", func() bool { return s.lost() == up+1 })
	before = downLost()
	_, err = server.WriteTo([]byte("for a blocked one"), second)
	s.must(err)
	s.await("the answer lost for a block", func() bool { return downLost() == before+1 })
	reach(s.client("udp4")) // a new port helps

	// IPv6 has no NAT.
	c6 := s.client("udp6")
	s.send(c6, "udp6", 100)
	if from, _ := s.receive(s.servers["udp6"]); from.String() != c6.LocalAddr().String() {
		t.Errorf("%v is behind %v", c6.LocalAddr(), from)
	}
	s.NAT(false)
	s.send(c, "udp4", 100)
	if from, _ := s.receive(server); from.String() != c.LocalAddr().String() {
		t.Errorf("%v is behind %v", c.LocalAddr(), from)
	}
}

// The node's device may go down and come again.
func TestWireDown(t *testing.T) {
	s := newStreet(t)
	s.must(s.node.LinkDown("wan"))
	away := net.UDPAddrFromAddrPort(netip.AddrPortFrom(nodeAddr4.Addr(), 5))
	_, err := s.servers["udp4"].WriteTo([]byte("no host is there"), away)
	s.must(err)
	s.must(errors.Join(s.node.LinkUp("wan"), s.node.Addr("wan", nodeAddr6)))
	s.greet("udp4")
	s.greet("udp6")
}

func TestStart(t *testing.T) {
	s := newStreet(t)
	if err := s.Start(); err == nil {
		t.Error("started twice")
	}
	// With something under way.
	s.Set(Shape{Delay: time.Hour}, Shape{Delay: time.Hour})
	s.send(s.client("udp4"), "udp4", 1)
	s.must(s.Close())
	s.must(s.Close())
	if err := s.Start(); err == nil {
		t.Error("started after its end")
	}
	l := New(s.lab, "line2", End{s.node, "eth9"}, End{s.node, "eth9"})
	if err := l.Start(); !errors.Is(err, unix.EEXIST) {
		t.Errorf("two ends of one name: %v", err)
	}
	s.must(l.Close())
}
