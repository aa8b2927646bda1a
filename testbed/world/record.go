package world

import (
	"context"
	"fmt"
	"maps"
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

// record is what a measuring sender has sent, and what was answered.
type record struct {
	what string // for errors

	mu      sync.Mutex
	sent    map[uint16]time.Time // by sequence number
	replies []Reply
	news    chan struct{} // closed and made anew with each reply
}

func newRecord(what string) record {
	return record{what: what, sent: make(map[uint16]time.Time), news: make(chan struct{})}
}

func (r *record) sending(seq uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[seq] = time.Now()
}

func (r *record) unsent(seq uint16) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sent, seq)
}

func (r *record) answered(seq uint16, at time.Time, gateway string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if sent, ok := r.sent[seq]; ok {
		r.replies = append(r.replies, Reply{Sent: sent, At: at, Gateway: gateway})
		close(r.news)
		r.news = make(chan struct{})
	}
}

// Await gives the first reply to a packet sent after a moment that a filter takes; nil takes any.
func (r *record) Await(ctx context.Context, after time.Time, filter func(Reply) bool) (Reply, error) {
	for {
		r.mu.Lock()
		news := r.news
		for _, x := range r.replies {
			if x.Sent.After(after) && (filter == nil || filter(x)) {
				r.mu.Unlock()
				return x, nil
			}
		}
		r.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return Reply{}, fmt.Errorf("no reply %s: %w", r.what, context.Cause(ctx))
		}
	}
}

// Count says how many packets went out between two moments, and how many of them were answered.
func (r *record) Count(from, to time.Time) (sent, answered int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.sent {
		if at.After(from) && at.Before(to) {
			sent++
		}
	}
	for _, x := range r.replies {
		if x.Sent.After(from) && x.Sent.Before(to) {
			answered++
		}
	}
	return sent, answered
}

// Losses tells when what was sent between two moments and not answered was sent: stretches, counted from the first moment.
func (r *record) Losses(from, to time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	answered := make(map[time.Time]string)
	for _, x := range r.replies {
		answered[x.Sent] = x.Gateway
	}
	sent := slices.SortedFunc(maps.Values(r.sent), time.Time.Compare)
	var out strings.Builder
	lost := 0
	for _, at := range sent {
		if !at.After(from) || !at.Before(to) {
			continue
		}
		by, ok := answered[at]
		switch {
		case !ok && lost == 0:
			fmt.Fprintf(&out, "from %v ", at.Sub(from).Round(time.Millisecond))
			lost++
		case !ok:
			lost++
		case lost > 0:
			fmt.Fprintf(&out, "to %v: %d, then an answer by %s; ", at.Sub(from).Round(time.Millisecond), lost, by)
			lost = 0
		}
	}
	if lost > 0 {
		fmt.Fprintf(&out, "to the end: %d; ", lost)
	}
	return strings.TrimSuffix(out.String(), "; ")
}
