package identity

import (
	"os"
	"path/filepath"
	"testing"
)

// A node of the original's has both files; one of ours gets the second, which is kept right and otherwise left alone.
func TestPublicFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "parker")
	o := Options{KeyFile: filepath.Join(dir, "wg-privkey"), PublicFile: filepath.Join(dir, "wg-pubkey")}
	id, err := Load(newFakeTree(t.TempDir()), o)
	if err != nil || id.PublicFileErr != nil || id.Origin != "generated" {
		t.Fatal(id, err, id.PublicFileErr)
	}
	read := func() string {
		b, err := os.ReadFile(o.PublicFile)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := id.Public.String() + "\n"
	if got := read(); got != want {
		t.Errorf("public key %q, want %q", got, want)
	}
	before, _ := os.Stat(o.PublicFile)
	if before.Mode().Perm() != 0o644 {
		t.Errorf("mode %v: others are to read it", before.Mode())
	}
	again, err := Load(newFakeTree(t.TempDir()), o)
	if after, _ := os.Stat(o.PublicFile); err != nil || again.Public != id.Public || !os.SameFile(before, after) {
		t.Errorf("the second Load wrote it again: %v", err)
	}
	if err := os.WriteFile(o.PublicFile, []byte("of another key\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(newFakeTree(t.TempDir()), o); err != nil || read() != want {
		t.Errorf("a wrong public key stayed: %q, %v", read(), err)
	}
	// A folder in its place is no reason to be without a key.
	os.Remove(o.PublicFile)
	if err := os.MkdirAll(filepath.Join(o.PublicFile, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if id, err := Load(newFakeTree(t.TempDir()), o); err != nil || id.PublicFileErr == nil {
		t.Errorf("%v, %v: want the key, and why the file is not written", err, id.PublicFileErr)
	}
}
