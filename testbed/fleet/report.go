package fleet

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Report writes results as tables in Markdown: what was seen, handshakes at each gateway, and the goals.
func Report(w io.Writer, all []*Result) {
	fmt.Fprint(w, "| scenario | p50 | p95 | p99 | requests/s: before, after | load, furthest off | moves |\n")
	fmt.Fprint(w, "|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		before := "–"
		if r.Begin < 0 {
			before = fmt.Sprint(r.Peak(r.Begin, 0))
		}
		off := fmt.Sprintf("%.1f %%", r.Off)
		if least(r.Load) == 0 {
			off = "one is empty"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s, %d | %s | %d |\n", r.Name, seconds(r.P(50)), seconds(r.P(95)),
			seconds(r.P(99)), before, r.Peak(0, forEver), off, r.Moves)
	}
	reportHandshakes(w, all)
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

// reportHandshakes writes what each gateway got, and what was sent to it while it was away.
func reportHandshakes(w io.Writer, all []*Result) {
	fmt.Fprint(w,
		"\n| scenario | handshakes/s, most at gw1, gw2, … | most that waited at one | sent while it was away |\n")
	fmt.Fprint(w, "|---|---|---|---|\n")
	list := func(by []int) string { return strings.Trim(fmt.Sprint(by), "[]") }
	for _, r := range all {
		vain := "–"
		if p := peaks(r.InVain); most(p) > 0 {
			vain = list(p)
		}
		fmt.Fprintf(w, "| %s | %s | %d | %s |\n", r.Name, list(peaks(r.Initiations)), r.Deepest, vain)
	}
}

// ReportCosts writes what an event costs with more nodes, and with more gateways.
func ReportCosts(w io.Writer, all []Cost, peers []PeerCost) {
	fmt.Fprint(w, "| nodes | events | for each node | engines' time | for each event ")
	fmt.Fprint(w, "| with all else | for each event |\n")
	fmt.Fprint(w, "|---|---|---|---|---|---|---|\n")
	for _, c := range all {
		fmt.Fprintf(w, "| %d | %d | %d | %.3f s | %.2f µs | %.2f s | %.2f µs |\n", c.Nodes, c.Steps, c.Steps/c.Nodes,
			c.Engines.Seconds(), micros(c.Engines, c.Steps), c.Took.Seconds(), micros(c.Took, c.Steps))
	}
	fmt.Fprint(w, "\n| gateways known | a list is taken | for each | a step of a race | for each | a step at rest |\n")
	fmt.Fprint(w, "|---|---|---|---|---|---|\n")
	for _, c := range peers {
		fmt.Fprintf(w, "| %d | %.0f µs | %.2f µs | %.2f µs | %.3f µs | %.2f µs |\n", c.Peers, micros(c.List, 1),
			micros(c.List, c.Peers), micros(c.Race, 1), micros(c.Race, c.Peers), micros(c.Rest, 1))
	}
}

func micros(d time.Duration, parts int) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(parts)
}
