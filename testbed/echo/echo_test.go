package echo

import (
	"testing"
	"time"
)

func TestStreak(t *testing.T) {
	start := time.Now()
	// Each letter is a request, a second after the one before: answered, lost, or another sender's.
	for _, tt := range []struct {
		sent  string
		n     int
		first int // of the streak; -1 for none
	}{
		{"aaa", 3, 0},
		{"laa", 3, -1},
		{"aalaaa", 3, 3},
		{"aaalaa", 3, -1},
		{"aaall", 3, 0}, // the last ones are under way
		{"axaxa", 3, 0},
		{"", 1, -1},
	} {
		var all []*packet
		for i, c := range tt.sent {
			q := &packet{key: key{sender: "gw1"}, Reply: Reply{Sent: start.Add(time.Duration(i) * time.Second)}}
			if c == 'x' {
				q.sender = "gw2"
			}
			if c == 'a' {
				q.At = q.Sent
			}
			all = append(all, q)
		}
		first, ok := streak(all, "gw1", start.Add(-time.Second), tt.n)
		if ok != (tt.first >= 0) || ok && !first.Equal(all[tt.first].Sent) {
			t.Errorf("%s: %v, %v", tt.sent, first.Sub(start), ok)
		}
	}
}

func TestLost(t *testing.T) {
	r := New(100 * time.Millisecond)
	defer r.Close()
	start := time.Now()
	for i := range 10 {
		q := &packet{key: key{sender: "gw1"}, Reply: Reply{Sent: start.Add(time.Duration(i) * time.Second)}}
		if i%2 == 0 {
			q.At = q.Sent
		}
		r.all = append(r.all, q)
	}
	// Of the second to the sixth, three have no answer.
	if lost := r.Lost("gw1", start.Add(500*time.Millisecond),
		start.Add(5500*time.Millisecond)); lost != 300*time.Millisecond {
		t.Errorf("lost %v", lost)
	}
}
