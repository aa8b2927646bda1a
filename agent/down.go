package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/slog"
	"wguplink/agent/tunnel"
	"wguplink/agent/uplink"
)

// downWait is how long to wait for an agent that is about to end: as long as the start script has procd wait before it
// kills the agent (term_timeout).
const downWait = 15 * time.Second

// takeDown removes what an agent has left at SIGTERM for the next one: all devices and routes with the mark of an
// uplink, and with them the processes of userspace WireGuard. It waits for agents that are about to end.
func takeDown(o options, stderr io.Writer) int {
	protocols := map[string]config.Protocol{}
	var names []string
	if cfg, _, err := o.loadToRun(); err == nil { // a broken file is no reason to leave anything
		for _, u := range cfg.Uplinks {
			names, protocols[u.Name] = append(names, u.Name), u.Protocol
		}
	}
	tun, err := tunnel.Open(nil)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	defer tun.Close()
	marked, err := tun.Marked()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	for _, name := range marked {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), downWait)
	defer cancel()
	code := exitOK
	var free []string
	for _, name := range names {
		unlock, err := uplink.Await(ctx, o.run, name)
		if err != nil {
			fmt.Fprintf(stderr, "%v; stop it first\n", err)
			code = exitLocked
			continue
		}
		defer unlock()
		free = append(free, name)
	}
	gone, err := tun.RemoveUnknown(func(name string) bool { return !slices.Contains(free, name) })
	if err != nil {
		fmt.Fprintln(stderr, err)
		code = exitFailed
	}
	tellDown(o, gone, protocols, stderr)
	return code
}

// tellDown has the hooks run for uplinks that are no more.
func tellDown(o options, uplinks []string, protocols map[string]config.Protocol, stderr io.Writer) {
	runner := hooks.New(hooks.Options{Dir: filepath.Join(o.state, "hooks.d"), Log: newLogger(stderr, slog.LevelInfo),
		OnResult: func(string, hooks.Result) {}})
	for _, name := range uplinks {
		e := hooks.Event{Event: hooks.Down, Uplink: name}
		if p, ok := protocols[name]; ok {
			e.Protocol = p.String()
		}
		runner.Post(e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // to run what is posted, and no more
	runner.Run(ctx)
}
