package recovery

import (
	"regexp"
	"testing"
	"time"

	"wguplink/agent/batman"
)

// What fails the run is far over the target, and still less than what another MAC address was seen to cost: 30 s.
func TestFault(t *testing.T) {
	for lost, want := range map[time.Duration]struct{ within, fault bool }{
		6 * time.Second:         {true, false},
		6100 * time.Millisecond: {false, false},
		gross:                   {false, false},
		30 * time.Second:        {false, true},
	} {
		r := Row{Combination: Combinations[0], Action: "id changed", LostMS: lost.Milliseconds(),
			TargetMS: anew.Milliseconds()}
		if r.Within() != want.within || (r.Fault() != nil) != want.fault {
			t.Errorf("%v: within %v, fault %v; want %+v", lost, r.Within(), r.Fault(), want)
		}
	}
	if (Row{Err: "never back"}).Fault() == nil {
		t.Error("a mesh that never comes back is no fault")
	}
}

func TestWanted(t *testing.T) {
	for only, want := range map[string]int{
		"": len(actions), "V, primary0: (id|device deleted)": 2, "tunnel only: restart": 0, "nothing": 0,
	} {
		if got := wanted(Combination{batman.V, true}, regexp.MustCompile(only)); len(got) != want {
			t.Errorf("%q: %d actions, want %d", only, len(got), want)
		}
	}
}
