package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vectors has what the real tool made of its files.
const vectors = "../../../agent/uci/testdata"

func TestMain(m *testing.M) {
	if os.Getenv("BE_UCI") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// bench is a folder of files and one of staged changes.
type bench struct {
	t            *testing.T
	config, save string
}

func newBench(t *testing.T, files, staged map[string]string) bench {
	b := bench{t, t.TempDir(), t.TempDir()}
	for dir, files := range map[string]map[string]string{b.config: files, b.save: staged} {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b
}

// uci calls the tool, and gives what it printed.
func (b bench) uci(args ...string) (string, error) {
	cmd := exec.Command(os.Args[0], append([]string{"-c", b.config, "-P", b.save}, args...)...)
	cmd.Env = append(os.Environ(), "BE_UCI=1")
	out, err := cmd.Output()
	return string(out), err
}

func (b bench) want(text string, args ...string) {
	b.t.Helper()
	got, err := b.uci(args...)
	if err != nil {
		b.t.Errorf("uci %q: %v", args, err)
	}
	if d := cmp.Diff(text, got); d != "" {
		b.t.Errorf("uci %q: %s", args, d)
	}
}

func (b bench) fails(args ...string) {
	b.t.Helper()
	if out, err := b.uci(args...); err == nil {
		b.t.Errorf("uci %q: no error, but %q", args, out)
	}
}

func TestVectors(t *testing.T) {
	for _, name := range []string{"crlf", "dupes", "nothing", "plain", "quoting", "staged"} {
		staged := map[string]string{}
		if name == "staged" {
			staged[name] = read(t, vectors+"/staged.delta")
		}
		b := newBench(t, map[string]string{name: read(t, filepath.Join(vectors, name))}, staged)
		b.want(read(t, filepath.Join(vectors, name+".export")), "export", name)
		b.want(read(t, filepath.Join(vectors, name+".show")), "show", name)
	}
}

func TestCommit(t *testing.T) {
	b := newBench(t, map[string]string{"staged": read(t, vectors+"/staged")},
		map[string]string{"staged": read(t, vectors+"/staged.delta")})
	b.want("", "commit")
	if d := cmp.Diff(read(t, vectors+"/staged.committed"), read(t, filepath.Join(b.config, "staged"))); d != "" {
		t.Error(d)
	}
	b.want("", "changes")
}

func TestStage(t *testing.T) {
	const before = "\nconfig interface 'lan'\n\toption proto 'static'\n\tlist dns '1'\n\nconfig rule\n\toption x 'y'\n"
	b := newBench(t, map[string]string{"network": before}, nil)
	b.want("static\n", "get", "network.lan.proto")
	b.want("interface\n", "get", "network.lan")
	b.fails("get", "network.lan.mtu")
	b.fails("get", "nothing.at.all")
	b.want("", "set", "network.lan.proto=it's", "network.wan=interface")
	b.want("", "set", "network.wan.proto=dhcp")
	b.want("", "add_list", "network.lan.dns=2")
	b.fails("set", "network.none.proto=dhcp")
	b.fails("set", "none.lan.proto=dhcp")
	b.fails("delete", "network.wan.mtu")
	b.fails("frobnicate")
	b.want("1 2\n", "get", "network.lan.dns")
	// Others who stage elsewhere do not see it.
	b.want("static\n", "-t", t.TempDir(), "get", "network.lan.proto")
	if got := read(t, filepath.Join(b.config, "network")); got != before {
		t.Errorf("staging wrote %s", got)
	}
	b.want("", "delete", "network.lan.dns")
	b.want("", "commit", "network")
	const after = "\nconfig interface 'lan'\n\toption proto 'it'\\''s'\n\nconfig rule\n\toption x 'y'\n\nconfig " +
		"interface 'wan'\n\toption proto 'dhcp'\n\n"
	if d := cmp.Diff(after, read(t, filepath.Join(b.config, "network"))); d != "" {
		t.Error(d)
	}
	b.want("", "set", "network.lan.proto=none")
	b.want("", "revert", "network")
	b.want("it's\n", "get", "network.lan.proto")
}
