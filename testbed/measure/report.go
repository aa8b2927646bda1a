package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Metric is something that a scenario measures once a run.
type Metric struct {
	Name   string
	Unit   string // "s", "ms", or "" for a number
	Target float64
	AtMost bool // the target itself is good enough, and the worst run counts; else the 95th percentile must be below
	// Informs is for a target that is not promised: missing it is told, and is no failure.
	Informs bool
}

// good says whether a single value is within the target.
func (m Metric) good(v float64) bool {
	if m.AtMost {
		return v <= m.Target
	}
	return v < m.Target
}

// Row is one line of the report.
type Row struct {
	Scenario string  `json:"scenario"`
	Runs     int     `json:"runs"` // that gave a value
	Metric   string  `json:"metric"`
	Unit     string  `json:"unit"`
	P50      float64 `json:"p50"`
	P95      float64 `json:"p95"`
	Max      float64 `json:"max"`
	Target   float64 `json:"target"`
	OK       bool    `json:"ok"`
	// Conditions says what the figure depends on, in words; see topology.Topology.Conditions.
	Conditions string `json:"conditions"`
}

// row judges the values of a metric. Fewer values than runs are a failure.
func row(scenario string, m Metric, runs int, values []float64) Row {
	values = slices.Sorted(slices.Values(values))
	r := Row{Scenario: scenario, Runs: len(values), Metric: m.Name, Unit: m.Unit, Target: m.Target}
	if len(values) == 0 {
		return r
	}
	r.P50, r.P95, r.Max = percentile(values, 50), percentile(values, 95), values[len(values)-1]
	judged := r.P95
	if m.AtMost {
		judged = r.Max
	}
	r.OK = len(values) == runs && m.good(judged)
	return r
}

// percentile gives the pth percentile of sorted values by the nearest rank: the smallest value that at least p % of
// them do not exceed. With fewer than 20 values the 95th is the largest.
func percentile(sorted []float64, p int) float64 {
	rank := (p*len(sorted) + 99) / 100
	return sorted[max(rank, 1)-1]
}

// WriteTable prints rows for people.
func WriteTable(w io.Writer, rows []Row) error {
	scenario, metric := len("scenario"), len("metric")
	for _, r := range rows {
		scenario, metric = max(scenario, len(r.Scenario)), max(metric, len(r.Metric))
	}
	_, err := fmt.Fprintf(w, "%-*s  %-*s %4s %9s %9s %9s %9s     %s\n",
		scenario, "scenario", metric, "metric", "runs", "p50", "p95", "max", "target", "conditions")
	if err != nil {
		return err
	}
	for _, r := range rows {
		verdict := ""
		switch {
		case r.Runs == 0:
			verdict = "NOT MEASURED  "
		case !r.OK:
			verdict = "MISSED  "
		}
		l := fmt.Sprintf("%-*s  %-*s %4d %9s %9s %9s %9s %-2s  %s%s", scenario, r.Scenario, metric, r.Metric, r.Runs,
			number(r.P50), number(r.P95), number(r.Max), number(r.Target), r.Unit, verdict, r.Conditions)
		if _, err := fmt.Fprintln(w, strings.TrimRight(l, " ")); err != nil {
			return err
		}
	}
	return nil
}

// number prints a value with as many digits as matter.
func number(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// WriteFile writes rows as a JSON array.
func WriteFile(name string, rows []Row) error {
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("report %s: %w", name, err)
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
