package uplink

import (
	"testing"

	"wguplink/peerselector"
)

// A wish whose caller has given up makes room for the next.
func TestWishesDropped(t *testing.T) {
	e := peerselector.New(peerselector.Config{Timing: peerselector.Default(), Intn: func(int64) int64 { return 0 }})
	gone, waits := make(chan struct{}), make(chan struct{})
	close(gone)
	var w wishes
	for i, c := range []chan struct{}{waits, gone, gone, waits} {
		if _, ok := w.add(reconnect{done: make(chan result, 1), gone: c}, e); !ok {
			t.Errorf("wish %d refused", i)
		}
	}
	if len(w) != 2 {
		t.Errorf("%d wishes wait, of which 2 have a caller", len(w))
	}
}
