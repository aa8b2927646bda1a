package nodetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJudge(t *testing.T) {
	good := func(variant string, rss int) *Run {
		return &Run{Variant: variant, Steps: []Step{{Name: "boot", OK: true}}, Measured: &Measured{ExactRSS: rss}}
	}
	for _, tt := range []struct {
		name string
		r    Report
		err  error
		want bool
	}{
		{"nothing", Report{Arch: "mips"}, nil, false},
		{"default within", Report{Arch: "mips", Runs: []*Run{good("default", 6144)}}, nil, true},
		{"default over", Report{Arch: "mips", Runs: []*Run{good("default", 6145)}}, nil, false},
		{"nobroker within", Report{Arch: "mips", Runs: []*Run{good("nobroker", 5632)}}, nil, true},
		{"nobroker over", Report{Arch: "mips", Runs: []*Run{good("nobroker", 5633)}}, nil, false},
		{"not counted", Report{Arch: "mips", Runs: []*Run{good("nobroker", 0)}}, nil, false},
		{"another processor", Report{Arch: "arm", Runs: []*Run{good("nobroker", 99999)}}, nil, true},
		{"a step failed", Report{Arch: "arm",
			Runs: []*Run{{Variant: "default", Steps: []Step{{Name: "boot"}}, Measured: &Measured{}}}}, nil, false},
		{"not measured", Report{Arch: "arm",
			Runs: []*Run{{Variant: "default", Steps: []Step{{Name: "boot", OK: true}}}}}, nil, false},
		{"an error", Report{Arch: "arm", Runs: []*Run{good("default", 1)}}, errTest, false},
		{"it grows", Report{Arch: "arm",
			Runs: []*Run{{Variant: "default", Measured: &Measured{SwitchAnon: []int{1, 2000, 3000}}}}}, nil, false},
	} {
		if tt.r.Judge(tt.err); tt.r.OK != tt.want {
			t.Errorf("%s: ok is %v, want %v: %+v", tt.name, tt.r.OK, tt.want, tt.r.Gates)
		}
	}
}

type testError string

func (e testError) Error() string { return string(e) }

const errTest = testError("something")

func TestField(t *testing.T) {
	const text = "Name:\tx\nVmRSS:\t    7408 kB\nThreads:\t7\n"
	got := map[string]int{}
	for _, name := range []string{"VmRSS:", "Threads:"} {
		n, err := field(text, name)
		if err != nil {
			t.Error(err)
		}
		got[name] = n
	}
	if diff := cmp.Diff(map[string]int{"VmRSS:": 7408, "Threads:": 7}, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if _, err := field(text, "Pss:"); err == nil {
		t.Error("a field that is not there is found")
	}
}
