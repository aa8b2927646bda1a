// Package echo sends echo requests through a mesh at a steady pace, and remembers which were answered, and when.
package echo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"wguplink/testbed/netlab"
)

// Requests are all echo requests that were sent so far. Close ends them.
type Requests struct {
	every time.Duration
	ctx   context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup
	conns []net.PacketConn

	mu   sync.Mutex
	all  []*Request
	news chan struct{} // closed, and made anew, with each answer
}

// Request is one of them. At is zero while there is no answer.
type Request struct {
	Sender   string
	Sent, At time.Time
}

// Count is how many requests went out, and how many of them were answered.
type Count struct {
	Sent     int `json:"sent"`
	Answered int `json:"answered"`
}

const icmpV4 = 1 // IPPROTO_ICMP

// New makes Requests without a sender. Each sender sends one in that time.
func New(every time.Duration) *Requests {
	ctx, cancel := context.WithCancel(context.Background())
	return &Requests{every: every, ctx: ctx, stop: cancel, news: make(chan struct{})}
}

// Send has a host send requests from one of its addresses to another, from now on. id tells its requests from those of another
// sender of that host.
func (r *Requests) Send(host *netlab.Host, sender string, from, to netip.Addr, id int) error {
	conn, err := host.ListenPacket(r.ctx, "ip4:icmp", from.String())
	if err != nil {
		return fmt.Errorf("%s: %w", sender, err)
	}
	r.conns = append(r.conns, conn)
	sent := make(map[int]*Request)
	r.tasks.Add(2)
	go func() {
		defer r.tasks.Done()
		r.send(conn, sender, to, id, sent)
	}()
	go func() {
		defer r.tasks.Done()
		r.receive(conn, id, sent)
	}()
	return nil
}

// Close ends all senders. What was sent stays known.
func (r *Requests) Close() {
	r.stop()
	for _, c := range r.conns {
		c.Close()
	}
	r.tasks.Wait()
}

func (r *Requests) send(conn net.PacketConn, sender string, to netip.Addr, id int, sent map[int]*Request) {
	// The instrument looks at fixed times; it is what is measured that must not wait.
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	dst := &net.IPAddr{IP: to.AsSlice()}
	for seq := 0; ; seq = (seq + 1) & 0xffff {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("wguplink")}}).Marshal(nil)
		if err != nil {
			panic(err) // a message of ours, always the same
		}
		q := &Request{Sender: sender, Sent: time.Now()}
		r.mu.Lock()
		sent[seq] = q
		r.all = append(r.all, q)
		r.mu.Unlock()
		// A gateway that no node is connected to cannot resolve the node's address: that is a request without an answer, too.
		_, _ = conn.WriteTo(b, dst)
	}
}

func (r *Requests) receive(conn net.PacketConn, id int, sent map[int]*Request) {
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
		r.mu.Lock()
		if q := sent[body.Seq]; q != nil && q.At.IsZero() {
			q.At = at
			close(r.news)
			r.news = make(chan struct{})
		}
		r.mu.Unlock()
	}
}

// Await gives the first answered request that a filter takes.
func (r *Requests) Await(ctx context.Context, filter func(Request) bool) (Request, error) {
	for {
		r.mu.Lock()
		news := r.news
		for _, q := range r.all {
			if !q.At.IsZero() && filter(*q) {
				r.mu.Unlock()
				return *q, nil
			}
		}
		r.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return Request{}, fmt.Errorf("no answer from the node's bat0: %w", context.Cause(ctx))
		}
	}
}

// AwaitStreak waits until the last n of a sender's answered requests, sent after a moment, follow each other without one
// between them that is lost. Requests that are still under way do not count. It gives the moment of the first of them.
func (r *Requests) AwaitStreak(ctx context.Context, sender string, after time.Time, n int) (time.Time, error) {
	for {
		r.mu.Lock()
		news := r.news
		first, ok := streak(r.all, sender, after, n)
		r.mu.Unlock()
		if ok {
			return first, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("never %d answers in a row from the node's bat0: %w", n, context.Cause(ctx))
		}
	}
}

func streak(all []*Request, sender string, after time.Time, n int) (first time.Time, ok bool) {
	count := 0
	for i := len(all) - 1; i >= 0 && all[i].Sent.After(after); i-- {
		switch q := all[i]; {
		case q.Sender != sender:
		case !q.At.IsZero():
			if count++; count == n {
				return q.Sent, true
			}
		case count > 0:
			return first, false
		}
	}
	return first, false
}

// Count counts a sender's requests that were sent between two moments.
func (r *Requests) Count(sender string, after, before time.Time) (c Count) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.all {
		if q.Sender != sender || !q.Sent.After(after) || !q.Sent.Before(before) {
			continue
		}
		c.Sent++
		if !q.At.IsZero() {
			c.Answered++
		}
	}
	return c
}

// Lost is for how long a sender's requests between two moments had no answer, all in all.
func (r *Requests) Lost(sender string, after, before time.Time) time.Duration {
	c := r.Count(sender, after, before)
	return time.Duration(c.Sent-c.Answered) * r.every
}
