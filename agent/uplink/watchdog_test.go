//go:build go1.25

package uplink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/status"
	"wguplink/agent/wan"
)

const firmwareLine = "no tunnel since the firmware was updated"

// limit stands for the hours of the option, which take long to simulate.
const limit = 12 * time.Minute

// guarded is a world with a watchdog and a firmware. was is the one that a tunnel has worked with; "" for none.
func guarded(was string) func(w *world) config.Uplink {
	return func(w *world) config.Uplink {
		cfg := w.uplink(peer(1))
		cfg.UpdateWatchdog = limit
		w.opts.Firmware, w.opts.FloorFile = "v2", filepath.Join(w.dir, "state", "last-time")
		if err := os.MkdirAll(filepath.Join(w.dir, "state"), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if was != "" {
			if err := os.WriteFile(filepath.Join(w.dir, "state", "mesh.firmware"), []byte(was+"\n"),
				0o600); err != nil {
				w.t.Fatal(err)
			}
		}
		return cfg
	}
}

// told is how often log, hooks and status say that the uplink is stranded.
func (w *world) told(u *Uplink) (lines, events int, stranded bool) {
	w.with(func() {
		for _, e := range w.hooked {
			if e.Event == hooks.Stranded {
				events++
				if e.Firmware != "v2" || e.Cause != string(status.NoHandshake) || e.Reason == "" ||
					e.Uplink != "mesh" || e.GatewayKey != "" {
					w.t.Errorf("%+v", e)
				}
			}
		}
	})
	return strings.Count(w.log.String(), firmwareLine), events, u.Snapshot().Stranded
}

func (w *world) expectTold(u *Uplink, when string, want int, stranded bool) {
	w.t.Helper()
	if lines, events, is := w.told(u); lines != want || events != want || is != stranded {
		w.t.Errorf("%s: %d lines, %d events, stranded %v; want %d and %v", when, lines, events, is, want, stranded)
	}
}

// After an update no tunnel comes: it is told once, after the limit with a WAN, and taken back when one comes.
func TestStranded(t *testing.T) {
	for _, was := range []string{"v1", ""} {
		simulate(t, func(w *world) config.Uplink {
			cfg := guarded(was)(w)
			w.kill(peer(1), true)
			return cfg
		}, func(w *world, u *Uplink) {
			time.Sleep(limit - 2*time.Second)
			w.expectTold(u, "before", 0, false)
			time.Sleep(4 * time.Second)
			w.expectTold(u, "after the limit", 1, true)
			time.Sleep(2 * limit)
			w.expectTold(u, "once", 1, true)
			w.kill(peer(1), false)
			expect(t, u, 10*time.Minute, status.Connected, status.None)
			time.Sleep(2 * time.Minute)
			w.expectTold(u, "with a tunnel", 1, false)
			if b, err := os.ReadFile(filepath.Join(w.dir, "state", "mesh.firmware")); err != nil ||
				string(b) != "v2\n" {
				t.Errorf("%q, %v", b, err)
			}
			w.kill(peer(1), true)
			time.Sleep(2 * limit)
			w.expectTold(u, "a later outage", 1, false)
		})
	}
}

// An outage with a firmware that has worked is no reason to go back.
func TestNotStrandedByAnOutage(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := guarded("v2")(w)
		w.kill(peer(1), true)
		return cfg
	}, func(w *world, u *Uplink) {
		time.Sleep(2 * limit)
		w.expectTold(u, "proven before", 0, false)
	})
}

// Time without a WAN does not count.
func TestStrandedCountsTheWAN(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := guarded("v1")(w)
		w.kill(peer(1), true)
		return cfg
	}, func(w *world, u *Uplink) {
		up := w.wan
		time.Sleep(limit / 2)
		w.setWAN(wan.State{})
		time.Sleep(3 * limit)
		w.expectTold(u, "without a WAN", 0, false)
		w.setWAN(up)
		time.Sleep(limit/2 - time.Minute)
		w.expectTold(u, "before", 0, false)
		time.Sleep(2 * time.Minute)
		w.expectTold(u, "after the limit with a WAN", 1, true)
	})
}

// Switched off nothing is told and nothing written; switched on by a reload it counts from then on.
func TestStrandedOff(t *testing.T) {
	var cfg config.Uplink
	simulate(t, func(w *world) config.Uplink {
		cfg = guarded("v1")(w)
		w.kill(peer(1), true)
		off := cfg
		off.UpdateWatchdog = 0
		return off
	}, func(w *world, u *Uplink) {
		time.Sleep(2 * limit)
		w.expectTold(u, "off", 0, false)
		w.reload(u, cfg)
		time.Sleep(limit - time.Minute)
		w.expectTold(u, "switched on", 0, false)
		time.Sleep(2 * time.Minute)
		w.expectTold(u, "after the limit", 1, true)
		off := cfg
		off.UpdateWatchdog = 0
		w.reload(u, off)
		time.Sleep(time.Second)
		w.expectTold(u, "off again", 1, false)
	})
}

// A gateway that shakes hands and answers nothing is no tunnel.
func TestStrandedWithAMuteGateway(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := guarded("v1")(w)
		g := w.at(peer(1).Endpoints[0])
		w.with(func() { g.mute = true })
		return cfg
	}, func(w *world, u *Uplink) {
		time.Sleep(2 * limit)
		if !u.Snapshot().Stranded {
			t.Errorf("%+v", u.Snapshot())
		}
	})
}

// The hours of the option are told.
func TestStrandedHours(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := guarded("v1")(w)
		cfg.UpdateWatchdog = time.Hour
		w.kill(peer(1), true)
		return cfg
	}, func(w *world, u *Uplink) {
		time.Sleep(time.Hour + time.Second)
		w.with(func() {
			if n := len(w.hooked); n == 0 || w.hooked[n-1].Event != hooks.Stranded || w.hooked[n-1].Hours != 1 {
				t.Errorf("%+v", w.hooked)
			}
		})
	})
}
