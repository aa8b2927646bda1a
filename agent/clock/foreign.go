package clock

import (
	"sync"
	"time"
)

// Watched is a System that tells steps that others make from those made through it. Its methods may be called from
// several goroutines.
type Watched struct {
	System

	mu   sync.Mutex
	born time.Time     // what to count from on the monotonic clock
	own  time.Duration // the sum of our steps
}

// Watch makes a Watched. All code in the program that steps the clock must do so through the same one.
func Watch(s System) *Watched { return &Watched{System: s, born: time.Now()} }

// Step sets the clock.
func (w *Watched) Step(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.ahead()
	err := w.System.Step(t)
	w.own += w.ahead() - before
	return err
}

// Foreign is how far the clock is ahead of a monotonic one, but for what we stepped it by: the value itself means
// nothing, and it changes only when others set the clock.
func (w *Watched) Foreign() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ahead() - w.own
}

// ahead counts from 1970, for a Duration does not reach back further. The caller holds w.mu.
func (w *Watched) ahead() time.Duration {
	return time.Duration(w.System.Now().UnixNano()) - time.Since(w.born)
}
