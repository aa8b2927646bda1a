// Command fleet lets 10,000 nodes share brokers and gateways, in virtual time: see package fleet. It draws what it sees, and fails
// when a goal is missed.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"wguplink/testbed/fleet"
)

func main() { os.Exit(run()) }

func run() int {
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	nodes := flags.Int("nodes", 10_000, "how many nodes")
	gateways := flags.Int("gateways", 4, "how many gateways")
	hint := flags.Int("hint", -1, "what the nodes are told of their number (option fleet); -1: the truth")
	seed := flags.Uint64("seed", 1, "of all chance")
	only := flags.String("only", "", "one scenario")
	out := flags.String("out", "", "folder for the drawings and the table; none: only the table, on standard output")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return 2
	}
	if *nodes < 1 || *gateways < 1 || *gateways > 200 {
		fmt.Fprintln(os.Stderr, "fleet: at least one node, and 1 to 200 gateways")
		return 2
	}
	debug.SetGCPercent(400)
	o := fleet.Options{Nodes: *nodes, Gateways: *gateways, Hint: *hint, Seed: *seed}
	if *hint < 0 {
		o.Hint = *nodes
	}
	if err := play(o, *only, *out); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		return 1
	}
	return 0
}

// play runs the scenarios and reports; the error says what failed, or that goals were missed.
func play(o fleet.Options, only, out string) error {
	var all []*fleet.Result
	missed := 0
	for _, s := range fleet.Scenarios() {
		if only != "" && s.Name != only {
			continue
		}
		began := time.Now()
		r, err := s.Run(o)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %d events in %.0f s\n", s.Name, r.Steps, time.Since(began).Seconds())
		all = append(all, r)
		for _, g := range r.Goals {
			if !g.Met {
				missed++
			}
		}
		if err := draw(r, out); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no scenario %q", only)
	}
	var text bytes.Buffer
	fleet.Report(&text, all)
	if only == "" {
		costs, err := fleet.Costs(o, 100, 1000, 10_000)
		if err != nil {
			return err
		}
		text.WriteString("\n")
		fleet.ReportCosts(&text, costs)
		if out != "" {
			if err := os.WriteFile(filepath.Join(out, "table.md"), text.Bytes(), 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Print(text.String())
	if missed > 0 {
		return fmt.Errorf("%d goals were missed", missed)
	}
	return nil
}

func draw(r *fleet.Result, out string) error {
	if out == "" {
		return nil
	}
	var b bytes.Buffer
	if err := r.Draw(&b); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, r.Name+".svg"), b.Bytes(), 0o644)
}
