package health

import (
	"net/netip"
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
		// The wall clock stepped back: a handshake is new when its time changed, also to an earlier one.
		{t0.Add(-time.Hour), 1600, []peerselector.Event{peerselector.Handshake{Key: id},
			peerselector.Alive{Key: id, Reply: true}}},
		{t0.Add(-time.Hour), 1600, nil},
		// Created anew by another program: the counter starts from zero.
		{time.Time{}, 0, nil},
		{t0.Add(time.Hour), 92, []peerselector.Event{peerselector.Handshake{Key: id}, peerselector.Alive{Key: id}}},
	} {
		got := c.Observe([]wgtypes.Peer{{PublicKey: k, LastHandshakeTime: step.handshake, ReceiveBytes: step.rx}},
			time.Time{})
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	if got := c.Observe(nil, time.Time{}); got != nil {
		t.Errorf("no peers: %v", got)
	}
}

// The bytes of an answer that was told at once are no news at the next reading; more than that is.
func TestCountersAnswered(t *testing.T) {
	k := wgtypes.Key{1}
	at := func(rx int64) []wgtypes.Peer { return []wgtypes.Peer{{PublicKey: k, ReceiveBytes: rx}} }
	for addr, size := range map[string]int64{"fe80::1": 96, "10.0.0.1": 80} {
		var c Counters
		from := netip.MustParseAddr(addr)
		c.Observe(at(500), time.Time{})
		c.Answered(k, from)
		if ev := c.Observe(at(500+size), time.Time{}); len(ev) != 0 {
			t.Errorf("%s: the answer counts twice: %+v", addr, ev)
		}
		if ev := c.Observe(at(500+2*size), time.Time{}); len(ev) != 1 {
			t.Errorf("%s: later bytes count as the answer: %+v", addr, ev)
		}
		c.Answered(k, from)
		if ev := c.Observe(at(500+3*size+32), time.Time{}); len(ev) != 1 {
			t.Errorf("%s: a keepalive beside the answer is no sign of life: %+v", addr, ev)
		}
		c.Answered(wgtypes.Key{2}, from) // of a stranger
	}
}
