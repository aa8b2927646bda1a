package main

import (
	"context"
	"errors"
	"sync"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/agent/uplink"
)

// agent is what ubus and signals can ask of the process.
type agent struct {
	group   *uplink.Group
	load    func() (loaded, error)
	changes chan []config.Uplink
	done    chan struct{} // closed at the end

	reloading sync.Mutex // one at a time: ubus and SIGHUP both ask for it
	mu        sync.Mutex
	leftOut   []status.Snapshot // of the uplinks that a mistake in the configuration leaves out
	notes     []string          // on the configuration, for the status of all others
}

// note takes over what the status says of the configuration.
func (a *agent) note(l loaded) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leftOut, a.notes = nil, l.notes
	for _, u := range l.uplinks {
		if u.Fault != "" {
			a.leftOut = append(a.leftOut, leftOut(u))
		}
	}
}

// leftOut is the status of an uplink that a mistake in the configuration leaves out.
func leftOut(u config.Uplink) status.Snapshot {
	return status.Snapshot{
		Uplink: u.Name, State: status.Stopped, Cause: status.Config, Reason: u.Fault, Interface: u.Interface,
		Since: status.Now(),
	}
}

// Status implements api.Agent.
func (a *agent) Status() []status.Snapshot {
	all := a.group.Snapshots()
	a.mu.Lock()
	for i := range all {
		all[i].Warnings = append(all[i].Warnings[:len(all[i].Warnings):len(all[i].Warnings)], a.notes...)
	}
	all = append(all, a.leftOut...)
	a.mu.Unlock()
	for i := range all {
		all[i] = all[i].At(status.Now())
		count(&all[i])
	}
	return all
}

// Reconnect implements api.Agent.
func (a *agent) Reconnect(ctx context.Context, name, gateway string) (uplink.Outcome, error) {
	return a.group.Reconnect(ctx, name, gateway)
}

// Reload implements api.Agent.
func (a *agent) Reload(ctx context.Context) (mistakes []string, err error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	next, err := a.load()
	if err != nil {
		return nil, err
	}
	select {
	case a.changes <- next.uplinks:
		a.note(next)
		return next.mistakes, nil
	case <-a.done:
		return nil, errors.New("the agent is about to end")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
