package cpio_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"wguplink/testbed/qemu/cpio"
)

// TestUnpacked lets the real cpio take an archive apart.
func TestUnpacked(t *testing.T) {
	var b bytes.Buffer
	a := cpio.New(&b)
	err := errors.Join(
		a.File("/etc/config/one", 0o600, []byte("1")),
		a.File("/etc/config/two", 0o644, bytes.Repeat([]byte("xyz"), 100000)),
		a.File("init", 0o755, nil),
		a.Link("/bin/sh", "busybox"),
		a.Dir("/proc"),
		a.Close(),
	)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.Len() % 4; n != 0 {
		t.Errorf("%d bytes over a multiple of four", n)
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-i", "--quiet", "--no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio (package cpio, see scripts/setup): %v\n%s", err, out)
	}
	for name, want := range map[string]os.FileMode{
		"etc/config/one": 0o600, "etc/config/two": 0o644, "init": 0o755, "proc": os.ModeDir | 0o755,
		"bin/sh": os.ModeSymlink | 0o777,
	} {
		if fi, err := os.Lstat(filepath.Join(dir, name)); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, fi, err, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "etc/config/two")); err != nil || len(got) != 300000 {
		t.Errorf("etc/config/two has %d bytes, %v", len(got), err)
	}
	if got, err := os.Readlink(filepath.Join(dir, "bin/sh")); err != nil || got != "busybox" {
		t.Errorf("bin/sh points to %q, %v", got, err)
	}
}
