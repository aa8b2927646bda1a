package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Where no new key may be made, a stored one is used, and else there is none: nothing is written, nothing imported.
func TestNoNew(t *testing.T) {
	alice, bob := keyOf(t, aliceHex), keyOf(t, bobHex)
	for name, text := range map[string]string{"none": "mesh.enabled=1\n", "empty": "mesh.private_key=\n",
		"no package": "damaged\n"} {
		tree, o := inUCI(t, map[string]string{"wguplink": text, "fastd": "mesh_vpn.secret=" + aliceHex + "\n"})
		o.NoNew = "the mistake"
		for what, try := range map[string]func() error{
			"load":  func() error { _, err := Load(tree, o); return err },
			"check": func() error { return Check(tree, o) },
		} {
			if err := try(); err == nil || errors.Is(err, os.ErrNotExist) || what == "load" &&
				!strings.Contains(err.Error(), "the mistake") {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if content(t, tree.file("wguplink")) != text || len(tree.commits) != 0 {
			t.Errorf("%s: written", name)
		}
	}
	tree, o := inUCI(t, map[string]string{"wguplink": "mesh.private_key=" + bob.String() + "\n"})
	o.NoNew = "the mistake"
	if id, err := Load(tree, o); err != nil || *id.Private.Reveal() != bob {
		t.Errorf("the stored key is not used: %v", err)
	}
	// Found again in a damaged file, by its public half.
	tree, o = inUCI(t, map[string]string{"wguplink": "option private_key '" + bob.String() + "'=" +
		alice.String() + "\n"})
	o.NoNew = "the mistake"
	for public, want := range map[wgtypes.Key]wgtypes.Key{alice.PublicKey(): alice,
		bob.PublicKey(): bob, {}: {}, alice: {}} {
		o.Found = Lost{File: tree.file("wguplink"), Public: public}
		id, err := Load(tree, o)
		if (err == nil) != (want != wgtypes.Key{}) || *id.Private.Reveal() != want {
			t.Errorf("%v: %v, %v", public, id, err)
		}
	}
	// Or in a place that it may be imported from, though not the first.
	tree, o = inUCI(t, map[string]string{"wguplink": "damaged\n", "fastd": "mesh_vpn.secret=" + aliceHex + "\n",
		"network": "wg_mesh.private_key=" + bob.String() + "\n"})
	o.NoNew, o.Found.Public = "the mistake", bob.PublicKey()
	if id, err := Load(tree, o); err != nil || *id.Private.Reveal() != bob || id.Origin != "found in "+secondPlace {
		t.Errorf("%+v, %v", id, err)
	}
	if public, err := Public(tree, o); err != nil || public != bob.PublicKey() {
		t.Errorf("%v, %v", public, err)
	}
	for _, text := range []string{"", "=", strings.Repeat("=", 100), strings.Repeat("A", 43),
		strings.Repeat("\x00", 300)} {
		if err := os.WriteFile(tree.file("wguplink"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, ok := (Lost{tree.file("wguplink"), bob.PublicKey()}).inFile(); ok {
			t.Errorf("%q: %v", text, key)
		}
	}
}

// On a disk that is full or read-only a node has a key in memory, the same one until it can be stored.
func TestNoRoom(t *testing.T) {
	for _, why := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS} {
		tree, o := inUCI(t, map[string]string{"wguplink": "mesh.enabled=1\n"})
		tree.commitErr = &os.PathError{Op: "write", Path: "x", Err: why}
		first, err := Load(tree, o)
		if err != nil || !errors.Is(first.NotStored, why) || first.Private.IsZero() ||
			!strings.Contains(first.NotStored.Error(), place) {
			t.Fatalf("%v: %+v, %v", why, first, err)
		}
		o.Unstored = first.Private
		second, err := Load(tree, o)
		if err != nil || second.NotStored == nil || !second.Private.Equal(first.Private) {
			t.Errorf("%v: %+v, %v", why, second, err)
		}
		tree.commitErr = nil
		third, err := Load(tree, o)
		if err != nil || third.NotStored != nil || !third.Private.Equal(first.Private) {
			t.Errorf("%v: %+v, %v", why, third, err)
		}
		if fourth, err := Load(tree, Options{Package: o.Package, Section: o.Section, Option: o.Option}); err != nil ||
			!fourth.Private.Equal(first.Private) {
			t.Errorf("%v: %+v, %v", why, fourth, err)
		}
	}
}

// A file system that is really full, or really read-only: what is there stays, and nothing is left beside it.
func TestKeyFileWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	fill := func() {
		f, err := os.Create(filler)
		must(err)
		defer f.Close()
		for size := 4096; size > 0; size /= 2 {
			for err = nil; err == nil; {
				_, err = f.Write(make([]byte, size))
			}
		}
	}
	o := Options{KeyFile: filepath.Join(dir, "keys", "mesh.key")}
	fill()
	id, err := Load(nil, o)
	if err != nil || !errors.Is(id.NotStored, unix.ENOSPC) {
		t.Fatalf("full: %+v, %v", id, err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(o.KeyFile)); len(entries) > 1 {
		t.Errorf("left behind beside the lock: %v", entries)
	}
	must(unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=64k"))
	for _, file := range []string{o.KeyFile, filepath.Join(dir, "new", "key")} {
		again, err := Load(nil, Options{KeyFile: file, Unstored: id.Private})
		if err != nil || !errors.Is(again.NotStored, unix.EROFS) || !again.Private.Equal(id.Private) {
			t.Errorf("read-only: %+v, %v", again, err)
		}
	}
	must(unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=64k"))
	must(os.Remove(filler))
	o.Unstored = id.Private
	stored, err := Load(nil, o)
	if err != nil || stored.NotStored != nil || !stored.Private.Equal(id.Private) {
		t.Errorf("room again: %+v, %v", stored, err)
	}
	// A stored key is loaded from a full disk, too.
	fill()
	if id, err := Load(nil, o); err != nil || !id.Private.Equal(stored.Private) {
		t.Errorf("full, with a key: %v", err)
	}
}
