//go:build go1.25

package uplink

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/status"
)

// results gives each gateway's in a few words.
func results(u *Uplink) string {
	var all []string
	for _, g := range u.Snapshot().Gateways {
		one := g.Name + " " + string(g.Result)
		if g.InUse {
			one += " in use"
		}
		if g.RTT != 0 {
			one += " rtt"
		}
		if g.TriedAt != 0 {
			one += " tried"
		}
		all = append(all, one)
	}
	return strings.Join(all, ", ")
}

// What the status says of all gateways, in use or not, alive, dead, mute or without an address.
func TestGatewaysInStatus(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		bad := peer(3)
		bad.Endpoints = []string{"gw3.example.org:51820"}
		cfg := w.uplink(peer(1), peer(2), bad)
		w.kill(peer(1), true)
		return cfg
	}, func(w *world, u *Uplink) {
		expect(t, u, 20*time.Second, status.Connected, status.None)
		time.Sleep(20 * time.Second)
		s := u.Snapshot()
		if got := results(u); !strings.Contains(got, "gw2 answered in use rtt tried") {
			t.Errorf("connected: %s", got)
		}
		if n := len(s.Changes); n == 0 || s.Changes[n-1].State != status.Connected || s.Changes[n-1].Gateway != "gw2" {
			t.Errorf("changes %+v", s.Changes)
		}
		w.kill(peer(2), true)
		expect(t, u, time.Minute, status.Suspect, status.NoAnswer)
		time.Sleep(30 * time.Second)
		got := results(u)
		for _, want := range []string{"gw1 no_handshake tried", "gw2 silent in use rtt tried", "gw3 no_address tried"} {
			now := strings.NewReplacer("no_handshake", "trying", "no_address", "trying").Replace(want) // at this moment
			if !strings.Contains(got, want) && !strings.Contains(got, now) {
				t.Errorf("all dead: %s; want %s", got, want)
			}
		}
		w.kill(peer(1), false)
		expect(t, u, 2*time.Minute, status.Connected, status.None)
		if got := results(u); !strings.Contains(got, "gw1 answered in use") || !strings.Contains(got, "gw2 silent") {
			t.Errorf("after the switch: %s", got)
		}
		s = u.Snapshot()
		if last := s.Changes[len(s.Changes)-1]; last.Gateway != "gw1" ||
			!strings.HasPrefix(last.Reason, "instead of gw2: silent ") {
			t.Errorf("changes %+v", s.Changes)
		}
	})
}

// At rest neither the file is written nor a change recorded, though each probe has another round trip.
func TestStatusAtRest(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2)) }, func(w *world, u *Uplink) {
		expect(t, u, 20*time.Second, status.Connected, status.None)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := u.Snapshot()
		if err := os.Remove(status.File(w.opts.RunDir, "mesh")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		after := u.Snapshot()
		if fmt.Sprint(before.Changes) != fmt.Sprint(after.Changes) || len(after.Gateways) != 2 {
			t.Errorf("before %+v\nafter %+v", before, after)
		}
		if _, err := os.Stat(status.File(w.opts.RunDir, "mesh")); err == nil {
			t.Error("the file was written")
		}
	})
}
