package status

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
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
