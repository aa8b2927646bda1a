package nodetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Median is the middle one of what was measured several times, each figure by itself; ok is false where there is none.
func (c *Cold) Median(what string) (m Cost, n int) {
	var all []Cost
	for _, x := range c.Costs {
		if x.What == what {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return m, 0
	}
	middle := func(of func(Cost) int) int {
		var v []int
		for _, x := range all {
			v = append(v, of(x))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return Cost{What: what, MS: int64(middle(func(x Cost) int { return int(x.MS) })),
		Read: middle(func(x Cost) int { return x.Read }), Loaded: middle(func(x Cost) int { return x.Loaded }),
		Agent:   middle(func(x Cost) int { return x.Agent }),
		Machine: middle(func(x Cost) int { return x.Machine })}, len(all)
}

// coldGoal is what a failover may cost more when nothing of the program lies in the page cache.
const coldGoal = time.Second

// Print prints the medians as a table.
func (c *Cold) Print(w io.Writer) error {
	fmt.Fprintf(w, "%s, %s variant: program %d KiB in squashfs (xz, 256 KiB), %d KiB of memory at rest; medians\n",
		c.Arch, c.Variant, c.Program, c.Rest)
	fmt.Fprintf(w, "%-26s %4s %9s %10s %12s %11s %13s %13s\n", "", "runs", "time", "read", "loaded", "agent CPU",
		"machine CPU", "at 2 MB/s")
	for _, what := range []string{coldStart, coldStatus, firstCold, warm, cold} {
		m, n := c.Median(what)
		if n == 0 {
			return errors.New("not measured: " + what)
		}
		fmt.Fprintf(w, "%-26s %4d %6d ms %6d KiB %8d KiB %8d ms %10d ms %11.1f s\n", what, n, m.MS, m.Read, m.Loaded,
			m.Agent, m.Machine, c.OnRouter(m).Seconds())
	}
	a, _ := c.Median(warm)
	b, _ := c.Median(cold)
	more := time.Duration(b.MS-a.MS) * time.Millisecond
	word := "kept"
	if more > coldGoal {
		word = "missed"
	}
	_, err := fmt.Fprintf(w, "a failover costs %.2f s more from a cold page cache; goal %v: %s\n", more.Seconds(),
		coldGoal, word)
	return err
}

// limitRead is how much a failover may read from the disk when nothing of the program lies in the page cache,
// compressed, in KiB. The first may have to ask the broker, which takes nearly all of the program: 1610 KiB, each block
// once. A block that is read is decompressed, so that this bounds the time, and does not depend on what else the host
// does.
var limitRead = map[string]int{firstCold: 2 << 10, cold: 1 << 10}

// Faults says what is over a limit, on the processors that the limits are for. Times are no part of that, for the host
// may be busy with something else.
func (c *Cold) Faults() error {
	if c.Arch != "mips" && c.Arch != "mipsel" {
		return nil
	}
	var errs []error
	if m, _ := c.Median(coldStart); m.Read < c.Packed/2 { // then the program does not come from the disk
		errs = append(errs, fmt.Errorf("%s: a start reads %d KiB of %d only", c.Arch, m.Read, c.Packed))
	}
	for _, what := range []string{firstCold, cold} {
		m, n := c.Median(what)
		if n == 0 {
			errs = append(errs, fmt.Errorf("%s: not measured: %s", c.Arch, what))
		} else if m.Read > limitRead[what] {
			errs = append(errs, fmt.Errorf("%s: %s: %d KiB are read, limit %d", c.Arch, what, m.Read, limitRead[what]))
		}
	}
	return errors.Join(errs...)
}
