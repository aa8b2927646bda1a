//go:build !nobroker

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"wguplink/agent/bugreport"
	"wguplink/agent/identity"
	"wguplink/agent/status"
)

// programTime is what each program that a report asks may take.
const programTime = 10 * time.Second

// examination is the doctor; a test puts another in its place, for the doctor makes devices.
var examination = examine

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
	o.Doctor = func(ctx context.Context, w io.Writer) { examination(ctx, c.options, nil, w, w) }
	if err := bugreport.Write(ctx, o, c.stdout); err != nil {
		return c.fail(err)
	}
	if ctx.Err() != nil {
		return c.fail(errors.New("interrupted: the report is not complete"))
	}
	return exitOK
}

// output gives what a program prints on standard output. Package os/exec would do it, and takes 8 KiB of flash.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	path := ""
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && path == "" && info.Mode().IsRegular() &&
			info.Mode()&0o111 != 0 {
			path = filepath.Join(dir, name)
		}
	}
	if path == "" {
		return nil, fmt.Errorf("there is no program %s", name)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	child, err := os.StartProcess(path, append([]string{name}, args...), &os.ProcAttr{Files: []*os.File{nil, w, nil}})
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	// what it has started may hold the pipe
	stop := context.AfterFunc(ctx, func() { child.Kill(); r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	out, rerr := io.ReadAll(r)
	end, err := child.Wait()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && rerr != nil:
		err = rerr
	case err == nil && !end.Success():
		err = errors.New(end.String())
	}
	return out, err
}
