//go:build go1.25

package clocktest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The clock goes on by itself, by its steps, and by no step that is refused. All steps that were made are kept.
func TestSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
		s := At(begin)
		time.Sleep(3 * time.Second)
		if now := s.Now(); !now.Equal(begin.Add(3 * time.Second)) {
			t.Errorf("after 3 s: %v", now)
		}
		set := begin.AddDate(-5, 0, 0)
		if err := s.Step(set); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		refused := errors.New("no right")
		s.RefuseSteps(refused)
		if err := s.Step(begin); err != refused {
			t.Errorf("a refused step: %v", err)
		}
		if now := s.Now(); !now.Equal(set.Add(time.Second)) {
			t.Errorf("a second after the step: %v", now)
		}
		s.RefuseSteps(nil)
		if err := s.Step(begin); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]time.Time{set, begin}, s.Steps()); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
	})
}

func TestSynchronised(t *testing.T) {
	s := At(time.Unix(0, 0))
	if yes, err := s.Synchronised(); yes || err != nil {
		t.Errorf("at first: %v, %v", yes, err)
	}
	failed := errors.New("no such call")
	s.SetSynchronised(true, failed)
	if yes, err := s.Synchronised(); !yes || err != failed {
		t.Errorf("as set: %v, %v", yes, err)
	}
}
