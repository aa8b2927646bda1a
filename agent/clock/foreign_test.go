//go:build go1.25

package clock

import (
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wguplink/agent/clock/clocktest"
)

// What others set is seen, whatever we step it by meanwhile; and what we step it by never is, not even while it happens.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := clocktest.At(boot)
		w := Watch(sys)
		start := w.Foreign()
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 1000 {
				if err := w.Step(today.Add(time.Duration(i) * time.Hour)); err != nil {
					t.Error(err)
				}
			}
		})
		for range 1000 {
			if by := w.Foreign() - start; by != 0 {
				t.Fatalf("our own step counts as foreign: %v", by)
			}
		}
		wg.Wait()
		time.Sleep(time.Hour)
		if by := w.Foreign() - start; by != 0 {
			t.Errorf("an hour that passed counts as foreign: %v", by)
		}
		if err := sys.Step(sys.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := w.Step(w.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if by := w.Foreign() - start; by != -time.Hour {
			t.Errorf("%v, want -1h", by)
		}
	})
}

// A step that fails is nobody's.
func TestForeignRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := clocktest.At(boot)
		w := Watch(sys)
		start := w.Foreign()
		sys.RefuseSteps(os.ErrPermission)
		if err := w.Step(today); err != os.ErrPermission {
			t.Errorf("%v", err)
		}
		if by := w.Foreign() - start; by != 0 {
			t.Errorf("%v", by)
		}
	})
}
