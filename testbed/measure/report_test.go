package measure

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// upTo gives 1, 2, … n.
func upTo(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i + 1)
	}
	return v
}

func TestPercentile(t *testing.T) {
	for _, tt := range []struct {
		n, p int
		want float64
	}{
		{1, 50, 1}, {1, 95, 1},
		{2, 50, 1}, {2, 95, 2},
		{5, 50, 3}, {5, 95, 5},
		{19, 95, 19}, {20, 95, 19}, {21, 95, 20},
		{100, 50, 50}, {100, 95, 95}, {101, 95, 96},
	} {
		if got := percentile(upTo(tt.n), tt.p); got != tt.want {
			t.Errorf("percentile %d of 1 to %d is %v, want %v", tt.p, tt.n, got, tt.want)
		}
	}
}

func TestRow(t *testing.T) {
	below, atMost := Metric{Name: "m", Unit: "s", Target: 10}, Metric{Name: "m", Target: 5, AtMost: true}
	none := Metric{Name: "m", AtMost: true}
	for name, tt := range map[string]struct {
		m      Metric
		runs   int
		values []float64
		want   Row
	}{
		"below":                {below, 3, []float64{9, 1, 2}, Row{Runs: 3, P50: 2, P95: 9, Max: 9, OK: true}},
		"below is not at":      {below, 1, []float64{10}, Row{Runs: 1, P50: 10, P95: 10, Max: 10}},
		"an outlier in twenty": {below, 20, append(make([]float64, 19), 11), Row{Runs: 20, Max: 11, OK: true}},
		"at most":              {atMost, 2, []float64{5, 0}, Row{Runs: 2, P50: 0, P95: 5, Max: 5, OK: true}},
		"the worst counts":     {atMost, 20, append(make([]float64, 19), 6), Row{Runs: 20, Max: 6}},
		"none":                 {none, 2, []float64{0, 0}, Row{Runs: 2, OK: true}},
		"one too many":         {none, 2, []float64{0, 1}, Row{Runs: 2, P95: 1, Max: 1}},
		"a run is missing":     {below, 3, []float64{1, 1}, Row{Runs: 2, P50: 1, P95: 1, Max: 1}},
		"nothing was measured": {none, 1, nil, Row{}},
	} {
		tt.want.Scenario, tt.want.Metric, tt.want.Unit, tt.want.Target = "s", "m", tt.m.Unit, tt.m.Target
		given := append([]float64(nil), tt.values...)
		if diff := cmp.Diff(tt.want, row("s", tt.m, tt.runs, tt.values)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(given, tt.values); diff != "" {
			t.Errorf("%s: the values were changed:\n%s", name, diff)
		}
	}
}

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lab.json")
	if err := WriteFile(name, []Row{row("s", Metric{Name: "m", Unit: "s", Target: 10}, 2,
		[]float64{6.5, 7})}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{{"scenario": "s", "runs": 2.0, "metric": "m", "unit": "s",
		"p50": 6.5, "p95": 7.0, "max": 7.0, "target": 10.0, "ok": true, "conditions": ""}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := WriteFile(filepath.Join(name, "x"), nil); err == nil {
		t.Error("no error for a file that cannot be")
	}
}

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	err := WriteTable(&b, []Row{
		{Scenario: "kill", Metric: "to reply", Runs: 5, Unit: "s", P50: 6.512, P95: 7, Max: 7, Target: 10, OK: true,
			Conditions: "3 gateways"},
		{Scenario: "switches", Metric: "number", Runs: 5, Max: 1},
		{Scenario: "gone", Metric: "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `scenario  metric   runs       p50       p95       max    target     conditions
kill      to reply    5      6.51         7         7        10 s   3 gateways
switches  number      5         0         0         1         0     MISSED
gone      x           0         0         0         0         0     NOT MEASURED
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
