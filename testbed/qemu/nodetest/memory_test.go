package nodetest

import "testing"

func TestTooMuch(t *testing.T) {
	for _, c := range []struct {
		peak, killed int
		ok           bool
	}{{6 << 20, 0, true}, {MemoryLimit, 0, true}, {MemoryLimit + 1, 0, false}, {0, 0, false}, {6 << 20, 1, false}} {
		if err := tooMuch(c.peak, c.killed); (err == nil) != c.ok {
			t.Errorf("%d bytes, %d killed: %v", c.peak, c.killed, err)
		}
	}
}
