package bench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Pairs are the runs of two programs by turns, so that what else the machine does hits both.
type Pairs struct {
	Ours, Theirs []Result
}

// Compare runs the two programs pairs times. The order alternates. Only the first pair waits for the memory afterwards.
func Compare(ctx context.Context, ours, theirs Program, s Setting, pairs int, progress io.Writer) (Pairs, error) {
	var p Pairs
	for i := range pairs {
		now := s
		if i > 0 {
			now.After = 0
		}
		order := []struct {
			Program
			dst *[]Result
		}{{ours, &p.Ours}, {theirs, &p.Theirs}}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, o := range order {
			r, err := Run(ctx, o.Program, now)
			if err != nil {
				return p, fmt.Errorf("%s, pair %d: %w", o.Name, i+1, err)
			}
			*o.dst = append(*o.dst, r)
			fmt.Fprintf(progress, "pair %d: %-14s %s\n", i+1, o.Name, r)
		}
	}
	return p, nil
}

func (r Result) String() string {
	s := fmt.Sprintf("%7.1f Mbit/s, %5d retransmissions, %5d dropped by tun and %d by UDP, %5.2f CPU s/Gbit,"+
		" %7.0f packets/CPU s, memory %s MB at rest (%s anonymous), %s at most",
		r.Mbit, r.Retransmits, r.QueueDrops, r.SocketDrops, r.CPU.Seconds(), r.Packets, mb(r.Rest),
		mb(r.RestAnon), mb(r.Peak))
	if r.After > 0 {
		s += fmt.Sprintf(", %s at the end (%s anonymous)", mb(r.After), mb(r.AfterAnon))
	}
	return s
}

func mb(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }

// median returns the median of what f tells of each run; of an even number, the upper one of the middle.
func median[T cmp.Ordered](all []Result, f func(Result) T) T {
	v := make([]T, len(all))
	for i, r := range all {
		v[i] = f(r)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// Figures are the medians of what is compared.
type Figures struct {
	Ratio       float64 // of the throughput, ours to theirs, pair by pair
	CPURatio    float64 // of the CPU time for each Gbit, pair by pair
	Ours        Result
	Theirs      Result
	PeakHighest int64 // of ours, in any run
}

// Figures returns the medians.
func (p Pairs) Figures() Figures {
	var ratio, cpu []float64
	for i := range p.Ours {
		ratio = append(ratio, p.Ours[i].Mbit/p.Theirs[i].Mbit)
		cpu = append(cpu, float64(p.Ours[i].CPU)/float64(p.Theirs[i].CPU))
	}
	slices.Sort(ratio)
	slices.Sort(cpu)
	f := Figures{
		Ratio: ratio[len(ratio)/2], CPURatio: cpu[len(cpu)/2], Ours: medians(p.Ours), Theirs: medians(p.Theirs),
	}
	for _, r := range p.Ours {
		f.PeakHighest = max(f.PeakHighest, r.Peak)
	}
	return f
}

func medians(all []Result) Result {
	return Result{
		Mbit:        median(all, func(r Result) float64 { return r.Mbit }),
		Retransmits: median(all, func(r Result) uint32 { return r.Retransmits }),
		CPU:         median(all, func(r Result) time.Duration { return r.CPU }),
		Packets:     median(all, func(r Result) float64 { return r.Packets }),
		QueueDrops:  median(all, func(r Result) uint64 { return r.QueueDrops }),
		SocketDrops: median(all, func(r Result) uint64 { return r.SocketDrops }),
		Rest:        median(all, func(r Result) int64 { return r.Rest }),
		Peak:        median(all, func(r Result) int64 { return r.Peak }),
		RestAnon:    median(all, func(r Result) int64 { return r.RestAnon }),
		After:       all[0].After,
		AfterAnon:   all[0].AfterAnon,
	}
}

// Conditions says what the figures of a setting were measured with.
func Conditions(s Setting, pairs int) string {
	sums := "UDP checksums on both ways"
	if s.ZeroChecksum {
		sums = "zero UDP checksums both ways"
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf(
		"TCP for %v in VXLAN over IPv6 link addresses (%s, MTU %d) in WireGuard (MTU %d) over veth, both ends on "+
			"one machine;"+
			" median of %d pairs by turns; %d processors, %s/%s, Linux %s, load %s",
		s.Stream, sums, vxMTU, wgMTU, pairs, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		strings.TrimSpace(string(kernel)), first)
}
