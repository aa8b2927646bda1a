//go:build go1.25

package clock

import (
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"wguplink/agent/clock/clocktest"
)

// A step by another program is seen, also beside steps of our own. A step of our own is never taken for one.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := clocktest.At(boot)
		w := Watch(sys)
		start := w.Foreign()
		if err := w.Step(today); err != nil {
			t.Fatal(err)
		}
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

// halfway is a clock that has been set when its Step is told to return.
type halfway struct {
	*clocktest.System
	set, goOn chan struct{}
}

func (h halfway) Step(t time.Time) error {
	err := h.System.Step(t)
	close(h.set)
	<-h.goOn
	return err
}

// A look while we set the clock does not see our step either.
func TestForeignMeanwhile(t *testing.T) {
	sys := halfway{clocktest.At(boot), make(chan struct{}), make(chan struct{})}
	w := Watch(sys)
	start := w.Foreign()
	stepped, seen := make(chan error, 1), make(chan time.Duration, 1)
	go func() { stepped <- w.Step(today) }()
	<-sys.set
	go func() { seen <- w.Foreign() - start }()
	for range 1000 {
		runtime.Gosched() // it looks now, if it can
	}
	close(sys.goOn)
	if err := <-stepped; err != nil {
		t.Fatal(err)
	}
	if by := <-seen; by.Abs() > time.Minute {
		t.Errorf("our own step counts as foreign: %v", by)
	}
}

// A step that fails is no step of another program.
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
