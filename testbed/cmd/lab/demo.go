package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
	"wguplink/testbed/vclock"
)

// demoReport is build/demo.json. Times are milliseconds from the agent's start, but for the failover's: that is from
// the death of the gateway to the first Ethernet reply through another.
type demoReport struct {
	Clock      int64  `json:"clock_ms"`
	Registered int64  `json:"registered_ms"`
	Handshake  int64  `json:"handshake_ms"`
	L2Ping     int64  `json:"l2_ping_ms"`
	Gateway    string `json:"gateway"`
	Failover   int64  `json:"failover_ms"`
	FailoverTo string `json:"failover_gateway"`
	Backend    string `json:"backend"`
	RSS        int64  `json:"rss_kb"` // of the agent, connected and idle
}

// demoTime bounds the whole demo.
const demoTime = 80 * time.Second

func demo(ctx context.Context, binary, out string) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTime, fmt.Errorf("the demo took longer than %v", demoTime))
	defer cancel()
	dir, err := os.MkdirTemp("/run", "demo-") // in the lab's own RAM: gone with it, however it ends
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	topo, err := topology.New(topology.Options{}, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, topo.Close()) }()
	// As in the field the gateways are unevenly busy, and the broker names the least busy one.
	for _, g := range topo.Gateways {
		if err := topo.SetPeers(ctx, g.Name, rand.IntN(100)); err != nil {
			return err
		}
	}
	say := func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	say("A node behind a WAN, three gateways, a broker, NTP and DNS: all real, each in a network namespace.")
	say("The node's clock says 1970, and it has no key. The agent starts now.\n")

	// The wrong clock is the node's alone: the agent's system calls are answered with it.
	prepared := filepath.Join(dir, "wguplink")
	if err := vclock.Prepare(binary, prepared); err != nil {
		return err
	}
	wrong := time.Unix(100, 0)
	topo.Clock().Set(wrong)
	t := topo.Timeline()
	topo.Clock().OnStep(func(s vclock.Step) {
		t.Add(time.Now(), "clock", fmt.Sprintf("set from %s to %s by NTP", s.From.UTC().Format(time.DateTime),
			s.To.UTC().Format(time.DateTime)))
	})
	a, err := topo.NewAgent(prepared, dir, topology.UCI(topo.BrokerOptions(), topo.Sections()))
	if err != nil {
		return err
	}
	t.Print(os.Stdout)
	l2 := topo.Layer2("mesh-vpn", 20*time.Millisecond)
	defer l2.Close()
	start := time.Now()
	if err := a.Start(); err != nil {
		return err
	}
	report := demoReport{}
	fail := func(err error) error {
		return fmt.Errorf("%w\nthe agent said:\n  %s", err, strings.Join(a.Lines(), "\n  "))
	}
	gw, at, err := topo.AwaitHandshake(ctx)
	if err != nil {
		return fail(err)
	}
	t.Add(at, "handshake", "with "+gw)
	reply, err := l2.Await(ctx, start, nil)
	if err != nil {
		return fail(err)
	}
	t.Add(reply.At, "layer 2", "Ethernet frame answered by "+reply.Gateway)
	key, ok := a.Key(ctx)
	if !ok {
		return fail(errors.New("the node has no key"))
	}
	st, err := a.Status(ctx)
	if err != nil {
		return fail(err)
	}
	stats, err := a.Stats()
	if err != nil {
		return fail(err)
	}
	t.Add(time.Now(), "key", "made and kept: "+key.String())
	t.Add(time.Now(), "backend", fmt.Sprintf("%s WireGuard, agent's memory %d kB", st.Backend, stats.RSS/1024))

	t.Add(time.Now(), "killed", reply.Gateway)
	o, err := scenario.KillGateway.Run(ctx, scenario.Namespaces{Topology: topo, Agent: a, Frames: l2}, reply.Gateway)
	if err != nil {
		return fail(err)
	}
	next := o.Reply
	t.Add(next.At, "failover",
		fmt.Sprintf("Ethernet frame answered by %s, %.1f s after the death of %s", next.Gateway,
			o.Took.Seconds(), reply.Gateway))

	if err := a.TakeDown(ctx); err != nil {
		return fail(err)
	}
	t.Add(time.Now(), "stopped", "the agent has taken down what it made")
	if topo.NodeLink("mesh-vpn") != nil || topo.NodeLink("wg_mesh") != nil {
		return fail(errors.New("the agent has left a device behind"))
	}
	ms := func(what string) int64 {
		e, ok := t.First(what)
		if !ok {
			err = errors.Join(err, fmt.Errorf("the timeline has no %q", what))
		}
		return e.At.Milliseconds()
	}
	report = demoReport{
		Clock: ms("clock"), Registered: ms("registered"), Handshake: ms("handshake"), L2Ping: ms("layer 2"),
		Gateway:  reply.Gateway,
		Failover: o.Took.Milliseconds(), FailoverTo: next.Gateway, Backend: st.Backend, RSS: stats.RSS / 1024,
	}
	if err != nil {
		return fail(err)
	}
	return writeJSON(filepath.Join(out, "demo.json"), report)
}

func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Printf("\n%s: %s\n", name, b)
	return nil
}
