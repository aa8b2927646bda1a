// Command lab runs the real agent in the lab's namespaces.
//
//	lab demo       show a node becoming part of a mesh, and moving on when its gateway dies
//	lab figures    measure the start, several times over
//	lab measure     break things, and measure how long the mesh is gone
//
// It needs root, and leaves nothing behind but what it writes below build/.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"

	"wguplink/testbed/measure"
	"wguplink/testbed/netlab"
)

// figuresRuns is how often figures measures unless it is told.
const figuresRuns = 10

func main() { netlab.Main(run) }

func run() int {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	binary := flags.String("binary", "build/wguplink-userspace", "the agent, userspace variant")
	out := flags.String("out", "build", "folder for the report")
	runs := flags.Int("runs", 0, fmt.Sprintf("how often to measure (default %d for figures, %d for measure)",
		figuresRuns, measure.DefaultRuns))
	again := flags.Int("again", 0,
		"measure: how often to measure again what has missed a target of time; then the median counts")
	only := flags.String("only", "", "measure: one scenario of "+strings.Join(measure.Names(), ", ")+
		"; or all but one, as !name")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: lab [options] demo|figures|measure")
		flags.PrintDefaults()
	}
	if err := flags.Parse(os.Args[1:]); err != nil {
		return 2
	}
	if *runs < 0 {
		fmt.Fprintf(flags.Output(), "lab: -runs %d: give a number from 1 on, or 0 for the default\n", *runs)
		return 2
	}
	ctx, stop := netlab.Context()
	defer stop()
	var err error
	switch flags.Arg(0) {
	case "demo":
		err = demo(ctx, *binary, *out)
	case "figures":
		err = figures(ctx, *binary, *out, cmp.Or(*runs, figuresRuns))
	case "measure":
		err = measureAll(ctx, *binary, *out, *only, *runs, *again)
	default:
		flags.Usage()
		return 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	return 0
}
