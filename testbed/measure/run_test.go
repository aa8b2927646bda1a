package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The names of the scenarios, in the order of the report.
func TestNames(t *testing.T) {
	want := []string{
		"start-all-alive", "start-3-of-4-dead", "kill-gateway", "blackhole-gateway", "glue-gateway",
		"gateway-loses-key", "gateway-reboot",
		"wan-down-60s", "wan-address-change", "nat-mapping-lost", "ipv6-route-dead", "busy-lossy-line",
		"jittery-line", "clock-jump",
		"link-deleted", "broker-down",
	}
	if got := Names(); !slices.Equal(got[:len(want)], want) {
		t.Errorf("scenarios %q, want %q", got, want)
	}
	for _, s := range scenarios {
		metrics := map[string]bool{}
		for _, p := range s.parts {
			if p.run == nil || p.limit <= p.lasts || p.lasts == 0 || len(p.metrics) == 0 {
				t.Errorf("%s, %s: not complete", s.name, p.name)
			}
			for _, m := range p.metrics {
				if metrics[m.Name] || m.Target == 0 && !m.AtMost {
					t.Errorf("%s: metric %+v", s.name, m)
				}
				metrics[m.Name] = true
			}
		}
	}
}

var some = []group{
	{name: "short", parts: []part{{lasts: 1}}},
	{name: "long", most: 3, parts: []part{{lasts: 3}, {lasts: 2}}},
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		only string
		runs int
		want string
	}{
		{"", 0,
			"long/3/0 long/3/1 long/3/2 long/2/0 long/2/1 long/2/2 short/1/0 short/1/1 short/1/2 short/1/3 short/1/4"},
		{"", 1, "long/3/0 long/2/0 short/1/0"},
		{"long", 4, "long/3/0 long/3/1 long/3/2 long/3/3 long/2/0 long/2/1 long/2/2 long/2/3"},
		{"short", 2, "short/1/0 short/1/1"},
		{"!long", 2, "short/1/0 short/1/1"},
	} {
		_, jobs, err := plan(some, tt.only, tt.runs)
		if err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		var got []string
		for _, j := range jobs {
			got = append(got, fmt.Sprintf("%s/%d/%d", j.scenario.name, j.part.lasts, j.run))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q, %d runs: %s, want %s", tt.only, tt.runs, got, tt.want)
		}
	}
	for _, unknown := range []string{"shor", "!shor"} {
		_, _, err := plan(some, unknown, 1)
		if err == nil || !strings.Contains(err.Error(), unknown) || !strings.Contains(err.Error(), "short, long") {
			t.Errorf("unknown name: %v", err)
		}
	}
}

// Values are kept, failures are named, what was not measured is a failure.
func TestRunner(t *testing.T) {
	m, other := Metric{Name: "m", Unit: "s", Target: 10}, Metric{Name: "other", AtMost: true, Informs: true}
	s := group{name: "scene", parts: []part{
		{name: "good", limit: time.Minute, metrics: []Metric{m, other}, run: func(t *Measurement) error {
			t.seconds(m, time.Duration(t.Run)*time.Second)
			t.number(other, t.Run)
			return nil
		}},
		{name: "broken", limit: time.Minute, metrics: []Metric{m}, run: func(t *Measurement) error {
			t.seconds(m, time.Second)
			return errors.New("the wire burns")
		}},
		{name: "forgetful", limit: time.Minute, metrics: []Metric{m, other}, run: func(t *Measurement) error {
			t.seconds(m, time.Second)
			return nil
		}},
		{name: "slow", limit: time.Nanosecond, metrics: []Metric{m},
			run: func(t *Measurement) error { return t.pause(time.Hour) }},
	}}
	chosen, jobs, err := plan([]group{s}, "", 2)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	r := newRunner(Config{Dir: t.TempDir(), Runs: 2, Log: &log})
	if n := r.all(context.Background(), jobs); n != 6 {
		t.Errorf("%d failures", n)
	}
	for i := range jobs {
		p, n := jobs[i].part, 0
		if p.name == "good" {
			n = 2
		}
		if got := r.values[p]; len(got) != n {
			t.Errorf("%s: %v", p.name, got)
		}
	}
	for _, v := range r.values[jobs[0].part] {
		if v[0] != v[1] {
			t.Errorf("values of different runs: %v", v)
		}
	}
	rows, missed := r.report(chosen)
	var ok []string
	for _, row := range rows {
		ok = append(ok, fmt.Sprint(row.Metric, " ", row.Runs, " ", row.OK))
	}
	// One of them only informs, and was measured.
	want := []string{"m 2 true", "other 2 false", "m 0 false", "m 0 false", "other 0 false", "m 0 false"}
	if !slices.Equal(ok, want) || missed != 4 {
		t.Errorf("rows %q, %d missed, want %q", ok, missed, want)
	}
	for _, want := range []string{
		"scene, broken, run 2 of 2 FAILED: the wire burns\n",
		"scene, forgetful, run 1 of 2 FAILED: \"other\" was not measured\n",
		"scene, slow, run 1 of 2 FAILED: the run took longer than 1ns\n",
		": m: 1 s; other: 1 MISSED\n",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in:\n%s", want, log.String())
		}
	}
}

// A target of time that one run missed is measured again, and the median counts. What may not happen at all is not.
func TestAgain(t *testing.T) {
	var mu sync.Mutex
	runs := map[string]int{}
	measure := func(name string, m Metric, values ...float64) part {
		return part{name: name, limit: time.Minute, metrics: []Metric{m}, run: func(t *Measurement) error {
			mu.Lock()
			defer mu.Unlock()
			t.values[m.Name] = values[min(runs[name], len(values)-1)]
			runs[name]++
			return nil
		}}
	}
	seconds := Metric{Name: "m", Unit: "s", Target: 15}
	chosen, jobs, err := plan([]group{{name: "scene", parts: []part{
		measure("good", seconds, 2, 99),
		measure("outlier", seconds, 33, 3, 4),
		measure("slow", seconds, 33, 3, 34),
		measure("forbidden", Metric{Name: "m", Target: 0, AtMost: true}, 1, 0, 0),
	}}}, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(Config{Dir: t.TempDir(), Runs: 1, Again: 2, Log: io.Discard})
	if n := r.all(context.Background(), jobs) + r.all(context.Background(), r.again(chosen)); n != 0 {
		t.Errorf("%d failures", n)
	}
	rows, missed := r.report(chosen)
	var ok []string
	for _, row := range rows {
		ok = append(ok, fmt.Sprint(row.Runs, " ", row.OK))
	}
	if want := []string{"1 true", "3 true", "3 false", "1 false"}; !slices.Equal(ok, want) || missed != 2 {
		t.Errorf("rows %q, %d missed, want %q", ok, missed, want)
	}
	if more := r.again(chosen); more != nil {
		t.Errorf("a third time: %v", more)
	}
}

func TestUnits(t *testing.T) {
	tr := &Measurement{values: map[string]float64{}}
	tr.seconds(Metric{Name: "a", Unit: "ms"}, 1234567*time.Microsecond)
	tr.seconds(Metric{Name: "b", Unit: "s"}, 1234567*time.Microsecond)
	if tr.values["a"] != 1234.567 || tr.values["b"] != 1.234 {
		t.Errorf("%v", tr.values)
	}
}

func TestVoluntary(t *testing.T) {
	n, err := voluntary("Name:\tx\nnonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t42\n")
	if n != 42 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := voluntary("Name:\tx\nnonvoluntary_ctxt_switches:\t7\n"); err == nil {
		t.Error("no error")
	}
	threads, err := sleeps(unix.Getpid())
	if len(threads) == 0 || err != nil {
		t.Errorf("%v, %v", threads, err)
	}
	if _, err := sleeps(1 << 30); err == nil {
		t.Error("no error for a process that is not")
	}
}

func TestIsEcho(t *testing.T) {
	p := make([]byte, 60)
	p[0], p[6], p[40] = 0x60, unix.IPPROTO_ICMPV6, 128
	if !isEcho(p) || isEcho(p[:40]) {
		t.Error("an echo request is not seen, or one that is cut off is")
	}
	p[40] = 129
	if isEcho(p) {
		t.Error("an answer counts")
	}
	p[6], p[40] = unix.IPPROTO_UDP, 128
	if isEcho(p) {
		t.Error("UDP counts")
	}
}
