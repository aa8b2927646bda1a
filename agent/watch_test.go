//go:build !nobroker

package main

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"wguplink/agent/status"
)

// following starts status --watch and gives its lines.
func following(t *testing.T, flags []string, more ...string) (next func() string, stop func() int) {
	t.Helper()
	v := find("status")
	o, rest, err := parseOptions(v, append(append(flags, "--ubus", "/nonexistent"), more...))
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	c := call{o, rest, w, w}
	uplinks, err := o.pick(nil)
	if err != nil {
		t.Fatal(err)
	}
	code := make(chan int, 1)
	go func() { code <- follow(ctx, c, uplinks); w.Close() }()
	lines := bufio.NewScanner(r)
	next = func() string {
		if !lines.Scan() {
			t.Fatalf("the end: %v", lines.Err())
		}
		return lines.Text()
	}
	return next, func() int {
		cancel()
		go io.Copy(io.Discard, r)
		return <-code
	}
}

// Each change is told once, also one that another program writes. So is the end of the agent.
func TestWatch(t *testing.T) {
	dir, flags := folders(t, goodConfig)
	s := status.Snapshot{Uplink: "mesh", PID: 1, State: status.Connecting,
		Changes: []status.Change{{At: 1, State: status.Starting}}}
	end := agentOf(t, dir, s)
	next, stop := following(t, flags)
	for line := next(); !strings.Contains(line, "starting"); line = next() {
	}
	write := func(state status.State, gateway string, at status.Uptime) {
		s.State = state
		s.Changes = append(s.Changes, status.Change{At: at, State: state, Gateway: gateway})
		if err := status.Write(filepath.Join(dir, "run"), s); err != nil {
			t.Fatal(err)
		}
	}
	write(status.Connected, "gw1", 2)
	if line := next(); !strings.HasSuffix(line, " mesh: connected (gw1)") || strings.Count(line[:8], ":") != 2 {
		t.Errorf("connected: %q", line)
	}
	write(status.Suspect, "gw1", 3)
	if line := next(); !strings.HasSuffix(line, " mesh: suspect (gw1)") {
		t.Errorf("suspect: %q", line)
	}
	end()
	if line := next(); !strings.Contains(line, " mesh: stopped: no agent runs") {
		t.Errorf("ended: %q", line)
	}
	s.PID, s.Changes = 2, nil
	s.Changes = append(s.Changes, status.Change{At: 1, State: status.Starting})
	defer agentOf(t, dir, s)()
	if line := next(); !strings.HasSuffix(line, " mesh: starting") {
		t.Errorf("the next agent: %q", line)
	}
	if code := stop(); code != exitImpaired {
		t.Errorf("exit code %d", code)
	}
}

// With --json each change is one line of the whole.
func TestWatchJSON(t *testing.T) {
	dir, flags := folders(t, goodConfig)
	s := status.Snapshot{Uplink: "mesh", PID: 1, State: status.Connecting,
		Changes: []status.Change{{At: 1, State: status.Starting}}}
	defer agentOf(t, dir, s)()
	next, stop := following(t, flags, "--json")
	if line := next(); !strings.HasPrefix(line, `{"uplinks":{"mesh":{`) || !strings.Contains(line, `"connecting"`) {
		t.Errorf("first: %s", line)
	}
	s.State, s.Changes = status.Connected, append(s.Changes, status.Change{At: 2, State: status.Connected})
	if err := status.Write(filepath.Join(dir, "run"), s); err != nil {
		t.Fatal(err)
	}
	if line := next(); !strings.Contains(line, `"state":"connected"`) {
		t.Errorf("second: %s", line)
	}
	if code := stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
