package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"wguplink/agent/clock"
	"wguplink/agent/config"
	"wguplink/agent/identity"
	"wguplink/agent/uplink"
	"wguplink/agent/userspace"
)

// runAgent runs all enabled uplinks until SIGTERM or SIGINT.
func runAgent(o options, stderr io.Writer) int {
	cfg, err := o.load()
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	if err := os.MkdirAll(o.run, 0o755); err != nil {
		fmt.Fprintln(stderr, "make the run directory:", err)
		return exitFailed
	}
	var level slog.LevelVar
	level.Set(cfg.LogLevel)
	log := newLogger(stderr, &level)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)

	base := uplink.Options{
		Log: log, RunDir: o.run, FloorFile: filepath.Join(o.state, "last-time"), Build: built(), System: clock.Kernel{},
		LoadKey: func(u config.Uplink) (identity.Identity, error) { return identity.Load(o.tree(), o.keyOptions(u)) },
	}
	if newRegistrar != nil {
		base.NewRegistrar = newRegistrar
	}
	if userspace.Supported {
		base.Spawn = func(_ context.Context, ifname string) error { _, err := userspace.Spawn(ifname, nil); return err }
	}
	changes := make(chan []config.Uplink)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-hup:
			case <-done:
				return
			}
			next, err := o.load()
			if err != nil {
				log.Error("the new configuration is broken; the old one stays in force", "err", err)
				continue
			}
			level.Set(next.LogLevel)
			select {
			case changes <- next.Uplinks:
			case <-done:
				return
			}
		}
	}()
	log.Info("wguplink starts", "version", version, "variant", variant())
	err = uplink.NewGroup(base).Run(ctx, cfg.Uplinks, changes)
	if err != nil {
		log.Error("stopped", "err", err)
	}
	switch {
	case errors.Is(err, uplink.ErrLocked):
		return exitLocked
	case err != nil:
		return exitFailed
	}
	return exitOK
}
