package echo

import (
	"testing"
	"time"
)

func TestLosses(t *testing.T) {
	r := NewRecord("in a test")
	start := time.Now()
	for i := range uint16(10) {
		r.Sending("", i)
		r.all[i].Sent = start.Add(time.Duration(i) * 10 * time.Millisecond)
		if i < 3 || i == 6 {
			r.Answered("", i, start, "gw1")
		}
	}
	from := start.Add(-time.Millisecond)
	const want = "from 31ms to 61ms: 3, then an answer by gw1; from 71ms to the end: 3"
	if got := r.Losses("", from, start.Add(time.Second)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := r.Losses("", from, start.Add(25*time.Millisecond)); got != "" {
		t.Errorf("%q, and nothing is lost", got)
	}
	if sent, answered := r.Count("", from, start.Add(time.Second)); sent != 10 || answered != 4 {
		t.Errorf("%d, %d", sent, answered)
	}
	r.Unsent("", 9)
	if sent, _ := r.Count("", from, start.Add(time.Second)); sent != 9 {
		t.Errorf("%d", sent)
	}
}
