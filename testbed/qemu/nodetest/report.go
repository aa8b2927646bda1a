package nodetest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"wguplink/testbed/leak"
)

// Report is build/qemu-ARCH.json.
type Report struct {
	Arch    string  `json:"arch"`
	Machine string  `json:"machine"` // QEMU's, or the image
	Kernel  string  `json:"kernel"`  // the node's uname -r
	Runs    []*Run  `json:"runs"`
	Gates   []Gate  `json:"gates"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"` // for all of it
}

// Run is one way through the scenario.
type Run struct {
	Variant   string `json:"variant"`           // of the program
	Backend   string `json:"backend"`           // who does WireGuard: kernel or userspace
	Algorithm string `json:"algorithm"`         // of batman-adv
	Bare      bool   `json:"no_ipv6,omitempty"` // the kernel has no IPv6: the steps are others, and nothing is measured
	Steps     []Step `json:"steps"`
	// StoodStillMS is how much time is missing from the machine's clock: its figures that are times are that much too
	// long.
	StoodStillMS int64     `json:"stood_still_ms,omitempty"`
	Measured     *Measured `json:"measured,omitempty"`
}

// Step is one of the scenario's.
type Step struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	MS   int64  `json:"ms"`             // how long it took
	Note string `json:"note,omitempty"` // what was seen; or the error
}

// Measured is what the agent takes. Memory is in KiB.
type Measured struct {
	BinaryBytes int64 `json:"binary_bytes"`
	HandshakeMS int64 `json:"start_to_handshake_ms"` // the first one, with the clock and the key to be seen to
	MeshMS      int64 `json:"start_to_bat0_reply_ms"`
	SwitchMS    int64 `json:"gateway_killed_to_connected_ms,omitempty"`
	FailoverMS  int64 `json:"gateway_killed_to_bat0_reply_ms,omitempty"` // with batman-adv's own convergence
	// pings through bat0 that were lost by a restart of the service
	RestartMS     int64   `json:"restart_lost_ms"`
	DeletedMS     int64   `json:"deleted_lost_ms"` // by the deletion of the VXLAN
	RSS           int     `json:"idle_vm_rss_kib"`
	ExactRSS      int     `json:"idle_rss_counted_kib"`
	Anon          int     `json:"idle_rss_anon_kib"`
	PSS           int     `json:"idle_pss_kib"`
	MaxRSS        int     `json:"max_rss_kib"`
	Threads       int     `json:"threads"`
	IdleSeconds   float64 `json:"idle_seconds"` // for how long it was watched
	CPUPer5Min    float64 `json:"cpu_seconds_per_idle_5_minutes"`
	SwitchAnon    []int   `json:"rss_anon_kib_after_each_switch,omitempty"`
	SwitchedTimes int     `json:"switches"`
}

// Gate is a limit that must hold.
type Gate struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
	Limit int    `json:"limit"`
	OK    bool   `json:"ok"`
}

// limitRest are the limits of memory at rest on big-endian MIPS, by exact count, in KiB, with what is kept for a
// failover in it.
var limitRest = map[string]int{"default": 6 << 10, "nobroker": 11 << 9}

const (
	// limitGrowth is what 30 switches may add to the anonymous memory: what the garbage collector has not come round
	// to, seen to be up to 1064 beside other machines. A single goroutine with its buffers left behind by each switch
	// would be more.
	limitGrowth = 3 << 9
)

// Judge adds the gates and says whether all is well; err is what went wrong on the way.
func (r *Report) Judge(err error) {
	r.OK = err == nil && len(r.Runs) > 0
	gate := func(name string, value, limit int) {
		g := Gate{Name: name, Value: value, Limit: limit, OK: value <= limit}
		r.Gates = append(r.Gates, g)
		r.OK = r.OK && g.OK
	}
	for _, run := range r.Runs {
		for _, s := range run.Steps {
			r.OK = r.OK && s.OK
		}
		m := run.Measured
		if m == nil {
			r.OK = r.OK && run.Bare
			continue
		}
		if limit, ok := limitRest[run.Variant]; ok && r.Arch == "mips" {
			gate(run.Variant+": memory at rest, KiB", m.ExactRSS, limit)
			r.OK = r.OK && m.ExactRSS > 0
		}
		if len(m.SwitchAnon) > 0 {
			gate(run.Variant+": growth of RssAnon over switches, KiB", leak.Growth(m.SwitchAnon), limitGrowth)
		}
	}
}

// Write writes the report to a folder.
func (r *Report) Write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	name := filepath.Join(dir, "qemu-"+r.Arch+".json")
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Print prints the figures of several reports as a table.
func Print(w io.Writer, reports []*Report) {
	fmt.Fprintf(w, "%-7s %-10s %-9s %9s %9s %9s %8s %8s %8s %8s %8s %4s %8s %9s\n", "arch", "variant", "backend",
		"handshake", "bat0", "failover",
		"VmRSS", "counted", "anon", "PSS", "max RSS", "thr", "CPU/5min", "binary")
	for _, r := range reports {
		for _, run := range r.Runs {
			m := run.Measured
			if run.Bare {
				continue
			}
			if m == nil {
				fmt.Fprintf(w, "%-7s %-10s %-9s not measured\n", r.Arch, run.Variant, run.Backend)
				continue
			}
			failover := "-"
			if m.FailoverMS > 0 {
				failover = fmt.Sprintf("%.1f s", float64(m.FailoverMS)/1000)
			}
			fmt.Fprintf(w, "%-7s %-10s %-9s %6d ms %6d ms %9s %8d %8d %8d %8d %8d %4d %6.2f s %5.2f MiB\n", r.Arch,
				run.Variant, run.Backend,
				m.HandshakeMS, m.MeshMS, failover, m.RSS, m.ExactRSS, m.Anon, m.PSS, m.MaxRSS, m.Threads, m.CPUPer5Min,
				float64(m.BinaryBytes)/(1<<20))
		}
		for _, run := range r.Runs {
			if run.StoodStillMS > 0 {
				fmt.Fprintf(w, "%-7s %s: the machine stood still for %.1f s, which is in its times\n", r.Arch,
					run.Variant, float64(run.StoodStillMS)/1000)
			}
		}
		for _, g := range r.Gates {
			word := "ok"
			if !g.OK {
				word = "OVER"
			}
			fmt.Fprintf(w, "%-7s gate: %s: %d, limit %d: %s\n", r.Arch, g.Name, g.Value, g.Limit, word)
		}
	}
}
