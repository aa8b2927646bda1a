// Command fleet lets 10,000 nodes share brokers and gateways, in virtual time: see package fleet. It draws what it
// sees, and fails when a goal is missed.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
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
	only := flags.String("only", "", "one scenario, or costs")
	out := flags.String("out", "", "folder for the drawings; none: they are not made")
	doc := flags.String("doc", "", "document whose marked parts become the tables, which are printed in any case")
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
	if err := play(o, *only, *out, *doc); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		return 1
	}
	return 0
}

// play runs the scenarios and reports; the error says what failed, or that goals were missed.
func play(o fleet.Options, only, out, doc string) error {
	var chosen []fleet.Scenario
	for _, s := range fleet.Scenarios() {
		if only == "" || s.Name == only {
			chosen = append(chosen, s)
		}
	}
	all, err := runAll(chosen, o)
	if err != nil {
		return err
	}
	missed := 0
	for _, r := range all {
		for _, g := range r.Goals {
			if !g.Met {
				missed++
			}
		}
		if err := draw(r, out); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	switch {
	case len(all) > 0:
		fleet.Report(&text, all)
		if err := show(&text, doc, results); err != nil {
			return err
		}
	case only != costs:
		return fmt.Errorf("no scenario %q", only)
	}
	if only == "" || only == costs {
		if err := measure(&text, o); err != nil {
			return err
		}
		if err := show(&text, doc, costs); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d goals were missed", missed)
	}
	return nil
}

// atOnce is how many scenarios run at a time, at most: each takes some hundred MB.
const atOnce = 4

// runAll runs scenarios, several at a time; what they show does not depend on that. The last are the longest, and begin
// first.
func runAll(scenarios []fleet.Scenario, o fleet.Options) ([]*fleet.Result, error) {
	all, errs := make([]*fleet.Result, len(scenarios)), make([]error, len(scenarios))
	free := make(chan struct{}, min(atOnce, runtime.GOMAXPROCS(0)))
	var running sync.WaitGroup
	for i, s := range slices.Backward(scenarios) {
		free <- struct{}{}
		running.Add(1)
		go func() {
			defer running.Done()
			began := time.Now()
			all[i], errs[i] = s.Run(o)
			if errs[i] == nil {
				fmt.Fprintf(os.Stderr, "%s: %d events in %.0f s\n", s.Name, all[i].Steps, time.Since(began).Seconds())
			}
			<-free
		}()
	}
	running.Wait()
	return all, errors.Join(errs...)
}

// Parts of what is told: costs, in the place of a scenario's name, is what events cost.
const (
	results = "results"
	costs   = "costs"
)

func measure(w io.Writer, o fleet.Options) error {
	sizes := []int{100, 1000, 10_000}
	nodes, err := fleet.Costs(o, sizes...)
	if err != nil {
		return err
	}
	peers, err := fleet.PeerCosts(sizes...)
	if err != nil {
		return err
	}
	fleet.ReportCosts(w, nodes, peers)
	return nil
}

// show prints a part and puts it into the document, if there is one, between the lines that mark it.
func show(text *bytes.Buffer, doc, part string) error {
	defer text.Reset()
	fmt.Println(text)
	if doc == "" {
		return nil
	}
	old, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	begin, end := "<!-- written by make fleet: "+part+" -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s: no part between %q and %q", doc, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(doc, []byte(before+begin+"\n"+text.String()+"\n"+end+after), 0o644)
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
