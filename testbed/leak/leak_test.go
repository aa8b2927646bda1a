package leak

import "testing"

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		figures []int
		want    int
	}{
		{[]int{100, 150, 120, 160, 110, 140}, 10},
		{[]int{100, 200, 300, 400, 500, 600}, 400},
		{[]int{300, 300, 200, 200, 100, 150}, -200},
		{[]int{100, 700}, 600},
		{[]int{100}, 0},
		{[]int{10, 100, 100, 100, 100, 100, 100, 100, 100, 110}, 0},
		{[]int{10, 100, 100, 100, 100, 100, 100, 150, 150, 150}, 50},
		{nil, 0},
	} {
		if got := Growth(tt.figures); got != tt.want {
			t.Errorf("%v grows by %d, want %d", tt.figures, got, tt.want)
		}
	}
}
