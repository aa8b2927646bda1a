//go:build !nobroker

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"wguplink/agent/bugreport"
	"wguplink/agent/identity"
	"wguplink/agent/status"
)

// programTime is what each program that a report asks may take.
const programTime = 10 * time.Second

// report is the command bugreport.
func report(c call) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	o := bugreport.Options{Version: versionLine(), Config: c.config, Staged: c.staged, Now: time.Now(), Run: output}
	o.Uplinks, o.Err = c.pick(nil)
	all, err := statusNow(c.options, o.Uplinks)
	for i, s := range all {
		if key, err := identity.Public(c.tree(), c.keyOptions(o.Uplinks[i])); err == nil {
			o.Public = append(o.Public, key.String())
		}
		for _, g := range s.Gateways {
			o.Public = append(o.Public, g.PublicKey)
		}
	}
	o.Status = func(_ context.Context, w io.Writer) {
		if err != nil {
			fmt.Fprintln(w, err)
		}
		for _, s := range all {
			status.Print(w, s)
		}
	}
	o.Doctor = func(ctx context.Context, w io.Writer) { examine(ctx, c.options, nil, w, w) }
	if err := bugreport.Write(ctx, o, c.stdout); err != nil {
		return c.fail(err)
	}
	if ctx.Err() != nil {
		return c.fail(errors.New("interrupted: the report is not complete"))
	}
	return exitOK
}

// output gives what a program prints on standard output.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	return exec.CommandContext(ctx, name, args...).Output()
}
