//go:build !nobroker

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"wguplink/agent/config"
	"wguplink/agent/json"
	"wguplink/agent/luci"
	"wguplink/agent/ubus"
	"wguplink/agent/uci"
)

// luciTree has the one method under a name that no other package's types are in.
type luciTree struct{ *uci.Tree }

func (t luciTree) SetList(config, section, option string, values ...string) error {
	return t.SetType(config, section, option, uci.TypeList, values...)
}

func init() { luciPlugin = runLuci }

// runLuci answers rpcd, which runs the plug-in luci.wguplink. See package luci.
func runLuci(o options, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := luci.Plugin{
		Tree: luciTree{o.tree()}, File: filepath.Join(o.config, config.Package),
		Changed: func() error { return tellService(o) },
		Doctor:  func(uplink string, start bool) (json.RawMessage, error) { return luciDoctor(o, uplink, start) },
	}
	if err := p.Run(args, stdin, stdout); err != nil {
		fmt.Fprintf(stderr, "wguplink luci: %v\n", err)
		return exitUsage
	}
	return exitOK
}

// tellService does what rpcd does after "uci apply": procd runs the start script's reload, and that starts or stops the
// agent, or has it read its configuration.
func tellService(o options) error {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	c, err := ubus.Dial(ctx, o.ubus)
	if err == nil {
		defer c.Close()
		_, err = c.Call(ctx, "service", "event", ubus.Table{
			{Name: "type", Value: "config.change"},
			{Name: "data", Value: ubus.Table{{Name: "package", Value: config.Package}}},
		})
	}
	if err != nil {
		return fmt.Errorf("saved, but the service could not be told (%w): run /etc/init.d/wguplink reload", err)
	}
	return nil
}

// Files in the run directory: findings of the last examination, and the lock of the one under way.
const (
	doctorFile = "luci-doctor.json"
	doctorLock = "luci-doctor.lock"
)

// luciDoctor gives the findings of the last examination. start begins one, in a process of its own: all stages together
// may take longer than a browser waits.
func luciDoctor(o options, uplink string, start bool) (json.RawMessage, error) {
	if err := os.MkdirAll(o.run, 0o755); err != nil {
		return nil, fmt.Errorf("make the run directory: %w", err)
	}
	file := filepath.Join(o.run, doctorFile)
	lock, err := os.OpenFile(filepath.Join(o.run, doctorLock), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil // one is under way
	} else if err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if start {
		return nil, startDoctor(o, uplink, file, lock)
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no examination was started")
	}
	if err != nil {
		return nil, err
	}
	if !json.Valid(b) {
		return nil, fmt.Errorf("the examination ended without findings: %.200s", b)
	}
	return b, nil
}

// startDoctor starts the program once more; it has the lock for as long as it runs.
func startDoctor(o options, uplink, file string, lock *os.File) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	args := []string{"wguplink", "doctor", "--json", "--config", o.config, "--staged", o.staged, "--run",
		o.run, "--state", o.state}
	if o.ubus != "" {
		args = append(args, "--ubus", o.ubus)
	}
	if uplink != "" {
		args = append(args, uplink)
	}
	_, err = os.StartProcess("/proc/self/exe", args, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{null, out, null, lock}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start the doctor: %w", err)
	}
	return nil
}
