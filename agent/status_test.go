package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/status"
	"wguplink/agent/uplink"
)

// agentOf stands in for a running agent: it holds the lock of an uplink, and has written a status.
func agentOf(t *testing.T, dir string, s status.Snapshot) (end func()) {
	t.Helper()
	run := filepath.Join(dir, "run")
	unlock, err := uplink.Await(context.Background(), run, s.Uplink)
	if err != nil {
		t.Fatal(err)
	}
	if err := status.Write(run, s); err != nil {
		t.Fatal(err)
	}
	return unlock
}

const twoUplinks = goodConfig + `	option uplink 'mesh'

config uplink 'other'
	option mode 'layer3'
	option interface 'wg_other'

config gateway 'far'
	option uplink 'other'
	option public_key '/////////////////////////////////////////wA='
	list endpoint '192.0.2.1:51820'
	option link_address '10.0.0.1'
	list allowed_ips '10.0.0.0/8'
`

// The exit code tells how the uplinks are; docs/ubus.md has the table.
func TestStatusCodes(t *testing.T) {
	for state, want := range map[status.State]int{
		status.Connected: exitOK, status.Suspect: exitImpaired, status.Impaired: exitImpaired,
		status.Connecting: exitAway, status.Starting: exitAway,
	} {
		dir, flags := folders(t, goodConfig)
		end := agentOf(t, dir, status.Snapshot{Uplink: "mesh", State: state})
		code, stdout, stderr := run(append([]string{"status"}, flags...)...)
		if code != want || !strings.HasPrefix(stdout, "mesh: "+string(state)+" for ") {
			t.Errorf("%s: exit code %d, want %d: %s%s", state, code, want, stdout, stderr)
		}
		end()
		if code, stdout, _ := run(append([]string{"status"}, flags...)...); code != exitStopped ||
			!strings.Contains(stdout, "no agent runs") {
			t.Errorf("stopped: exit code %d: %s", code, stdout)
		}
	}
	dir, flags := folders(t, twoUplinks)
	defer agentOf(t, dir, status.Snapshot{Uplink: "mesh", State: status.Connected})()
	second := agentOf(t, dir, status.Snapshot{Uplink: "other", State: status.Impaired, Cause: status.NoWAN})
	for args, want := range map[string]int{"status": exitImpaired, "status mesh": exitOK,
		"status other": exitImpaired} {
		if code, stdout, stderr := run(append(strings.Fields(args), flags...)...); code != want {
			t.Errorf("%s: exit code %d, want %d: %s%s", args, code, want, stdout, stderr)
		}
	}
	second()
	off := strings.Replace(twoUplinks, "config uplink 'other'\n", "config uplink 'other'\n\toption enabled '0'\n", 1)
	if err := os.WriteFile(filepath.Join(dir, "wguplink"), []byte(off), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]int{"status": exitOK, "status mesh": exitOK, "status other": exitStopped} {
		if code, stdout, stderr := run(append(strings.Fields(args), flags...)...); code != want {
			t.Errorf("one switched off, %s: exit code %d, want %d: %s%s", args, code, want, stdout, stderr)
		}
	}
}

// The command line has the schema of ubus, also without any uplink.
func TestStatusSchema(t *testing.T) {
	_, flags := folders(t, "config global 'global'\n")
	code, stdout, stderr := run(append([]string{"status", "--json"}, flags...)...)
	var all map[string]map[string]any
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || all["uplinks"] == nil || len(all) != 1 ||
		code != exitStopped || stderr != "" {
		t.Errorf("no uplink: exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if code, stdout, _ := run(append([]string{"status"}, flags...)...); code != exitStopped ||
		!strings.HasPrefix(stdout, "no uplink in ") {
		t.Errorf("no uplink: exit code %d: %s", code, stdout)
	}
	golden, err := os.ReadFile("status/testdata/status.json")
	if err != nil {
		t.Fatal(err)
	}
	var s status.Snapshot
	var want, got bytes.Buffer
	if err := json.Unmarshal(golden, &s); err != nil {
		t.Fatal(err)
	}
	if !printStatus(call{options: options{json: true}, stdout: &got, stderr: &got}, []status.Snapshot{s}) {
		t.Fatal(got.String())
	}
	if err := json.Indent(&want, []byte(`{"uplinks":{"mesh":`+string(golden)+"}}"), "", "  "); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), strings.TrimSuffix(got.String(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
