package guest

import (
	"os"
	"path/filepath"
	"testing"
)

// TestKeep writes a folder to a device and reads it back, over what an earlier and longer one has left there.
func TestKeep(t *testing.T) {
	device := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(device, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := restore(t.TempDir(), device); err != nil {
		t.Fatalf("an empty disk: %v", err)
	}
	for _, content := range []string{string(make([]byte, 100000)), "option private_key 'x'\n"} {
		from, to := t.TempDir(), t.TempDir()
		if err := os.MkdirAll(filepath.Join(from, "config"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, "config", "wguplink"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := save(from, device); err != nil {
			t.Fatal(err)
		}
		if err := restore(to, device); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(to, "config", "wguplink")
		if got, err := os.ReadFile(name); err != nil || string(got) != content {
			t.Errorf("%d bytes came back of %d, %v", len(got), len(content), err)
		}
		if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("permissions %v, %v", fi.Mode(), err)
		}
	}
	if err := restore(t.TempDir(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no disk, and no error")
	}
}
