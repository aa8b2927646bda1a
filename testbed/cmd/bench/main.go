// Command bench measures our userspace WireGuard beside the library's own program, by turns. It needs root, and leaves
// nothing behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"wguplink/testbed/bench"
	"wguplink/testbed/netlab"
)

// The goals, for two processors: see docs/testing.md.
const (
	leastRatio      = 0.95
	mostCPU         = 1.05
	mostRetransmits = 2        // times theirs
	fewRetransmits  = 100      // are few, however few the others have
	mostMemory      = 24 << 20 // bytes under load
	mostLeft        = 3 << 20  // bytes above those at rest, afterwards
)

func main() { netlab.Main(run) }

func run() int {
	ours := flag.String("ours", "build/wguplink-userspace", "our program, userspace variant")
	theirs := flag.String("theirs", "build/wireguard-go", "the library's own program")
	under := flag.String("under", "", "an emulator for both, with its options")
	pairs := flag.Int("pairs", 5, "how many pairs")
	stream := flag.Duration("stream", 6*time.Second, "how long each sends")
	after := flag.Duration("after", 30*time.Second, "how long after the first pair the memory is looked at again")
	goals := flag.Bool("goals", true, "fail when a goal is missed")
	flag.Parse()
	if flag.NArg() > 0 || *pairs < 1 || *stream <= 0 {
		fmt.Fprintln(os.Stderr, "bench: no arguments but options, with at least one pair and some time to send")
		return 2
	}
	ctx, stop := netlab.Context()
	defer stop()
	emulator := strings.Fields(*under)
	a := bench.Program{Name: "wguplink", Path: *ours, Args: []string{"wireguard-go"}, Under: emulator}
	b := bench.Program{Name: "wireguard-go", Path: *theirs, Args: []string{"-f"}, Under: emulator}
	ok := true
	for _, zero := range []bool{false, true} {
		s := bench.Setting{ZeroChecksum: zero, Stream: *stream, After: *after}
		good, err := compare(ctx, a, b, s, *pairs)
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
		ok = ok && good
	}
	if !ok && *goals {
		return 1
	}
	return 0
}

func compare(ctx context.Context, a, b bench.Program, s bench.Setting, pairs int) (ok bool, err error) {
	p, err := bench.Compare(ctx, a, b, s, pairs, os.Stderr)
	if err != nil {
		return false, err
	}
	f := p.Figures()
	fmt.Println(bench.Conditions(s, pairs))
	fmt.Printf("%-14s %s\n%-14s %s\n", a.Name, f.Ours, b.Name, f.Theirs)
	ok = true
	goal := func(met bool, format string, args ...any) {
		verdict := "ok"
		if !met {
			verdict, ok = "MISSED", false
		}
		fmt.Printf("  %-66s %s\n", fmt.Sprintf(format, args...), verdict)
	}
	goal(f.Ratio >= leastRatio, "throughput: %.2f of theirs, at least %.2f", f.Ratio, leastRatio)
	goal(f.CPURatio <= mostCPU, "CPU time for each Gbit: %.2f of theirs, at most %.2f", f.CPURatio, mostCPU)
	goal(f.Ours.Retransmits <= max(fewRetransmits, mostRetransmits*f.Theirs.Retransmits),
		"retransmissions: %d, at most %d times theirs, or %d", f.Ours.Retransmits, mostRetransmits, fewRetransmits)
	goal(f.PeakHighest <= mostMemory, "memory under load: %.1f MB, at most %d MiB",
		float64(f.PeakHighest)/1e6, mostMemory>>20)
	if s.After > 0 {
		goal(f.Ours.AfterAnon <= f.Ours.RestAnon+mostLeft,
			"anonymous memory after %v: %.1f MB, at most 3 MiB more than at rest",
			s.After, float64(f.Ours.AfterAnon)/1e6)
	}
	fmt.Println()
	return ok, nil
}
