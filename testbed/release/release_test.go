package release

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const listFile = "vulnerabilities.json"

var today = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// TestList: the list in the tree is whole, the tests that it names exist, and "not linked" is what the Go command says.
func TestList(t *testing.T) {
	l, err := ReadList(listFile, "../..", today)
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{}
	for _, tags := range []string{"netgo,osusergo", "userspace,netgo,osusergo", "nobroker,netgo,osusergo"} {
		cmd := exec.Command("go", "list", "-deps", "-tags", tags, "./agent")
		cmd.Dir, cmd.Stderr = "../..", os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=mips")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, pkg := range strings.Fields(string(out)) {
			linked[pkg] = true
		}
	}
	for _, e := range l.Entries {
		has := slices.ContainsFunc(e.Packages, func(p string) bool { return linked[p] })
		if has && strings.HasPrefix(e.Why, "no package") {
			t.Errorf("%s: a package of %v is linked", e.ID, e.Packages)
		}
		if e.Affected && !has {
			t.Errorf("%s: affects linked code, but no package of %v is linked", e.ID, e.Packages)
		}
	}
}

func TestCheck(t *testing.T) {
	accepted := &Accepted{"contained", "x_test.go:TestX", "2026-12-01"}
	e := Entry{ID: "GO-1", Module: "stdlib", Packages: []string{"p"},
		Ranges: [][2]string{{"", "1.24.8"}, {"1.25.0-0", "1.25.2"}}, Affected: true, Why: "it breaks"}
	module := Entry{ID: "GO-2", Module: "example.org/m", Packages: []string{"p"}, Ranges: [][2]string{{"1.0.0", ""}},
		Affected: true, Why: "it breaks"}
	with := func(f func(*Entry)) Entry { c := e; f(&c); return c }
	for name, tt := range map[string]struct {
		e       Entry
		version string
		today   time.Time
		bad     string // "" means that nothing is wrong
		good    int
	}{
		"below":              {e, "1.23.12", today, "fixed in 1.24.8", 0},
		"fixed":              {e, "1.24.8", today, "", 0},
		"later branch":       {e, "1.25.1", today, "fixed in 1.25.2", 0},
		"candidate":          {e, "1.25rc1", today, "fixed in 1.25.2", 0},
		"later branch fixed": {e, "1.25.2", today, "", 0},
		"newer":              {e, "1.26.8", today, "", 0},
		"no version":         {e, "devel", today, `version "devel" is none`, 0},
		"accepted":           {with(func(e *Entry) { e.Accepted = accepted }), "1.23.12", today, "", 1},
		"accepted till then": {with(func(e *Entry) { e.Accepted = accepted }), "1.23.12", today.AddDate(0, 0, 1),
			"accepted until 2026-12-01 only", 0},
		"not affected":  {with(func(e *Entry) { e.Affected = false }), "1.23.12", today, "", 1},
		"module, never": {module, "1.26.8", today, "fixed in no version", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := Program{Path: "mips-default/wguplink", Go: tt.version, Modules: []Module{{"example.org/m", "1.2.3"}}}
			bad, good := List{Entries: []Entry{tt.e}}.Check(p, tt.today)
			if got := strings.Join(bad, "\n"); !strings.Contains(got, tt.bad) || (tt.bad == "") != (got == "") {
				t.Errorf("got %q, want %q", got, tt.bad)
			}
			if len(good) != tt.good {
				t.Errorf("got %q, want %d", good, tt.good)
			}
		})
	}
}

func TestReadListBad(t *testing.T) {
	for name, tt := range map[string]struct{ list, want string }{
		"old":     {`{"looked":"2026-01-01","source":"there"}`, "look at there again"},
		"no look": {`{}`, "looked"},
		"unknown": {`{"lookd":""}`, "unknown field"},
		"no why":  {entry(`"why":""`), "why is needed"},
		"no end":  {entry(`"why":"x","accepted":{"reason":"r","test":"release_test.go:TestCheck"}`), "end date"},
		"no test": {entry(
			`"why":"x","accepted":{"reason":"r","test":"release_test.go:TestNone","until":"2027-01-01"}`),
			"there is no TestNone"},
		"no file": {entry(
			`"why":"x","accepted":{"reason":"r","test":"none_test.go:TestNone","until":"2027-01-01"}`), "none_test.go"},
		"bad version": {strings.Replace(entry(`"why":"x"`), "1.2.3", "one", 1), `version "one" is none`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			if err := os.WriteFile(path, []byte(tt.list), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadList(path, ".", today); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func entry(rest string) string {
	return `{"looked":"2026-11-28","source":"s","entries":[{"id":"GO-1","module":"m","packages":["p"],"ranges":[["","1.2.3"]],"affected":true,` + rest + `}]}`
}

// TestOwnProgram: of a real program, this test, everything can be said.
func TestOwnProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(self)
	if err != nil {
		t.Fatal(err)
	}
	one, err := BOM([]Program{p}, "0.1.0", "abc", today)
	if err != nil {
		t.Fatal(err)
	}
	two, err := BOM([]Program{p}, "0.1.0", "abc", today)
	if err != nil || string(one) != string(two) {
		t.Fatalf("not the same twice (%v)", err)
	}
	var doc bom
	if err := json.Unmarshal(one, &doc); err != nil {
		t.Fatal(err)
	}
	refs := map[string]bool{doc.Metadata.Component.Ref: true}
	for _, c := range doc.Components {
		refs[c.Ref] = true
	}
	if !refs["pkg:golang/std@"+p.Go] {
		t.Errorf("no Go %s in %s", p.Go, one)
	}
	for _, d := range doc.Dependencies {
		for _, ref := range append(d.DependsOn, d.Ref) {
			if !refs[ref] {
				t.Errorf("%s depends on %s, which is not there", d.Ref, ref)
			}
		}
	}
	if _, err := Read("release_test.go"); err == nil {
		t.Error("a source file is taken for a program")
	}
}

func TestLicences(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("text of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go/LICENSE")
	write("v/example.org/a/LICENSE.md")
	write("v/example.org/a/NOTICE")
	write("v/example.org/b/README")
	p := []Program{{Modules: []Module{{"example.org/a", "1.0.0"}}}}
	out, err := Licences(p, filepath.Join(dir, "v"), filepath.Join(dir, "go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"text of go/LICENSE", "example.org/a v1.0.0: LICENSE.md",
		"text of v/example.org/a/NOTICE"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	p[0].Modules = append(p[0].Modules, Module{"example.org/b", "1.0.0"})
	if _, err := Licences(p, filepath.Join(dir, "v"), filepath.Join(dir, "go")); err == nil ||
		!strings.Contains(err.Error(), "example.org/b v1.0.0 has no licence") {
		t.Errorf("got %v", err)
	}
}
