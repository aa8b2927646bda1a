package hooks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFolder(t *testing.T) {
	b := newBench(t, Options{})
	for _, name := range []string{"10-good", "run.sh", "Good", ".hidden", "x~", "x.bak", "x.orig", "x.rej",
		"x.swp", "x.tmp", "x-opkg",
		"x.apk-new", "x.dpkg-dist", "x.dpkg-old", "x.ipk-new", "x.ucf-old"} {
		b.hook(name, "")
	}
	b.file("README", "not executable", 0o644)
	b.file("group", "#!/bin/sh\n", 0o775)
	b.file("world", "#!/bin/sh\n", 0o757)
	b.file("foreign", "#!/bin/sh\n", 0o755)
	if err := os.Chown(filepath.Join(b.dir, "foreign"), 1000, 1000); err != nil {
		t.Fatalf("this test needs root: %v", err)
	}
	if err := os.Mkdir(filepath.Join(b.dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"linked": "10-good", "broken": "nowhere", "unsafe-link": "world"} {
		if err := os.Symlink(to, filepath.Join(b.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	names, refused, err := hooksIn(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"10-good", "Good", "linked", "run.sh"}, names); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	writable := func(mode string) string {
		return "others than its owner may write it (mode " + mode + "): take that away (chmod go-w)"
	}
	want := map[string]string{
		filepath.Join(b.dir, "group"):       writable("0775"),
		filepath.Join(b.dir, "world"):       writable("0757"),
		filepath.Join(b.dir, "unsafe-link"): writable("0757"),
		filepath.Join(b.dir, "foreign"):     "it belongs to user 1000: make it root's (chown root)",
	}
	if diff := cmp.Diff(want, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

// What is refused is said once, and again when it is refused anew.
func TestRefusedOnce(t *testing.T) {
	b := newBench(t, Options{})
	b.file("world", "#!/bin/sh\n", 0o757)
	b.hook("z", "")
	b.start()
	path := filepath.Join(b.dir, "world")
	post := func() {
		b.Post(Event{Event: Up, Uplink: "mesh"})
		if r := b.next(); r.Hook == "world" {
			b.next()
		}
	}
	count := func() (n int) {
		for _, r := range b.log() {
			if r.Path == path && r.Level == "WARN" && r.Reason != "" {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		mode os.FileMode
		want int
	}{{0o757, 1}, {0o757, 1}, {0o755, 1}, {0o757, 2}, {0o777, 3}} {
		if err := os.Chmod(path, step.mode); err != nil {
			t.Fatal(err)
		}
		post()
		if n := count(); n != step.want {
			t.Errorf("after mode %o: %d warnings, want %d", step.mode, n, step.want)
		}
	}
	if err := os.Chmod(b.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	b.Post(Event{Event: Up, Uplink: "mesh"})
	b.stop()
	all := b.log()
	if last := all[len(all)-1]; last.Path != b.dir || last.Reason == "" {
		t.Errorf("a folder that all users may write: %+v", last)
	}
}

func TestNoFolder(t *testing.T) {
	b := newBench(t, Options{Dir: filepath.Join(t.TempDir(), "none")})
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh"})
	b.stop()
	if all := b.log(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestUnreadableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{Dir: file})
	b.start()
	b.Post(Event{Event: Up, Uplink: "mesh"})
	b.stop()
	if all := b.log(); len(all) != 1 || all[0].Level != "WARN" || all[0].Err == "" {
		t.Errorf("%+v", all)
	}
}
