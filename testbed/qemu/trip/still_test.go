package trip

import (
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

func TestParseUptime(t *testing.T) {
	if d, err := parseUptime("12.34 5.60\n"); err != nil || d != 12340*time.Millisecond {
		t.Errorf("%v, %v", d, err)
	}
	if _, err := parseUptime("soon"); err == nil {
		t.Error("no error for nonsense")
	}
}
