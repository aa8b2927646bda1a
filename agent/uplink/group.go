package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"wguplink/agent/config"
	"wguplink/agent/crash"
	"wguplink/agent/status"
)

// errAbort ends the uplinks beside one that failed, without taking their tunnels down: the process is about to start
// anew.
var errAbort = errors.New("another uplink failed")

// ErrLeave, as the cause of a context's end, ends the uplinks without taking their tunnels down, so that the next agent
// goes on with them. On a device that is lent to us nothing is left all the same: its owner counts on that.
var ErrLeave = errors.New("the tunnel is left to the next agent")

// Group runs the enabled uplinks of a configuration, and follows when it changes.
type Group struct {
	base    Options // Config is set for each
	mu      sync.Mutex
	running map[string]*member // written by Run only
	failed  chan error
	over    chan struct{} // closed when failed is not read any more
	wg      sync.WaitGroup
}

type member struct {
	up     *Uplink
	ctx    context.Context // ends with Run
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// NewGroup makes a Group; Run starts it.
func NewGroup(base Options) *Group {
	return &Group{base: base, running: map[string]*member{}, failed: make(chan error), over: make(chan struct{})}
}

// Run runs the uplinks of first, then of each configuration that comes in by changes, until ctx ends or one fails.
func (g *Group) Run(ctx context.Context, first []config.Uplink, changes <-chan []config.Uplink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer g.wg.Wait()
	defer close(g.over)
	defer cancel(errAbort)
	g.follow(ctx, first)
	for {
		select {
		case <-ctx.Done():
			return g.stopped()
		case err := <-g.failed:
			return err
		case next := <-changes:
			g.follow(ctx, next)
		}
	}
}

// stopped waits for all to clean up and gives the errors of those that could not.
func (g *Group) stopped() error {
	go func() { g.wg.Wait(); close(g.failed) }()
	var errs []error
	for err := range g.failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// follow stops what is no longer wanted, starts what is new, and hands changes to those that stay.
func (g *Group) follow(ctx context.Context, uplinks []config.Uplink) {
	wanted := map[string]config.Uplink{}
	for _, c := range uplinks {
		if c.Enabled {
			wanted[c.Name] = c
		}
	}
	for name, m := range g.running {
		if _, ok := wanted[name]; !ok {
			m.cancel(context.Canceled)
			<-m.done
			g.mu.Lock()
			delete(g.running, name)
			g.mu.Unlock()
		}
	}
	for name, c := range wanted {
		m := g.running[name]
		if m == nil {
			g.start(ctx, c)
		} else {
			m.up.Reload(m.ctx, c)
		}
	}
}

func (g *Group) start(ctx context.Context, c config.Uplink) {
	o := g.base
	o.Config = c
	ctx, cancel := context.WithCancelCause(ctx)
	m := &member{up: New(o), ctx: ctx, cancel: cancel, done: make(chan struct{})}
	g.mu.Lock()
	g.running[c.Name] = m
	g.mu.Unlock()
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		defer crash.Tell()
		err := m.up.Run(ctx)
		cancel(err)
		close(m.done)
		if err != nil {
			select {
			case g.failed <- err:
			case <-g.over:
			}
		}
	}()
}

// Refresh has the uplink of that name publish its state anew, if something of it has changed that is not its own to
// see. It may be called from any goroutine.
func (g *Group) Refresh(name string) {
	if m, err := g.member(name); err == nil {
		m.up.post(m.ctx, func() {})
	}
}

// Snapshots gives the last published state of each running uplink, by name. It may be called from any goroutine.
func (g *Group) Snapshots() []status.Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []status.Snapshot
	for _, name := range slices.Sorted(maps.Keys(g.running)) {
		all = append(all, g.running[name].up.Snapshot())
	}
	return all
}

// ErrUnknownUplink says that no uplink of that name is running, or that a name is needed to tell several apart.
var ErrUnknownUplink = errors.New("no such uplink")

// Reconnect is Uplink.Reconnect for the uplink of that name; with "", for the only one. It may be called from any
// goroutine.
func (g *Group) Reconnect(ctx context.Context, name, gateway string) (Outcome, error) {
	m, err := g.member(name)
	if err != nil {
		return Outcome{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	return m.up.Reconnect(ctx, gateway)
}

func (g *Group) member(name string) (*member, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := slices.Sorted(maps.Keys(g.running))
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if m := g.running[name]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("%w %.60q; running are: %s", ErrUnknownUplink, name, strings.Join(names, ", "))
}
