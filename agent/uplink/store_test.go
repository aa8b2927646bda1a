package uplink

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wguplink/agent/config"
	"wguplink/agent/slog"
	"wguplink/peerselector"
)

// What cannot be kept is said once, until something could be kept again. Nothing half-written is left.
func TestStoreSaysItOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var log bytes.Buffer
	s := store{dir: dir, uplink: "mesh", log: slog.New(slog.NewTextHandler(&log, nil))}
	cfg := config.Uplink{Name: "mesh"}
	save := func(warnings int) {
		t.Helper()
		for range 3 {
			s.saveGateway(&cfg, peerselector.Peer{Name: "gw1"})
			s.saveNetwork([]byte("signed"))
		}
		if got := strings.Count(log.String(), "level=WARN"); got != warnings {
			t.Errorf("%d warnings, want %d:\n%s", got, warnings, &log)
		}
	}
	save(1)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	save(1)
	if p, ok := s.gateway(&cfg); !ok || p.Name != "gw1" {
		t.Errorf("%+v, %v", p, ok)
	}
	// In the place of the files are folders, which nothing is renamed to.
	for _, name := range []string{s.gatewayFile(), s.networkFile()} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(name, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	save(2)
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) != 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}
