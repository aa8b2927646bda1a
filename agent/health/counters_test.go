package health

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

func TestCounters(t *testing.T) {
	k := wgtypes.Key{1}
	id := peerselector.Key(k)
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var c Counters
	for i, step := range []struct {
		handshake time.Time
		rx        int64
		want      []peerselector.Event
	}{
		{time.Time{}, 0, nil},
		{time.Time{}, 0, nil},
		{t0, 92, []peerselector.Event{peerselector.Handshake{Key: id}, peerselector.Alive{Key: id}}},
		{t0, 92, nil},
		{t0, 200, []peerselector.Event{peerselector.Alive{Key: id}}},
		{t0, 1500, []peerselector.Event{peerselector.Alive{Key: id, Reply: true}}},
		// The wall clock stepped back: a handshake is new when it changed, whatever its date.
		{t0.Add(-time.Hour), 1600, []peerselector.Event{peerselector.Handshake{Key: id}, peerselector.Alive{Key: id, Reply: true}}},
		{t0.Add(-time.Hour), 1600, nil},
		// Created anew by somebody: the counter starts from zero.
		{time.Time{}, 0, nil},
		{t0.Add(time.Hour), 92, []peerselector.Event{peerselector.Handshake{Key: id}, peerselector.Alive{Key: id}}},
	} {
		got := c.Observe([]wgtypes.Peer{{PublicKey: k, LastHandshakeTime: step.handshake, ReceiveBytes: step.rx}})
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	if got := c.Observe(nil); got != nil {
		t.Errorf("no peers: %v", got)
	}
}
