package fleet

import (
	"fmt"
	"io"
	"time"
)

// Report writes results as a table in Markdown, and below it the goals that were not met.
func Report(w io.Writer, all []*Result) {
	fmt.Fprint(w, "| scenario | p50 | p95 | p99 | requests/s: before, after | handshakes/s, most at a gateway | most waiting there | load, furthest off | moves |\n")
	fmt.Fprint(w, "|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		before := "–"
		if r.Begin < 0 {
			before = fmt.Sprint(r.Peak(r.Begin, 0))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s, %d | %d | %d | %.1f %% | %d |\n", r.Name, seconds(r.P(50)), seconds(r.P(95)),
			seconds(r.P(99)), before, r.Peak(0, forEver), r.PeakInitiations(), r.Deepest, r.Off, r.Moves)
	}
	fmt.Fprint(w, "\n| scenario | goal | got | |\n|---|---|---|---|\n")
	for _, r := range all {
		for _, g := range r.Goals {
			met := "met"
			if !g.Met {
				met = "**missed**"
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.Name, g.Text, g.Got, met)
		}
	}
}

// Cost is what the engines of a fleet took.
type Cost struct {
	Nodes, Steps int
	Took         time.Duration
}

// Costs boots towns of these sizes and measures what the whole simulation takes for each event that an engine is given.
func Costs(o Options, sizes ...int) ([]Cost, error) {
	var all []Cost
	for _, n := range sizes {
		o.Nodes, o.Hint = n, n
		began := time.Now()
		r, err := Town(o)
		if err != nil {
			return nil, err
		}
		all = append(all, Cost{n, r.Steps, time.Since(began)})
	}
	return all, nil
}

// ReportCosts writes them as a table.
func ReportCosts(w io.Writer, all []Cost) {
	fmt.Fprint(w, "| nodes | events | for each node | time | for each event |\n|---|---|---|---|---|\n")
	for _, c := range all {
		fmt.Fprintf(w, "| %d | %d | %d | %.2f s | %.1f µs |\n", c.Nodes, c.Steps, c.Steps/c.Nodes, c.Took.Seconds(),
			float64(c.Took.Microseconds())/float64(c.Steps))
	}
}
