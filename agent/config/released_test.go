package config

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"wguplink/agent/uci"
)

// loadReleased loads the UCI files of each released version with that name, and wants every uplink and gateway of them.
func loadReleased(t *testing.T, name string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "released", "*", name, Package))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := LoadFile(uci.NewTree(filepath.Dir(file), t.TempDir()), file)
		if err != nil {
			t.Errorf("a file of a released version does not load any more: %v", err)
			continue
		}
		gateways := 0
		for _, u := range c.Uplinks {
			gateways += len(u.Gateways)
		}
		for kind, have := range map[string]int{"uplink": len(c.Uplinks), "gateway": gateways} {
			if want := len(regexp.MustCompile(`(?m)^config `+kind+`\b`).FindAll(content, -1)); have != want {
				t.Errorf("%s: %d of %d sections of type %s", file, have, want, kind)
			}
		}
	}
}

func TestReleasedStatic(t *testing.T) { loadReleased(t, "static") }
