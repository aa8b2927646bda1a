package nodetest

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"wguplink/testbed/qemu/node"
	"wguplink/testbed/qemu/vm"
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

// absent is a machine that cannot be started, and can be asked nothing.
type absent struct{ node.Node }

func (absent) Boot(context.Context) error { return errTest }

func (absent) Tail(int) string { return "" }

func TestNeverBooted(t *testing.T) {
	g, err := vm.Boot(t.Context(), "gateways", "/bin/sh", "-c", `printf '\n@ready\n'; read end`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Kill)
	run := &Test{Node: absent{}, Gateways: g, Out: io.Discard, Run: &Run{}}
	if err := run.step(t.Context(), "boot", run.boot); !errors.Is(err, errTest) {
		t.Errorf("want the reason: %v", err)
	}
	if s := run.Run.Steps; len(s) != 1 || s[0].OK {
		t.Errorf("want one step that failed: %+v", s)
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
