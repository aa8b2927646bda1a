package nodetest

import (
	"strings"
	"testing"
	"time"
)

func TestReadKiB(t *testing.T) {
	if n, err := readKiB("     312       14    20480      163        0        0        0\n"); err != nil || n != 10240 {
		t.Errorf("%d KiB, %v; want 10240", n, err)
	}
	for _, text := range []string{"", "1 2", "1 2 x 4"} {
		if _, err := readKiB(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestBusyTicks(t *testing.T) {
	// user nice system idle iowait irq softirq steal
	if n, err := busyTicks("cpu  1 2 4 1000 2000 8 16 32 0 0\ncpu0 9 9 9\n"); err != nil || n != 31 {
		t.Errorf("%d ticks, %v; want 31", n, err)
	}
	for _, text := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7", "cpu 1 2 3 x 5 6 7"} {
		if _, err := busyTicks(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}

func TestColdTable(t *testing.T) {
	c := Cold{Arch: "mips", Variant: "default", Costs: []Cost{{What: coldStart, MS: 100}, {What: coldStatus, MS: 50}}}
	var out strings.Builder
	if err := c.Print(&out); err == nil {
		t.Error("a table without failovers is printed")
	}
	for _, ms := range []int64{2000, 9000, 2400} {
		c.Costs = append(c.Costs, Cost{What: warm, MS: ms},
			Cost{What: cold, MS: ms + 600, Loaded: 3000, Agent: int(ms)})
	}
	m, n := c.Median(cold)
	if n != 3 || m.MS != 3000 || m.Agent != 2400 || m.OnRouter() != 1500*time.Millisecond {
		t.Errorf("median of %d: %+v, on a router %v", n, m, m.OnRouter())
	}
	out.Reset()
	if err := c.Print(&out); err != nil || !strings.Contains(out.String(), "costs 0.60 s more") ||
		!strings.Contains(out.String(), "kept") {
		t.Errorf("%v, table:\n%s", err, out.String())
	}
	c.Costs = append(c.Costs, Cost{What: cold, MS: 99999}, Cost{What: cold, MS: 99999}, Cost{What: cold, MS: 99999})
	out.Reset()
	if err := c.Print(&out); err != nil || !strings.Contains(out.String(), "missed") {
		t.Errorf("%v, table:\n%s", err, out.String())
	}
}
