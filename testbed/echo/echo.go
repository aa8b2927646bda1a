// Package echo sends packets that ask for an answer at a steady pace, and remembers which were answered, when, and by
// whom.
package echo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"wguplink/testbed/netlab"
)

// Pinger sends ICMP echo requests of one sender.
type Pinger struct {
	Host   *netlab.Host
	Own    netip.Addr // of the host; unspecified: as the kernel chooses
	To     netip.Addr
	Every  time.Duration
	ID     int // tells its requests from another's of the host
	Sender string
	// By names who has answered, by the TTL or hop limit that the answer came with; nil: Sender.
	By func(ttl int) string
}

// Start sends from now on, until the function that it gives is called, and notes it in a record. What cannot be sent
// counts as sent: it is lost.
func (p Pinger) Start(ctx context.Context, r *Record) (stop func(), err error) {
	network := "ip4:icmp"
	if p.To.Is6() {
		network = "ip6:ipv6-icmp"
	}
	conn, err := p.Host.ListenPacket(ctx, network, p.Own.String())
	if err != nil {
		return nil, err
	}
	read, err := p.reader(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("pings to %v: %w", p.To, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, func() { conn.Close() })
	var tasks sync.WaitGroup
	for _, f := range []func(){func() { p.send(ctx, conn, r) }, func() { p.receive(ctx, read, r) }} {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			f()
		}()
	}
	return func() { cancel(); tasks.Wait() }, nil
}

func (p Pinger) send(ctx context.Context, conn net.PacketConn, r *Record) {
	typ := icmp.Type(ipv4.ICMPTypeEcho)
	if p.To.Is6() {
		typ = ipv6.ICMPTypeEchoRequest
	}
	// The instrument looks at fixed times; it is what is measured that must not wait.
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for seq := uint16(0); ; seq++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m := icmp.Message{Type: typ, Body: &icmp.Echo{ID: p.ID, Seq: int(seq), Data: []byte("wguplink")}}
		b, err := m.Marshal(nil) // the kernel fills in ICMPv6's checksum
		if err != nil {
			panic(err) // a message of ours, always the same
		}
		r.Sending(p.Sender, seq)
		_, _ = conn.WriteTo(b, &net.IPAddr{IP: p.To.AsSlice()}) // there may be no route now
	}
}

// reader gives a function that reads one ICMP message, and the TTL or hop limit that it came with.
func (p Pinger) reader(pc net.PacketConn) (func(b []byte) (n, ttl int, err error), error) {
	if p.To.Is6() {
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

func (p Pinger) receive(ctx context.Context, read func([]byte) (n, ttl int, err error), r *Record) {
	proto, reply := 1, icmp.Type(ipv4.ICMPTypeEchoReply) // IANA protocol numbers
	if p.To.Is6() {
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
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == p.ID {
			by := p.Sender
			if p.By != nil {
				by = p.By(ttl)
			}
			r.Answered(p.Sender, uint16(e.Seq), at, by)
		}
	}
}

// Requests are echo requests of several senders, at one pace. Close ends them.
type Requests struct {
	*Record
	every time.Duration
	stops []func()
}

// New makes Requests without a sender. Each sender sends one in that time.
func New(every time.Duration) *Requests {
	return &Requests{Record: NewRecord("from the node's bat0"), every: every}
}

// Send has a host send requests from one of its addresses to another, from now on. id tells its requests from those of
// another sender of that host.
func (r *Requests) Send(host *netlab.Host, sender string, from, to netip.Addr, id int) error {
	stop, err := Pinger{Host: host, Own: from, To: to, Every: r.every, ID: id,
		Sender: sender}.Start(context.Background(), r.Record)
	if err != nil {
		return fmt.Errorf("%s: %w", sender, err)
	}
	r.stops = append(r.stops, stop)
	return nil
}

// Close ends all senders. What was sent stays known.
func (r *Requests) Close() {
	for _, stop := range r.stops {
		stop()
	}
}

// Lost is for how long a sender's requests between two moments had no answer, all in all.
func (r *Requests) Lost(sender string, after, before time.Time) time.Duration {
	sent, answered := r.Count(sender, after, before)
	return time.Duration(sent-answered) * r.every
}
