//go:build go1.25

package main

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/lowmem"
	"wguplink/agent/slog"
	"wguplink/agent/status"
)

// noted notes what is done with the program's pages.
type noted struct {
	err  error
	mu   sync.Mutex
	what []string
}

func (n *noted) do(what string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.what = append(n.what, what)
	return n.err
}

// take gives what was noted since the last time.
func (n *noted) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	what := n.what
	n.what = nil
	return what
}

func (n *noted) Shed() error    { return n.do("shed") }
func (n *noted) Keep() error    { return n.do("keep") }
func (n *noted) Release() error { return n.do("release") }

// What a way to a gateway needs is learned on the first two of them. All else is given back whenever all is quiet.
func TestMemory(t *testing.T) {
	noWAN := status.Snapshot{State: status.Connecting, Cause: status.NoWAN}
	asking := status.Snapshot{State: status.Connecting, Cause: status.Clock}
	trying := status.Snapshot{State: status.Connecting}
	connected := status.Snapshot{State: status.Connected, Switches: 1}
	again := status.Snapshot{State: status.Connected, Switches: 2}
	later := status.Snapshot{State: status.Connected, Switches: 3}
	for _, err := range []error{nil, errors.New("no memory")} {
		synctest.Test(t, func(t *testing.T) {
			n := &noted{err: err}
			m := newMemory(n, func() error { return n.do("fetch") }, slog.New(slog.NewTextHandler(io.Discard, nil)))
			defer m.stop()
			step := func(name string, after time.Duration, want ...string) {
				t.Helper()
				time.Sleep(after)
				synctest.Wait()
				if diff := cmp.Diff(want, n.take()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			m.changed(noWAN)
			step("no WAN", 0, "fetch")
			m.changed(asking)
			step("asking for the time", lowmem.Quiet-1)
			m.changed(trying)
			m.tries()
			m.tries()
			step("trying", shedPause-1, "shed")
			m.tries()
			step("trying others", 1)
			m.tries()
			step("trying after a registration", 0, "shed")
			m.changed(connected)
			step("connected", lowmem.Brief-1)
			step("what a failover needs is known", 1, "keep", "release")
			step("nearly settled", lowmem.Quiet-1)
			step("settled", 1, "release")
			for range muchGarbage - 1 {
				m.checked()
				step("checked", lowmem.Brief, "shed")
			}
			m.checked()
			step("checked often", lowmem.Brief, "release")
			m.checked()
			step("checked again", lowmem.Brief, "shed")
			m.tries()
			m.changed(status.Snapshot{State: status.Suspect, Switches: 1})
			step("trying another", shedPause, "shed")
			m.changed(again)
			m.changed(again)
			step("another gateway", lowmem.Brief-1)
			step("what only that needs is known", 1, "keep", "release")
			step("settled again", lowmem.Quiet, "release")
			m.tries()
			m.changed(later)
			step("a third gateway", lowmem.Quiet, "release")
		})
	}
}

// Without a gateway there is nothing to learn.
func TestMemoryWithoutGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &noted{}
		m := newMemory(n, func() error { return nil }, slog.New(slog.NewTextHandler(io.Discard, nil)))
		defer m.stop()
		m.changed(status.Snapshot{State: status.Connecting})
		m.tries()
		time.Sleep(lowmem.Quiet)
		synctest.Wait()
		if diff := cmp.Diff([]string{"shed", "release"}, n.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
