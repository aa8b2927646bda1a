package farside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// pings sends echo requests from all gateways to the node through the mesh.
type pings struct {
	stop  context.CancelFunc
	tasks sync.WaitGroup
	conns []net.PacketConn

	mu   sync.Mutex
	all  []*echo
	news chan struct{} // closed, and made anew, with each answer
}

// echo is one request. at is zero while there is no answer.
type echo struct {
	gateway  string
	sent, at time.Time
}

const icmpV4 = 1 // IPPROTO_ICMP

func (f *Farside) startPings(every time.Duration) (*pings, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pings{stop: cancel, news: make(chan struct{})}
	for i, g := range f.w.Gateways {
		conn, err := g.Host.ListenPacket(ctx, "ip4:icmp", meshAddr(i+1).String())
		if err != nil {
			p.close()
			return nil, fmt.Errorf("gateway %s: %w", g.Name, err)
		}
		p.conns = append(p.conns, conn)
		sent := make(map[int]*echo)
		p.tasks.Add(2)
		go func() {
			defer p.tasks.Done()
			p.send(ctx, conn, g.Name, i+1, every, sent)
		}()
		go func() {
			defer p.tasks.Done()
			p.receive(conn, i+1, sent)
		}()
	}
	return p, nil
}

func (p *pings) close() {
	p.stop()
	for _, c := range p.conns {
		c.Close()
	}
	p.tasks.Wait()
}

func (p *pings) send(ctx context.Context, conn net.PacketConn, gateway string, id int, every time.Duration, sent map[int]*echo) {
	// The instrument looks at fixed times; it is what is measured that must not wait.
	tick := time.NewTicker(every)
	defer tick.Stop()
	to := &net.IPAddr{IP: NodeMesh.Addr().AsSlice()}
	for seq := 0; ; seq = (seq + 1) & 0xffff {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("wguplink")}}).Marshal(nil)
		if err != nil {
			panic(err) // a message of ours, always the same
		}
		e := &echo{gateway: gateway, sent: time.Now()}
		p.mu.Lock()
		sent[seq] = e
		p.all = append(p.all, e)
		p.mu.Unlock()
		// A gateway that nobody is connected to cannot resolve the node's address: that is a request without an answer, too.
		_, _ = conn.WriteTo(b, to)
	}
}

func (p *pings) receive(conn net.PacketConn, id int, sent map[int]*echo) {
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		at := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // such as "host unreachable"
		}
		m, err := icmp.ParseMessage(icmpV4, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		body, ok := m.Body.(*icmp.Echo)
		if !ok || body.ID != id {
			continue
		}
		p.mu.Lock()
		if e := sent[body.Seq]; e != nil && e.at.IsZero() {
			e.at = at
			close(p.news)
			p.news = make(chan struct{})
		}
		p.mu.Unlock()
	}
}

// await gives the first answered request that a filter takes.
func (p *pings) await(ctx context.Context, filter func(echo) bool) (echo, error) {
	for {
		p.mu.Lock()
		news := p.news
		for _, e := range p.all {
			if !e.at.IsZero() && filter(*e) {
				p.mu.Unlock()
				return *e, nil
			}
		}
		p.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return echo{}, fmt.Errorf("no answer from the node's bat0: %w", context.Cause(ctx))
		}
	}
}

// count counts a gateway's requests that were sent between two moments.
func (p *pings) count(gateway string, after, before time.Time) (c Count) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.all {
		if e.gateway != gateway || !e.sent.After(after) || !e.sent.Before(before) {
			continue
		}
		c.Sent++
		if !e.at.IsZero() {
			c.Answered++
		}
	}
	return c
}
