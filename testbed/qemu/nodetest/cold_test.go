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
	c := Cold{Arch: "mips", Variant: "default", Program: 6000, Packed: 1500, Rest: 6144,
		Costs: []Cost{{What: coldStart, MS: 100}, {What: coldStatus, MS: 50}, {What: firstCold, MS: 5000}}}
	var out strings.Builder
	if err := c.Print(&out); err == nil {
		t.Error("a table without failovers is printed")
	}
	for _, ms := range []int64{2000, 9000, 2400} {
		c.Costs = append(c.Costs, Cost{What: warm, MS: ms},
			Cost{What: cold, MS: ms + 600, Read: 300, Agent: int(ms)})
	}
	m, n := c.Median(cold)
	if n != 3 || m.MS != 3000 || m.Agent != 2400 || c.OnRouter(m) != 600*time.Millisecond {
		t.Errorf("median of %d: %+v, on a router %v", n, m, c.OnRouter(m))
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

func TestColdFaults(t *testing.T) {
	costs := func(first int, later ...int) (all []Cost) {
		all = []Cost{{What: firstCold, MS: 99999, Read: first}, {What: warm}}
		for _, n := range later {
			all = append(all, Cost{What: cold, MS: 99999, Read: n})
		}
		return all
	}
	for _, tt := range []struct {
		what  string
		c     Cold
		wrong string
	}{
		{"within the limits, and slow", Cold{Arch: "mips", Costs: costs(2048, 1024, 1100, 100)}, ""},
		{"the first reads too much", Cold{Arch: "mips", Costs: costs(2049, 1024)}, "first failover, cold: 2049 KiB"},
		{"later ones read too much", Cold{Arch: "mipsel", Costs: costs(0, 1100, 1025)}, "failover, cold: 1100 KiB"},
		{"no later one", Cold{Arch: "mips", Costs: costs(0)}, "not measured: failover, cold"},
		{"nothing", Cold{Arch: "mips"}, "not measured: first failover, cold"},
		{"not from the disk", Cold{Arch: "mips", Packed: 1600, Costs: costs(0, 0)}, "a start reads 0 KiB of 1600"},
		{"another processor", Cold{Arch: "amd64", Costs: costs(9999, 9999)}, ""},
	} {
		err := tt.c.Faults()
		if (err != nil) != (tt.wrong != "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.wrong)
		}
	}
}
