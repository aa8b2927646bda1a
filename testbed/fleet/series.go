package fleet

import (
	"slices"
	"time"
)

// series counts what happens in each second.
type series struct{ counts []int }

func (s *series) count(at time.Time) {
	second := int(at.Sub(epoch) / time.Second)
	for len(s.counts) <= second {
		s.counts = append(s.counts, make([]int, second+1-len(s.counts))...)
	}
	s.counts[second]++
}

// from gives the counts from a moment on, one for each second until the end.
func (s *series) from(begin, end time.Time) []int {
	out := make([]int, max(0, int(end.Sub(begin)/time.Second)))
	first := int(begin.Sub(epoch) / time.Second)
	if first < len(s.counts) {
		copy(out, s.counts[first:])
	}
	return out
}

// percentile of sorted times; 0 when there are none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func most(counts []int) int {
	if len(counts) == 0 {
		return 0
	}
	return slices.Max(counts)
}

func least(counts []int) int {
	if len(counts) == 0 {
		return 0
	}
	return slices.Min(counts)
}
