//go:build go1.25

package uplink

import (
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/status"
)

// warned says that the status names another node with our key as what is likely wrong.
func warned(u *Uplink) bool {
	return slices.ContainsFunc(u.Snapshot().Warnings, func(s string) bool {
		return strings.HasPrefix(s, "gw1 ") && strings.Contains(s, "does another node use the key of this one?")
	})
}

// Another node with our key takes the session over, with this agent or with WireGuard alone.
func TestTwin(t *testing.T) {
	for _, after := range []time.Duration{6 * time.Second, 15 * time.Second} {
		simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
			connected(t, u, 10*time.Second)
			g := w.at(peer(1).Endpoints[0])
			w.with(func() { g.twin, g.lost = after, true })
			wait(t, 3*time.Minute, "the warning", func() bool { return warned(u) })
			w.with(func() { g.twin, g.lost = 0, false })
			expect(t, u, 30*time.Second, status.Connected, status.None)
			wait(t, twinWithin+30*time.Second, "its end", func() bool { return !warned(u) })
		})
	}
}

// A gateway that dies, or restarts, or is away with the line once in a while is no twin's.
func TestNoTwin(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, 10*time.Second)
		never := func(most time.Duration) {
			t.Helper()
			for until := time.Now().Add(most); time.Now().Before(until); time.Sleep(time.Second) {
				if warned(u) {
					t.Fatal("warned of a twin")
				}
			}
		}
		never(5 * time.Minute)
		for range 3 {
			w.kill(peer(1), true)
			never(20 * time.Second)
			w.kill(peer(1), false)
			never(2 * time.Minute)
		}
		w.kill(peer(1), true)
		never(10 * time.Minute)
	})
}

// It takes four handshakes within two minutes, with one gateway.
func TestTwinCount(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := twin{}
	for i := range 4 {
		l.watch([32]byte{1}, true, now)
		l.watch([32]byte{1}, false, now)
		l.shook(now)
		if got := l.warning("gw1", now) != ""; got != (i == 3) {
			t.Errorf("%d: %v", i, got)
		}
		now = now.Add(20 * time.Second)
	}
	if l.warning("gw1", now.Add(time.Minute)) != "" {
		t.Error("old handshakes count")
	}
	if l.watch([32]byte{2}, false, now); l.warning("gw2", now) != "" {
		t.Error("handshakes with another gateway count")
	}
}
