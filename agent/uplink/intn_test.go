package uplink

import (
	"math"
	"testing"
	"time"
)

func TestIntn(t *testing.T) {
	for _, n := range []int64{1, 2, 3, int64(24 * time.Hour), math.MaxInt64} {
		seen := map[int64]bool{}
		for range 200 {
			x := intn(n)
			if x < 0 || x >= n {
				t.Fatalf("%d is not below %d", x, n)
			}
			seen[x] = true
		}
		if int64(len(seen)) < min(n, 100) {
			t.Errorf("below %d: %d numbers in 200", n, len(seen))
		}
	}
}
