//go:build go1.25

package uplink

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/status"
)

// An agent that is asked to leave the tunnel removes nothing and tells no hook of an end; the next one goes on with it.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.uplink(peer(1))
		u, end := w.runUntil(cfg)
		connected(t, u, time.Second)
		if err := end(ErrLeave); err != nil || len(w.removed) > 0 {
			t.Errorf("%v, removed %+v", err, w.removed)
		}
		if _, err := os.Stat(status.File(w.opts.RunDir, "mesh")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the status outlives the agent: %v", err)
		}
		w.with(func() {
			if e := w.hooked[len(w.hooked)-1]; e.Event != "up" {
				t.Errorf("hooks heard %+v", e)
			}
		})
		u, end = w.runUntil(cfg)
		synctest.Wait()
		if s := u.Snapshot(); s.Gateway == nil || !w.logged("going on with the gateway in use") {
			t.Errorf("not gone on with: %+v", s)
		}
		if err := end(context.Canceled); err != nil || len(w.removed) != 1 {
			t.Errorf("%v, removed %+v", err, w.removed)
		}
	})
}

// From a device that is lent to us our peers go in any case.
func TestLeaveBorrowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.uplink(peer(1))
		cfg.Borrowed, cfg.Mode = true, config.ModeLayer3
		w.devices["wg_mesh"] = newDevice("wg_mesh")
		u, end := w.runUntil(cfg)
		connected(t, u, time.Second)
		if err := end(ErrLeave); err != nil || len(w.removed) != 1 || !w.removed[0].Devices[0].Borrowed {
			t.Errorf("%v, removed %+v", err, w.removed)
		}
	})
}

// A warning is logged once while it lasts, and once again when it comes back.
func TestWarningsOnce(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.report.Warnings = []string{"first"}
		return w.uplink(peer(1))
	}, func(w *world, u *Uplink) {
		said := func(want string, times int) {
			t.Helper()
			if n := strings.Count(w.log.String(), `msg="not all is as wanted" uplink=mesh reason=`+want); n != times {
				t.Errorf("%q is in the log %d times, not %d", want, n, times)
			}
		}
		warn := func(all ...string) {
			w.with(func() { w.report.Warnings = all })
			time.Sleep(2 * applyEvery)
		}
		connected(t, u, time.Second)
		warn("first", "second")
		said("first", 1)
		said("second", 1)
		warn("second")
		warn("second", "first")
		said("first", 2)
		said("second", 1)
	})
}

// What had to wait is done when its time has come.
func TestApplyAgain(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		time.Sleep(applyEvery)
		w.with(func() { w.report.Again = 20 * time.Second })
		time.Sleep(applyEvery)
		w.with(func() { w.applied = nil })
		time.Sleep(applyEvery)
		if n := w.applications(); n != 3 {
			t.Errorf("applied %d times in %v", n, applyEvery)
		}
		w.with(func() { w.report.Again = 2 * applyEvery })
		time.Sleep(applyEvery)
		w.with(func() { w.applied = nil })
		time.Sleep(3 * applyEvery)
		if n := w.applications(); n != 3 {
			t.Errorf("applied %d times in %v", n, 3*applyEvery)
		}
	})
}

// Whether a layer-3 tunnel carries what it shall depends on default routes of others, too.
func TestWatchedRoutes(t *testing.T) {
	for mode, want := range map[config.Mode]bool{config.ModeLayer3: true, config.ModeVXLAN: false} {
		simulate(t, func(w *world) config.Uplink {
			cfg := w.uplink(peer(1))
			cfg.Mode = mode
			return cfg
		}, func(w *world, u *Uplink) {
			connected(t, u, time.Second)
			if w.exits != want {
				t.Errorf("%v: default routes are watched: %v", mode, w.exits)
			}
		})
	}
}

// Await gets the lock of an agent that is about to end.
func TestAwait(t *testing.T) {
	dir := t.TempDir()
	held, err := lock(dir, "mesh")
	if err != nil || !Running(dir, "mesh") {
		t.Fatal(err, Running(dir, "mesh"))
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Await(ended, dir, "mesh"); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is held: %v", err)
	}
	got := make(chan error)
	go func() {
		unlock, err := Await(context.Background(), dir, "mesh")
		if err == nil {
			unlock()
		}
		got <- err
	}()
	held()
	if err := <-got; err != nil || Running(dir, "mesh") {
		t.Errorf("after its end: %v", err)
	}
}
