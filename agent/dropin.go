package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/lowmem"
	"wguplink/agent/slog"
	"wguplink/agent/status"
	"wguplink/agent/ubus"
	"wguplink/agent/uci"
	"wguplink/agent/wgpeerselector"
)

// runDropIn is the program in the place of Gluon's wgpeerselector.
func runDropIn(args []string, stdout, stderr io.Writer) int {
	lowmem.Frugal()
	a, err := wgpeerselector.ParseArgs(args)
	if err != nil {
		fmt.Fprintf(stderr, "wgpeerselector: %v; see wgpeerselector --help\n", err)
		return exitUsage
	}
	switch {
	case a.Help:
		io.WriteString(stdout, wgpeerselector.Usage)
		return exitOK
	case a.Version:
		fmt.Fprintln(stdout, "wgpeerselector: "+versionLine())
		return exitOK
	}
	if a.Group != "" { // before there is any socket
		if err := wgpeerselector.SwitchGroup(a.Group); err != nil {
			fmt.Fprintln(stderr, "wgpeerselector:", err)
			return exitFailed
		}
	}
	s := service{stderr: stderr, failed: exitTempFail, run: a.Run, state: defaultState, ubus: a.Ubus}
	s.log = serviceLogger(wgpeerselector.Package, stderr, &s.level, a.Stderr)
	if a.Verbose {
		s.level.Set(slog.LevelDebug)
	}
	var present atomic.Pointer[config.Uplink]
	s.load = func() (loaded, error) {
		u, problems, err := wgpeerselector.Load(uci.NewTree(a.Config, a.Staged), a)
		for _, p := range problems {
			s.log.Warn("peer left out, or not as written", "reason", p)
		}
		if err != nil {
			return loaded{}, err
		}
		present.Store(&u)
		return loaded{uplinks: []config.Uplink{u}}, nil
	}
	s.loadKey = func(config.Uplink) (identity.Identity, error) { return identity.Identity{}, nil } // it is netifd's
	s.objects = func(ag *agent) []ubus.Object {
		return []ubus.Object{{Name: wgpeerselector.Name(a.Interface), Methods: []ubus.Method{
			{Name: "status", Handle: func(context.Context, ubus.Table) (ubus.Table, error) {
				var st status.Snapshot
				if all := ag.group.Snapshots(); len(all) > 0 { // one at most
					st = all[0]
				}
				return wgpeerselector.Status(*present.Load(), st, status.Now()), nil
			}},
		}}}
	}
	if a.PIDFile != "" {
		s.prepare = func() (func(), error) { return wgpeerselector.WritePID(a.PIDFile) }
	}
	return s.serve()
}
