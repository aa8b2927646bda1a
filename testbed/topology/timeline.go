package topology

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Timeline is what happened when, measured from the agent's start.
type Timeline struct {
	mu     sync.Mutex
	start  time.Time
	events []Event
	out    io.Writer
	news   chan struct{} // closed and made anew with each event; nil while nothing waits
}

// Event is one line of a timeline.
type Event struct {
	At     time.Duration
	What   string
	Detail string
}

// Timeline of the topology. It begins with the agent's start.
func (topo *Topology) Timeline() *Timeline { return &topo.timeline }

// Print writes each event to out as it happens.
func (t *Timeline) Print(out io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out = out
}

// Start sets the zero of the timeline and drops what was before.
func (t *Timeline) Start(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start, t.events = at, nil
}

// Add notes an event that happened at that moment.
func (t *Timeline) Add(at time.Time, what, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(at, what, detail)
}

func (t *Timeline) add(at time.Time, what, detail string) {
	if t.start.IsZero() {
		return
	}
	e := Event{at.Sub(t.start), what, detail}
	t.events = append(t.events, e)
	if t.news != nil {
		close(t.news)
		t.news = nil
	}
	if t.out != nil {
		fmt.Fprintf(t.out, "%8.3f s  %-12s %s\n", e.At.Seconds(), e.What, e.Detail)
	}
}

// once notes an event if it is the first of its name.
func (t *Timeline) once(what, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.What == what {
			return
		}
	}
	t.add(time.Now(), what, detail)
}

// Since gives the moment of the first event of that name that did not happen before began.
func (t *Timeline) Since(what string, began time.Time) (at time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if at := t.start.Add(e.At); e.What == what && !at.Before(began) {
			return at, true
		}
	}
	return time.Time{}, false
}

// Await waits until there is an event of that name.
func (t *Timeline) Await(ctx context.Context, what string) error {
	for {
		t.mu.Lock()
		there := slices.ContainsFunc(t.events, func(e Event) bool { return e.What == what })
		if t.news == nil {
			t.news = make(chan struct{})
		}
		news := t.news
		t.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("never %s: %w", what, context.Cause(ctx))
		}
	}
}

// First gives the first event of that name.
func (t *Timeline) First(what string) (Event, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.What == what {
			return e, true
		}
	}
	return Event{}, false
}

// Pause lets time pass.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
