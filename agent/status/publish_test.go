package status

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"wguplink/agent/slog"
)

// A status that cannot be written leaves no older one behind, and one line in the log.
func TestPublishWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	p := Publisher{RunDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}
	p.Publish(Snapshot{Uplink: "mesh", State: Connecting}, true, "")
	if s, err := Read(dir, "mesh", Now()); err != nil || s.State != Connecting {
		t.Fatalf("%+v, %v", s, err)
	}
	if err := os.Mkdir(File(dir, "mesh")+".tmp", 0o755); err != nil { // in the way of the new file
		t.Fatal(err)
	}
	for _, state := range []State{Suspect, Connecting, Suspect} {
		p.Publish(Snapshot{Uplink: "mesh", State: state}, true, "")
	}
	if _, err := os.Stat(File(dir, "mesh")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old file is still there: %v", err)
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	if s, ok := p.Last(); !ok || s.State != Suspect {
		t.Errorf("last %+v", s)
	}
	if err := os.Remove(File(dir, "mesh") + ".tmp"); err != nil {
		t.Fatal(err)
	}
	p.Publish(Snapshot{Uplink: "mesh", State: Connecting}, true, "")
	if s, err := Read(dir, "mesh", Now()); err != nil || s.State != Connecting {
		t.Errorf("with room again: %+v, %v", s, err)
	}
}

// An ordinary start says nothing louder than info; what has to be mended is an error.
func TestPublishLevels(t *testing.T) {
	var log bytes.Buffer
	p := Publisher{RunDir: t.TempDir(),
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	gateway := &Gateway{Name: "gw1", PublicKey: "k"}
	steps := []struct {
		snapshot Snapshot
		level    string
	}{
		{Snapshot{State: Starting}, ""},
		{Snapshot{State: Connecting, Cause: NoWAN}, "INFO"},
		{Snapshot{State: Connecting, Cause: Clock}, "INFO"},
		{Snapshot{State: Connecting, Cause: BadKey, Reason: "cannot store the private key"}, "ERROR"},
		{Snapshot{State: Connecting, Cause: Device}, "ERROR"},
		{Snapshot{State: Connecting, Cause: NoHandshake}, "WARN"},
		{Snapshot{State: Connected, Gateway: gateway}, "INFO"},
		{Snapshot{State: Suspect, Cause: NoAnswer, Gateway: gateway}, "WARN"},
		{Snapshot{State: Connecting, Cause: NoWAN}, "WARN"},
		{Snapshot{State: Connecting, Cause: Clock}, "WARN"},
		{Snapshot{State: Connected, Gateway: gateway}, "INFO"},
	}
	for i, s := range steps {
		log.Reset()
		p.Publish(s.snapshot, false, "")
		switch got := log.String(); {
		case s.level == "" && got != "", s.level != "" && !strings.HasPrefix(got, "level="+s.level+" "):
			t.Errorf("step %d: %q, want level %q", i, got, s.level)
		}
	}
}
