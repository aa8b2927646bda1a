package uci

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const network = `
config interface 'wan'
	option proto 'dhcp'
	list dns '192.0.2.1'
	list dns '192.0.2.2'
	option auto 'on'

config rule
	option mark '1'

config interface 'lan'
	option auto 'off'
	option proto 'maybe'

config rule
	option mark '2'

`

func TestRead(t *testing.T) {
	tree, dir := tree(t, map[string]string{"network": network},
		map[string]string{"network": "network.wan.proto='static'\n"})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	names, ok := tree.GetSections("network", "")
	if !ok || !cmp.Equal(names, []string{"wan", "cfg0292bd", "lan", "cfg0492bd"}) {
		t.Errorf("sections %q %v", names, ok)
	}
	if names, ok := tree.GetSections("network", "none"); !ok || names != nil {
		t.Errorf("sections of no type: %q %v", names, ok)
	}
	if _, ok := tree.GetSections("absent", ""); ok {
		t.Error("sections of no package")
	}
	if names := tree.Options("network", "wan"); !cmp.Equal(names, []string{"proto", "dns", "auto"}) {
		t.Errorf("options %q", names)
	}
	for _, tt := range []struct {
		section, option string
		want            []string
	}{
		{"wan", "proto", []string{"static"}},
		{"wan", "dns", []string{"192.0.2.1", "192.0.2.2"}},
		{"wan", "none", nil},
		{"none", "proto", nil},
		{"cfg0292bd", "mark", []string{"1"}},
		{"@rule[0]", "mark", []string{"1"}},
		{"@rule[1]", "mark", []string{"2"}},
		{"@rule[-1]", "mark", []string{"2"}},
		{"@rule[-2]", "mark", []string{"1"}},
		{"@[2]", "auto", []string{"off"}},
		{"@rule[2]", "mark", nil},
		{"@rule[-3]", "mark", nil},
		{"@rule[x]", "mark", nil},
		{"@rule[0", "mark", nil},
		{"@rule", "mark", nil},
	} {
		got, ok := tree.Get("network", tt.section, tt.option)
		if !cmp.Equal(got, tt.want) || ok != (tt.want != nil) {
			t.Errorf("%s.%s: %q %v, want %q", tt.section, tt.option, got, ok, tt.want)
		}
		last, ok := tree.GetLast("network", tt.section, tt.option)
		if ok != (tt.want != nil) || ok && last != tt.want[len(tt.want)-1] {
			t.Errorf("%s.%s: last %q %v", tt.section, tt.option, last, ok)
		}
	}
	if typ, ok := tree.SectionType("network", "@rule[0]"); !ok || typ != "rule" {
		t.Errorf("type %q %v", typ, ok)
	}
	if _, ok := tree.SectionType("network", "none"); ok {
		t.Error("type of no section")
	}
	// What was handed out is the caller's.
	dns, _ := tree.Get("network", "wan", "dns")
	dns[0] = "changed"
	if dns, _ := tree.Get("network", "wan", "dns"); dns[0] != "192.0.2.1" {
		t.Error("a caller changed the tree")
	}
}

func TestGetBool(t *testing.T) {
	tree, _ := tree(t, map[string]string{"t": "config t n\n"}, nil)
	for words, want := range map[string][2]bool{
		"1 on true yes enabled":        {true, true},
		"0 off false no disabled":      {false, true},
		"2 On TRUE maybe 01 enable -1": {false, false},
	} {
		for _, word := range strings.Fields(words) {
			must(t, tree.Set("t", "n", "o", word))
			if value, ok := tree.GetBool("t", "n", "o"); value != want[0] || ok != want[1] {
				t.Errorf("%s: %v %v", word, value, ok)
			}
		}
	}
	if value, ok := tree.GetBool("t", "n", "absent"); value || ok {
		t.Errorf("absent: %v %v", value, ok)
	}
}

func TestLoadConfig(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": "config t n\noption o 1\n"},
		map[string]string{"absent": "absent.n='t'\n"})
	for _, force := range []bool{false, true} {
		if err := tree.LoadConfig("absent", force); !errors.Is(err, os.ErrNotExist) ||
			!strings.Contains(err.Error(), filepath.Join(dir, "absent")) {
			t.Errorf("absent: %v", err)
		}
	}
	must(t, tree.LoadConfig("t", false))
	must(t, os.WriteFile(filepath.Join(dir, "t"), []byte("config t n\noption o 2\n"), 0o600))
	must(t, tree.LoadConfig("t", false))
	if v, _ := tree.GetLast("t", "n", "o"); v != "1" {
		t.Errorf("read again without force: %q", v)
	}
	must(t, tree.Set("t", "n", "p", "mine"))
	must(t, tree.LoadConfig("t", true))
	if v, _ := tree.GetLast("t", "n", "o"); v != "2" {
		t.Errorf("not read again with force: %q", v)
	}
	if v, ok := tree.GetLast("t", "n", "p"); ok {
		t.Errorf("our change outlived force: %q", v)
	}
	// A file that broke is an error, and does not show what it was.
	must(t, os.WriteFile(filepath.Join(dir, "t"), []byte("option\n"), 0o600))
	var bad *ParseError
	if err := tree.LoadConfig("t", true); !errors.As(err, &bad) {
		t.Errorf("broken: %v", err)
	}
	if v, ok := tree.GetLast("t", "n", "o"); ok {
		t.Errorf("broken, but has %q", v)
	}
	for _, name := range []string{"", "a/b", "..", ".hidden", "a.b", "a b", "/etc/passwd", "ä"} {
		if err := tree.LoadConfig(name, false); !errors.Is(err, errPackage) {
			t.Errorf("package %q: %v", name, err)
		}
	}
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for _, name := range []string{"folder", "pipe"} {
		if err := tree.LoadConfig(name, false); !errors.Is(err, errIrregular) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSet(t *testing.T) {
	tree, dir := tree(t,
		map[string]string{"t": "config t n\noption a 1\nlist l x\nlist l y\noption z 1\nconfig u\nconfig u\n"}, nil)
	must(t, tree.Set("t", "n", "a", "2"))
	must(t, tree.Set("t", "n", "l", "p", "q", "r"))
	must(t, tree.Set("t", "@u[1]", "o", "it's\n\ttwo lines"))
	must(t, tree.SetType("t", "@u[-1]", "l", TypeList, "one"))
	must(t, tree.Set("t", "n", "z", ""))
	must(t, tree.Set("t", "n", "none", ""))
	must(t, tree.AddSection("t", "new", "u"))
	must(t, tree.AddSection("t", "new", "u"))
	must(t, tree.Set("t", "new", "o", "1"))
	must(t, tree.AddSection("t", "", "v"))
	must(t, tree.Set("t", "@v[-1]", "first", "1"))
	must(t, tree.AddSection("t", "", "v"))
	must(t, tree.Set("t", "@v[-1]", "second", "1"))
	// The first one stays first by its name, although it was found by index.
	must(t, tree.DelSection("t", "@u[0]"))
	want := "t.n=t\nt.n.a='2'\nt.n.l='p' 'q' 'r'\nt.@u[0]=u\nt.@u[0].o='it'\\''s\n\ttwo lines'\nt.@u[0].l='one'\n" +
		"t.new=u\nt.new.o='1'\nt.@v[0]=v\nt.@v[0].first='1'\nt.@v[1]=v\nt.@v[1].second='1'\n"
	for _, when := range []string{"before the commit", "after it", "in another tree"} {
		got, err := tree.Show("t")
		must(t, err)
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", when, diff)
		}
		must(t, tree.Commit("t"))
		if when == "after it" {
			tree = NewTree(dir, "")
		}
	}
}

// TestSetKeeps: the slice stays the caller's.
func TestSetKeeps(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": "config t n\n"}, nil)
	values := []string{"a", "b"}
	must(t, tree.Set("t", "n", "l", values...))
	values[0] = "changed"
	if got, _ := tree.Get("t", "n", "l"); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("reads %q", got)
	}
	must(t, tree.Commit())
	if got := content(t, dir, "t"); got != "\nconfig t 'n'\n\tlist l 'a'\n\tlist l 'b'\n\n" {
		t.Errorf("committed %q", got)
	}
}

func TestDel(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": "config t n\noption a 1\nlist l x\nconfig t m\n"}, nil)
	must(t, tree.Del("t", "n", "a"))
	must(t, tree.Del("t", "n", "l"))
	must(t, tree.Del("t", "n", "none"))
	must(t, tree.Del("t", "none", "a"))
	must(t, tree.DelSection("t", "m"))
	must(t, tree.DelSection("t", "none"))
	must(t, tree.Del("absent", "n", "a"))
	must(t, tree.DelSection("absent", "n"))
	must(t, tree.Commit())
	if got := content(t, dir, "t"); got != "\nconfig t 'n'\n\n" {
		t.Errorf("%q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("deleting made a file: %v", err)
	}
	if err := tree.LoadConfig("absent", false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("deleting made a package: %v", err)
	}
}

func TestSetRefuses(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": "config t n\noption a 1\n", "broken": "nonsense\n"}, nil)
	const secret = "SeCrEt"
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"no section":       {tree.Set("t", "none", "a", secret), "t.none.a"},
		"no such index":    {tree.Set("t", "@t[1]", "a", secret), "@t[1]"},
		"option name":      {tree.Set("t", "n", "a-b", secret), `"a-b"`},
		"empty option":     {tree.Set("t", "n", "", secret), `""`},
		"NUL":              {tree.Set("t", "n", "a", secret+"\x00"), "0x00 at byte 6"},
		"escape in a list": {tree.Set("t", "n", "a", "x", secret+"\x1b"), "0x1b at byte 6"},
		"two values":       {tree.SetType("t", "n", "a", TypeOption, secret, secret), "not 2"},
		"package":          {tree.Set("../t", "n", "a", secret), "../t"},
		"broken package":   {tree.Set("broken", "n", "a", secret), "invalid command"},
		"section name":     {tree.AddSection("t", "a b", "t"), `"a b"`},
		"section type":     {tree.AddSection("t", "s", "t t"), `"t t"`},
		"no type":          {tree.AddSection("t", "", ""), `""`},
		"other type":       {tree.AddSection("t", "n", "u"), `"u"`},
		"option to delete": {tree.Del("t", "n", "a b"), `"a b"`},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s in it", name, tt.err, tt.want)
			continue
		}
		if strings.Contains(tt.err.Error(), secret) {
			t.Errorf("%s: the error shows the value: %v", name, tt.err)
		}
	}
	if err := tree.Set("t", "none", "a", "1"); !errors.Is(err, ErrNoSection) {
		t.Errorf("no section: %v", err)
	}
	must(t, tree.Commit())
	if got := content(t, dir, "t"); got != "config t n\noption a 1\n" {
		t.Errorf("something was changed: %q", got)
	}
}

func TestRevert(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": "config t n\noption a 1\n", "u": "config t n\noption a 1\n"}, nil)
	for _, name := range []string{"t", "u", "new"} {
		must(t, tree.AddSection(name, "n", "t"))
		must(t, tree.Set(name, "n", "a", "2"))
	}
	tree.Revert("t")
	for name, want := range map[string]string{"t": "1", "u": "2", "new": "2"} {
		if got, _ := tree.GetLast(name, "n", "a"); got != want {
			t.Errorf("%s after revert of t: %q, want %q", name, got, want)
		}
	}
	tree.Revert()
	if _, ok := tree.GetLast("new", "n", "a"); ok {
		t.Error("the new package outlived the revert")
	}
	must(t, tree.Commit())
	if got := content(t, dir, "u"); got != "config t n\noption a 1\n" {
		t.Errorf("committed after revert: %q", got)
	}
}
