package world

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Pings sends echo requests from the node to the internet by its default route of one family, one each interval, and
// keeps the replies with the name of the concentrator they came from. What cannot be sent counts as sent: it is lost.
type Pings struct {
	w    *World
	to   netip.Addr
	id   int
	stop context.CancelFunc
	done sync.WaitGroup
	record
}

// Pings starts sending to InternetV4 or InternetV6. Close it before the world.
func (w *World) Pings(to netip.Addr, every time.Duration) (*Pings, error) {
	network, any := "ip4:icmp", "0.0.0.0"
	if to.Is6() {
		network, any = "ip6:ipv6-icmp", "::"
	}
	pc, err := w.Node.ListenPacket(w.ctx, network, any)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(w.ctx)
	p := &Pings{w: w, to: to, id: 1 + rand.IntN(0xffff), stop: cancel, record: newRecord("from " + to.String())}
	read, err := p.reader(pc)
	if err != nil {
		cancel()
		pc.Close()
		return nil, fmt.Errorf("pings to %v: %w", to, err)
	}
	context.AfterFunc(ctx, func() { pc.Close() })
	p.done.Add(2)
	go func() {
		defer p.done.Done()
		p.send(ctx, pc, every)
	}()
	go func() {
		defer p.done.Done()
		p.receive(ctx, read)
	}()
	return p, nil
}

// Close ends the sending.
func (p *Pings) Close() {
	p.stop()
	p.done.Wait()
}

// Outage is what a damage did to a Pings.
type Outage struct {
	Took         time.Duration // from the damage until the first reply to a packet sent after it; see Await
	Lost         int           // packets sent from the damage until that reply's, and not answered
	Concentrator string        // that answered
}

// Outage waits for the end of an outage that began at a moment: the first reply, to a packet sent after it, that a filter
// takes; nil takes any. Damage that does not stop replies at once needs one, such as NotFrom.
func (p *Pings) Outage(ctx context.Context, damage time.Time, filter func(Reply) bool) (Outage, error) {
	r, err := p.Await(ctx, damage, filter)
	if err != nil {
		return Outage{}, err
	}
	sent, answered := p.Count(damage, r.Sent)
	return Outage{Took: r.At.Sub(damage), Lost: sent - answered, Concentrator: r.Gateway}, nil
}

// NotFrom is a filter for replies of others than that concentrator.
func NotFrom(name string) func(Reply) bool { return func(r Reply) bool { return r.Gateway != name } }

func (p *Pings) send(ctx context.Context, pc net.PacketConn, every time.Duration) {
	typ := icmp.Type(ipv4.ICMPTypeEcho)
	if p.to.Is6() {
		typ = ipv6.ICMPTypeEchoRequest
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for seq := uint16(0); ; seq++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m := icmp.Message{Type: typ, Body: &icmp.Echo{ID: p.id, Seq: int(seq), Data: []byte("wguplink")}}
		b, err := m.Marshal(nil) // the kernel fills in ICMPv6's checksum
		if err != nil {
			return
		}
		p.sending(seq)
		_, _ = pc.WriteTo(b, &net.IPAddr{IP: p.to.AsSlice()}) // there may be no route now
	}
}

// reader gives a function that reads one ICMP message, and the TTL or hop limit that it came with.
func (p *Pings) reader(pc net.PacketConn) (func(b []byte) (n, ttl int, err error), error) {
	if p.to.Is6() {
		c := ipv6.NewPacketConn(pc)
		return func(b []byte) (int, int, error) {
			n, cm, _, err := c.ReadFrom(b)
			if cm == nil {
				return n, 0, err
			}
			return n, cm.HopLimit, err
		}, c.SetControlMessage(ipv6.FlagHopLimit, true)
	}
	c := ipv4.NewPacketConn(pc)
	return func(b []byte) (int, int, error) {
		n, cm, _, err := c.ReadFrom(b)
		if cm == nil {
			return n, 0, err
		}
		return n, cm.TTL, err
	}, c.SetControlMessage(ipv4.FlagTTL, true)
}

func (p *Pings) receive(ctx context.Context, read func([]byte) (n, ttl int, err error)) {
	proto, reply := 1, icmp.Type(ipv4.ICMPTypeEchoReply) // IANA protocol numbers
	if p.to.Is6() {
		proto, reply = 58, ipv6.ICMPTypeEchoReply
	}
	buf := make([]byte, 1500)
	for {
		n, ttl, err := read(buf)
		at := time.Now()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // such as an ICMP error of an earlier packet
		}
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || m.Type != reply {
			continue
		}
		if echo, ok := m.Body.(*icmp.Echo); ok && echo.ID == p.id {
			p.answered(uint16(echo.Seq), at, p.w.byTTL(ttl))
		}
	}
}

// byTTL names the concentrator whose packets have that TTL.
func (w *World) byTTL(ttl int) string {
	for _, c := range w.Parker.Concentrators {
		if ttl == ttlBase+c.ID {
			return c.Name
		}
	}
	return fmt.Sprintf("TTL %d", ttl)
}
