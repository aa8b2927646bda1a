package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
	"wguplink/testbed/vclock"
)

// figure is one line of build/figures.json.
type figure struct {
	Metric string  `json:"metric"`
	Unit   string  `json:"unit"`
	Runs   int     `json:"runs"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Target float64 `json:"target"` // the median has to be below, or at 0 equal
	OK     bool    `json:"ok"`
	// Conditions are the same for all of them: see topology.Topology.Conditions.
	Conditions string `json:"conditions"`
}

// settled is how long a connected agent is left alone before its memory and its execve calls are looked at.
const settled = 10 * time.Second

// figures measures what README.md states, in topologies whose clock is right: with a first start each.
func figures(ctx context.Context, binary, out string, runs int) error {
	dir, err := os.MkdirTemp("/run", "figures-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	prepared := filepath.Join(dir, "wguplink")
	if err := vclock.Prepare(binary, prepared); err != nil {
		return err
	}
	samples := map[string][]float64{}
	conditions := ""
	for i := range runs {
		conditions, err = sample(ctx, prepared, filepath.Join(dir, fmt.Sprint(i)), samples)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		fmt.Fprintf(os.Stderr, "\rrun %d of %d", i+1, runs)
	}
	fmt.Fprintln(os.Stderr)
	var all []figure
	ok := true
	fmt.Printf("%d runs: %s\n%-34s %10s %10s %10s %10s\n", runs, conditions, "", "min", "median", "max", "target")
	for _, m := range []struct {
		name, unit string
		target     float64
	}{
		// A worker adds a key up to a second after the broker's answer.
		{"start to handshake", "ms", 1300},
		{"start to Ethernet reply", "ms", 1500},
		{"gateway killed to Ethernet reply", "ms", 20000},
		{"agent's memory at rest (VmRSS)", "MB", 14},
		{"execve calls at rest", "", 0},
	} {
		v := samples[m.name]
		slices.Sort(v)
		f := figure{m.name, m.unit, len(v), v[0], v[len(v)/2], v[len(v)-1], m.target, false, conditions}
		f.OK = f.Median < f.Target || f.Target == 0 && f.Max == 0
		ok = ok && f.OK
		verdict := ""
		if !f.OK {
			verdict = "  MISSED"
		}
		fmt.Printf("%-34s %10.1f %10.1f %10.1f %10.1f %s%s\n", f.Metric, f.Min, f.Median, f.Max,
			f.Target, f.Unit, verdict)
		all = append(all, f)
	}
	if err := writeJSON(filepath.Join(out, "figures.json"), all); err != nil {
		return err
	}
	if !ok {
		return errors.New("a target was missed")
	}
	return nil
}

// sample measures one life of a node, and says under which conditions.
func sample(ctx context.Context, binary, dir string, samples map[string][]float64) (conditions string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the run took longer than a minute"))
	defer cancel()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return conditions, err
	}
	topo, err := topology.New(topology.Options{}, dir)
	if err != nil {
		return conditions, err
	}
	defer func() { err = errors.Join(err, topo.Close()) }()
	conditions = topo.Conditions()
	topo.Clock().SetSynchronised(true)
	a, err := topo.NewAgent(binary, dir, topology.UCI(topo.BrokerOptions(), topo.Sections()))
	if err != nil {
		return conditions, err
	}
	note := func(name string, v float64) { samples[name] = append(samples[name], v) }
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	l2 := topo.Layer2("mesh-vpn", 20*time.Millisecond)
	defer l2.Close()
	start := time.Now()
	if err := a.Start(); err != nil {
		return conditions, err
	}
	_, at, err := topo.AwaitHandshake(ctx)
	if err != nil {
		return conditions, err
	}
	note("start to handshake", ms(at.Sub(start)))
	reply, err := l2.Await(ctx, start, nil)
	if err != nil {
		return conditions, err
	}
	note("start to Ethernet reply", ms(reply.At.Sub(start)))

	connected := len(topo.Clock().Execs())
	if err := topology.Pause(ctx, settled); err != nil {
		return conditions, err
	}
	note("execve calls at rest", float64(len(topo.Clock().Execs())-connected))
	stats, err := a.Stats()
	if err != nil {
		return conditions, err
	}
	note("agent's memory at rest (VmRSS)", float64(stats.RSS)/1e6)

	o, err := scenario.KillGateway.Run(ctx, scenario.Namespaces{Topology: topo, Agent: a, Frames: l2}, reply.Gateway)
	if err != nil {
		return conditions, err
	}
	note("gateway killed to Ethernet reply", ms(o.Took))
	return conditions, nil
}
