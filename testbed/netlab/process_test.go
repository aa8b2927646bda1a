package netlab_test

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"wguplink/testbed/netlab"
)

func start(t *testing.T, h *netlab.Host, helper string) *netlab.Process {
	t.Helper()
	p, err := h.Start(netlab.Command{Path: self(), Env: []string{noSleep, helperEnv + "=" + helper}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestKillLeavesChild(t *testing.T) {
	ctx := testContext(t)
	_, hosts := newLab(t, "a", "b")
	a := hosts[0]
	p := start(t, a, "parent")
	_, err := p.WaitLine(ctx, "child ready")
	must(t, err)
	must(t, p.Kill(ctx))
	if p.State() == nil || p.Wait(ctx) == nil {
		t.Error("killed, but no result")
	}
	procs, err := a.Processes()
	must(t, err)
	if len(procs) != 1 || procs[0].PID == p.PID() || !slices.Equal(procs[0].Args, []string{"/proc/self/exe"}) {
		t.Fatalf("processes after the kill: %+v, want the child alone", procs)
	}
	if others, err := hosts[1].Processes(); err != nil || len(others) != 0 {
		t.Errorf("processes of the other host: %+v, %v", others, err)
	}
	if s, err := netlab.ReadStats(procs[0].PID); err != nil || s.RSS == 0 {
		t.Errorf("stats of the child: %+v, %v", s, err)
	}
	must(t, a.Kill(ctx))
	if procs, err := a.Processes(); err != nil || len(procs) != 0 {
		t.Errorf("processes after Kill: %+v, %v", procs, err)
	}
}

func TestOutput(t *testing.T) {
	ctx := testContext(t)
	_, hosts := newLab(t, "a")
	var stdout, stderr strings.Builder
	p, err := hosts[0].Start(netlab.Command{
		Path: self(), Env: []string{noSleep, helperEnv + "=say"}, Stdout: &stdout, Stderr: &stderr,
	})
	must(t, err)
	if line, err := p.WaitLine(ctx, "seco"); err != nil || line != "second" {
		t.Errorf("WaitLine: %q, %v", line, err)
	}
	if line, err := p.WaitLine(ctx, "las"); err != nil || line != "last" {
		t.Errorf("WaitLine: %q, %v", line, err)
	}
	if line, err := p.WaitLine(ctx, "never"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("WaitLine of what never comes: %q, %v", line, err)
	}
	var exit *exec.ExitError
	if err := p.Wait(ctx); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("Wait: %v, want exit status 3", err)
	}
	if got := stdout.String() + "/" + stderr.String(); got != "first\n\nlast\n/second\n" {
		t.Errorf("output %q", got)
	}
	lines := p.Lines()
	slices.Sort(lines)
	if got := strings.Join(lines, "|"); got != "|first|last|second" {
		t.Errorf("lines %q", got)
	}
}

func TestSignals(t *testing.T) {
	ctx := testContext(t)
	_, hosts := newLab(t, "a")
	p := start(t, hosts[0], "wait")
	_, err := p.WaitLine(ctx, "waiting")
	must(t, err)
	s, err := p.Stats()
	must(t, err)
	if s.RSS < 1<<20 || s.RSS > 1<<30 || s.RSSAnon <= 0 || s.RSSAnon+s.RSSFile > s.RSS || s.Threads < 2 {
		t.Errorf("implausible stats %+v", s)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.WaitLineFrom(short, len(p.Lines()), "waiting"); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitLineFrom: %v, want %v", err, context.Canceled)
	}
	if err := p.Wait(short); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v, want %v", err, context.Canceled)
	}
	must(t, p.Stop(ctx), p.Wait(ctx))
	if _, err := p.WaitLine(ctx, "terminated"); err != nil {
		t.Error(err)
	}
}

// TestPath: programs in folders that a host does not see find themselves, and
// those that it does see are not moved.
func TestPath(t *testing.T) {
	ctx := testContext(t)
	_, hosts := newLab(t, "a")
	p, err := hosts[0].Start(netlab.Command{Path: self(), Argv0: "other-name", Args: []string{"x", ""},
		Env: []string{noSleep, helperEnv + "=executable"}})
	must(t, err)
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("%v: %s", err, p.Lines())
	}
	line, err := p.WaitLine(ctx, "executable /run/lab/")
	must(t, err)
	for _, want := range []string{"argv [other-name x ] in /", "TZ=UTC"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s: no %q", line, want)
		}
	}
	if strings.Contains(line, "NETLAB_STAGE") {
		t.Errorf("%s: the lab's own variable", line)
	}

	p, err = hosts[0].Start(netlab.Command{Path: "/bin/sh", Args: []string{"-c", "echo $0; kill -9 $$"}})
	must(t, err)
	if err := p.Wait(ctx); err == nil || len(p.Lines()) != 1 || p.Lines()[0] != "/bin/sh" {
		t.Errorf("sh: %v, %q", err, p.Lines())
	}

	for _, path := range []string{"/nowhere/to/be/found", "relative", "/etc/passwd"} {
		if p, err := hosts[0].Start(netlab.Command{Path: path}); err == nil {
			t.Errorf("%s: started as %d", path, p.PID())
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %q does not name it", path, err)
		}
	}
	if procs, err := hosts[0].Processes(); err != nil || len(procs) != 0 {
		t.Errorf("processes left: %+v, %v", procs, err)
	}
}
