package nodetest

import (
	"errors"
	"testing"
	"time"
)

func TestMissing(t *testing.T) {
	start := time.Now()
	at := func(here, there time.Duration) uptime { return uptime{start.Add(here), there} }
	for _, tt := range []struct {
		name string
		a, b uptime
		want time.Duration
	}{
		{"the first look", uptime{}, at(0, 5*time.Second), 0},
		{"in step", at(0, 5*time.Second), at(10*time.Second, 15*time.Second), 0},
		{"it stood still", at(0, 5*time.Second), at(40*time.Second, 19*time.Second), 26 * time.Second},
		{"started anew", at(0, 50*time.Second), at(40*time.Second, 3*time.Second), 0},
	} {
		if got := missing(tt.a, tt.b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// A step may fail for a standstill that was seen at an earlier one: the clock is behind from then on.
func TestExcuse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		stood int64
		want  bool
	}{
		{"it stood still", errTest, 25770, true},
		{"it did not", errTest, 0, false},
		{"it did, and nothing failed", nil, 25770, false},
	} {
		err := (&Test{Run: &Run{StoodStillMS: tt.stood}}).excuse(tt.err)
		if errors.Is(err, errStoodStill) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestParseUptime(t *testing.T) {
	if d, err := parseUptime("12.34 5.60\n"); err != nil || d != 12340*time.Millisecond {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := parseUptime("soon"); err == nil {
		t.Error("no error for nonsense")
	}
}
