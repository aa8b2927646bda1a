package echo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Reply is one answer to a packet.
type Reply struct {
	Sent, At time.Time
	Gateway  string // or concentrator, that it came from
}

// packet is one that was sent; At is zero while it is not answered.
type packet struct {
	key
	Reply
}

type key struct {
	sender string // "" where there is one alone
	seq    uint16
}

// Record is what was sent, and what of it was answered, and when. Its methods may be called from any goroutine.
type Record struct {
	what string // for errors

	mu     sync.Mutex
	all    []*packet       // as they were sent
	latest map[key]*packet // a sequence number comes round again
	news   chan struct{}   // closed and made anew with each answer
}

// NewRecord makes an empty one; what completes "no reply …".
func NewRecord(what string) *Record {
	return &Record{what: what, latest: make(map[key]*packet), news: make(chan struct{})}
}

// Sending notes that a packet is about to be sent, and Unsent that it was not.
func (r *Record) Sending(sender string, seq uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &packet{key: key{sender, seq}, Reply: Reply{Sent: time.Now()}}
	r.all = append(r.all, p)
	r.latest[p.key] = p
}

// Unsent takes back what Sending has noted last for a sender.
func (r *Record) Unsent(sender string, seq uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.latest[key{sender, seq}]; p != nil {
		delete(r.latest, p.key)
		r.all = slices.DeleteFunc(r.all, func(q *packet) bool { return q == p })
	}
}

// Answered notes the first answer to a packet.
func (r *Record) Answered(sender string, seq uint16, at time.Time, gateway string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.latest[key{sender, seq}]; p != nil && p.At.IsZero() {
		p.At, p.Gateway = at, gateway
		close(r.news)
		r.news = make(chan struct{})
	}
}

// Await gives the first reply to a packet sent after a moment that a filter takes; nil takes any.
func (r *Record) Await(ctx context.Context, after time.Time, filter func(Reply) bool) (first Reply, err error) {
	err = r.wait(ctx, "no reply", func() bool {
		for _, p := range r.all {
			if !p.At.IsZero() && p.Sent.After(after) && (filter == nil || filter(p.Reply)) &&
				(first.At.IsZero() || p.At.Before(first.At)) {
				first = p.Reply
			}
		}
		return !first.At.IsZero()
	})
	return first, err
}

// AwaitStreak waits until the last n of a sender's answered packets, sent after a moment, follow each other without one
// between them that is lost. Packets that are still under way do not count. It gives the moment of the first of them.
func (r *Record) AwaitStreak(ctx context.Context, sender string, after time.Time, n int) (first time.Time, err error) {
	err = r.wait(ctx, fmt.Sprintf("never %d answers in a row", n), func() (ok bool) {
		first, ok = streak(r.all, sender, after, n)
		return ok
	})
	return first, err
}

// wait looks with each answer whether something is so. The function runs with mu held.
func (r *Record) wait(ctx context.Context, never string, so func() bool) error {
	for {
		r.mu.Lock()
		news, ok := r.news, so()
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("%s %s: %w", never, r.what, context.Cause(ctx))
		}
	}
}

func streak(all []*packet, sender string, after time.Time, n int) (first time.Time, ok bool) {
	count := 0
	for i := len(all) - 1; i >= 0 && all[i].Sent.After(after); i-- {
		switch p := all[i]; {
		case p.sender != sender:
		case !p.At.IsZero():
			if count++; count == n {
				return p.Sent, true
			}
		case count > 0:
			return first, false
		}
	}
	return first, false
}

// Count says how many packets of a sender went out between two moments, and how many of them were answered.
func (r *Record) Count(sender string, from, to time.Time) (sent, answered int) {
	for _, p := range r.between(sender, from, to) {
		sent++
		if !p.At.IsZero() {
			answered++
		}
	}
	return sent, answered
}

// Losses tells when what a sender sent between two moments and was not answered was sent: stretches, counted from the
// first moment.
func (r *Record) Losses(sender string, from, to time.Time) string {
	var out strings.Builder
	lost := 0
	for _, p := range r.between(sender, from, to) {
		at := p.Sent.Sub(from).Round(time.Millisecond)
		switch {
		case p.At.IsZero():
			if lost == 0 {
				fmt.Fprintf(&out, "from %v ", at)
			}
			lost++
		case lost > 0:
			fmt.Fprintf(&out, "to %v: %d, then an answer by %s; ", at, lost, p.Gateway)
			lost = 0
		}
	}
	if lost > 0 {
		fmt.Fprintf(&out, "to the end: %d; ", lost)
	}
	return strings.TrimSuffix(out.String(), "; ")
}

// between gives copies of a sender's packets that were sent between two moments.
func (r *Record) between(sender string, from, to time.Time) (all []packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.all {
		if p.sender == sender && p.Sent.After(from) && p.Sent.Before(to) {
			all = append(all, *p)
		}
	}
	return all
}
