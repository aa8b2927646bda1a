package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"wguplink/agent/api"
	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/identity"
	"wguplink/agent/lowmem"
	"wguplink/agent/parent"
	"wguplink/agent/slog"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/ubus"
	"wguplink/agent/uplink"
	"wguplink/agent/userspace"
	"wguplink/agent/wgpeerselector"
)

// runAgent runs all enabled uplinks until SIGTERM, which leaves their tunnels in place, or SIGINT.
func runAgent(o options, stderr io.Writer) int {
	lowmem.Frugal()
	if o.group != "" { // before there is any socket
		if err := wgpeerselector.SwitchGroup(o.group); err != nil {
			fmt.Fprintln(stderr, err)
			return exitFailed
		}
	}
	if o.endWithParent {
		// As if killed: the next agent goes on with the tunnel that it finds.
		err := parent.Watch(func() {
			time.AfterFunc(time.Second, func() { os.Exit(exitFailed) }) // what reads our output may hang
			fmt.Fprintln(stderr,
				"the process that started wguplink has ended; so does wguplink, and leaves the tunnel to the next")
			os.Exit(exitFailed)
		})
		if err != nil {
			fmt.Fprintln(stderr, "--end-with-parent:", err)
			if errors.Is(err, parent.ErrOrphan) {
				return exitFailed
			}
		}
	}
	s := service{stderr: stderr, failed: exitFailed, run: o.run, state: o.state, ubus: o.ubus}
	s.log = serviceLogger(config.Package, stderr, &s.level, o.stderr)
	r := reader{o: o, log: s.log}
	guard := exposure{o: o, log: s.log}
	s.load = func() (loaded, error) {
		guard.protect()
		cfg, l, err := r.read()
		if err == nil {
			s.level.Set(cfg.LogLevel)
			guard.warn(cfg.Uplinks)
		}
		return l, err
	}
	s.hooks = true
	s.clean = true
	s.objects = func(a *agent) []ubus.Object { return []ubus.Object{api.Object(a)} }
	s.loadKey = r.loadKey
	return s.serve()
}

// service is a process that keeps uplinks up: those of wguplink's own file, or the one of the drop-in.
type service struct {
	log        *slog.Logger
	level      slog.LevelVar
	stderr     io.Writer
	run, state string // folders
	ubus       string // socket
	failed     int    // exit code where the configuration is not to blame
	load       func() (loaded, error)
	loadKey    func(config.Uplink) (identity.Identity, error)
	objects    func(*agent) []ubus.Object
	hooks      bool                            // whether hooks are run
	clean      bool                            // whether what other uplinks have left is removed at the start
	prepare    func() (undo func(), err error) // when the configuration is good; may be nil
}

// serve returns the exit code.
func (s *service) serve() int {
	first, err := s.load()
	if err != nil {
		fmt.Fprintln(s.stderr, err)
		return exitFailed
	}
	if s.prepare != nil {
		undo, err := s.prepare()
		if err != nil {
			fmt.Fprintln(s.stderr, err)
			return s.failed
		}
		defer undo()
	}
	if err := os.MkdirAll(s.run, 0o755); err != nil && !uplink.NoRoom(err) { // each uplink warns of that
		fmt.Fprintln(s.stderr, "make the run directory:", err)
		return s.failed
	}
	ctx, stop := untilSignal()
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)

	a := &agent{load: s.load, changes: make(chan []config.Uplink), done: make(chan struct{})}
	bus := ubus.NewServer(s.ubus, s.objects(a)...)
	bus.OnError = func(err error) { s.log.Warn("ubus", "err", err) }
	mem := newMemory(&lowmem.Program{}, lowmem.Fetch, s.log)
	defer mem.stop()
	base := uplink.Options{
		Log: s.log, Firmware: firmware("/"), RunDir: s.run, FloorFile: filepath.Join(s.state, "last-time"),
		Build: built(), Clock: clock.Watch(clock.Kernel{}),
		Machine: uplink.Linux(spawner()), LoadKey: s.loadKey, NewRegistrar: newRegistrar,
		Changed: func(st status.Snapshot) {
			bus.Send(api.EventName, api.Event(st))
			mem.changed(st)
		},
		Checked: mem.checked, Tries: mem.tries,
	}
	stopHooks := func() {}
	if s.hooks {
		var runner *hooks.Runner
		runner, stopHooks = s.startHooks(a)
		base.Hook, base.Hooked = runner.Post, runner.Results
	}
	a.note(first)
	a.group = uplink.NewGroup(base)
	// What changed while ubusd was not there, or not reached yet, is not lost for those who listen.
	bus.OnRegistered = func() {
		for _, st := range a.group.Snapshots() {
			bus.Send(api.EventName, api.Event(st))
		}
	}
	defer close(a.done)
	go func() {
		if err := bus.Run(ctx); err != nil {
			s.log.Error("not on ubus", "err", err) // the tunnel does not need it
		}
	}()
	go func() {
		for {
			select {
			case <-hup:
				if _, err := a.Reload(ctx); err != nil {
					s.log.Error("the new configuration is broken; the old one stays in force", "err", err)
				}
			case <-a.done:
				return
			}
		}
	}()
	if s.clean {
		if err := s.removeUnknown(first.uplinks); err != nil {
			s.log.Warn("something of another uplink is left", "err", err)
		}
	}
	s.log.Info("wguplink starts", "version", version, "variant", variant())
	err = a.group.Run(ctx, first.uplinks, a.changes)
	stopHooks()
	if err != nil {
		s.log.Error("stopped", "err", err)
	}
	switch {
	case errors.Is(err, uplink.ErrLocked):
		return exitLocked
	case err != nil:
		return s.failed
	}
	return exitOK
}

// spawner starts userspace WireGuard; nil in a build without it.
func spawner() tunnel.Spawner {
	if !userspace.Supported {
		return nil
	}
	return func(_ context.Context, ifname, alias string) error {
		_, err := userspace.Spawn(ifname, alias, nil)
		return err
	}
}

// untilSignal gives a context that ends with SIGTERM, whose cause has the tunnels left to the next agent, or with
// SIGINT.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case s := <-end:
			if s == syscall.SIGTERM {
				cancel(uplink.ErrLeave)
			}
			cancel(context.Canceled)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(end); cancel(context.Canceled) }
}

// removeUnknown takes away what uplinks have left that are not in the configuration any more.
func (s *service) removeUnknown(uplinks []config.Uplink) error {
	tun, err := tunnel.Open(nil)
	if err != nil {
		return err
	}
	defer tun.Close()
	gone, err := tun.RemoveUnknown(func(name string) bool {
		wanted := func(u config.Uplink) bool { return u.Name == name && u.Enabled }
		return slices.ContainsFunc(uplinks, wanted) || uplink.Running(s.run, name)
	})
	if len(gone) > 0 {
		s.log.Info("removed what is left of uplinks that are not wanted any more", "uplinks", gone)
	}
	return err
}

// startHooks runs the hooks of the state folder. stop waits for those that are to hear of the end.
func (s *service) startHooks(a *agent) (runner *hooks.Runner, stop func()) {
	runner = hooks.New(hooks.Options{
		Dir: filepath.Join(s.state, "hooks.d"), Log: s.log,
		OnResult: func(uplink string, _ hooks.Result) { a.group.Refresh(uplink) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runner.Run(ctx)
	}()
	return runner, func() { cancel(); <-ended }
}
