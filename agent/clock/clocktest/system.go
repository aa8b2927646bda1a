// Package clocktest has a System for tests that must not touch the machine's clock.
package clocktest

import (
	"sync"
	"time"
)

// System is a clock that is off by an adjustable span. Its methods may be called from several goroutines.
type System struct {
	mu     sync.Mutex
	off    time.Duration
	synced bool
	syncer error
	refuse error
	steps  []time.Time
}

// At makes a System that shows t now, and goes on from there.
func At(t time.Time) *System { return &System{off: t.Sub(time.Now().Round(0))} }

// Now gives its time.
func (s *System) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Round(0).Add(s.off)
}

// Synchronised gives what SetSynchronised said, at first false.
func (s *System) Synchronised() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced, s.syncer
}

// Step sets the clock and records it.
func (s *System) Step(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	s.off = t.Sub(time.Now().Round(0))
	s.steps = append(s.steps, t)
	return nil
}

// Steps are the times it was set to.
func (s *System) Steps() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.steps...)
}

// SetSynchronised sets what Synchronised answers.
func (s *System) SetSynchronised(yes bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced, s.syncer = yes, err
}

// RefuseSteps makes Step fail with err.
func (s *System) RefuseSteps(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}
