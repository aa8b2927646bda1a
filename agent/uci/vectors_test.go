package uci

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tree gives a Tree over files in a new folder, by package, and staged changes in another.
func tree(t testing.TB, files, staged map[string]string) (*Tree, string) {
	t.Helper()
	config, save := t.TempDir(), t.TempDir()
	for dir, files := range map[string]map[string]string{config: files, save: staged} {
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
				t.Fatal(err)
			}
		}
	}
	return NewTree(config, save), config
}

func content(t testing.TB, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noTemp fails the test if there is anything but packages in the folder.
func noTemp(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// TestVectors compares with what libuci's uci prints.
func TestVectors(t *testing.T) {
	names, err := filepath.Glob("testdata/*.export")
	must(t, err)
	if len(names) != 6 {
		t.Fatalf("%d recorded exports, want 6", len(names))
	}
	for _, name := range names {
		name = strings.TrimSuffix(filepath.Base(name), ".export")
		t.Run(name, func(t *testing.T) {
			staged := map[string]string{}
			if name == "staged" {
				staged[name] = string(golden(t, "staged.delta"))
			}
			tree, _ := tree(t, map[string]string{name: string(golden(t, name))}, staged)
			for suffix, print := range map[string]func(string) ([]byte, error){".export": tree.Export,
				".show": tree.Show} {
				got, err := print(name)
				must(t, err)
				if diff := cmp.Diff(string(golden(t, name+suffix)), string(got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", suffix, diff)
				}
			}
		})
	}
}

// TestBadVectors compares with libuci's verdict and message for broken files.
func TestBadVectors(t *testing.T) {
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(string(golden(t, "bad.expected"))), "\n") {
		name, verdict, _ := strings.Cut(line, " ")
		code, message, _ := strings.Cut(verdict, " ")
		seen++
		t.Run(name, func(t *testing.T) {
			tree := NewTree("testdata/bad", "")
			err := tree.LoadConfig(name, false)
			if code == "rc=0" {
				must(t, err)
				if got := tree.Options(name, "n"); len(got) != 0 {
					t.Errorf("options %q, want none", got)
				}
				return
			}
			var bad *ParseError
			if !errors.As(err, &bad) || bad.Error() != message {
				t.Fatalf("got %v\nwant %s", err, message)
			}
			if path := "testdata/bad/" + name; !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("%q does not start with the file", err)
			}
		})
	}
	if files, err := os.ReadDir("testdata/bad"); err != nil || len(files) != seen {
		t.Errorf("%d verdicts for %d files (%v)", seen, len(files), err)
	}
}

// TestCommitVector makes the changes of plain.committed.
func TestCommitVector(t *testing.T) {
	tree, dir := tree(t, map[string]string{"plain": string(golden(t, "plain"))}, nil)
	must(t, tree.Set("plain", "mesh_vpn", "privatekey", "NEW+KEY/abc="))
	must(t, tree.Set("plain", "peer_1", "note", `it's "x"`))
	must(t, tree.SetType("plain", "peer_1", "allowed_ips", TypeList, "fe80::1/128"))
	must(t, tree.Commit())
	if diff := cmp.Diff(string(golden(t, "plain.committed")), content(t, dir, "plain")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	noTemp(t, dir)
}

// TestStagedCommitVector merges like "uci commit", which also commits what is staged.
func TestStagedCommitVector(t *testing.T) {
	p, err := parse("staged", golden(t, "staged"))
	must(t, err)
	p.applyDeltas(golden(t, "staged.delta"))
	if diff := cmp.Diff(string(golden(t, "staged.committed")), string(p.file())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestGeneratedNames has the name that libuci gave in staged.delta, and the well-known one of /etc/config/system.
func TestGeneratedNames(t *testing.T) {
	tree, _ := tree(t, map[string]string{"staged": string(golden(t, "staged")), "system": "config system\n"}, nil)
	must(t, tree.AddSection("staged", "", "peer"))
	if got, _ := tree.GetSections("staged", "peer"); !cmp.Equal(got, []string{"peer_1", "cfg033511"}) {
		t.Errorf("peers %q", got)
	}
	if got, _ := tree.GetSections("system", ""); !cmp.Equal(got, []string{"cfg01e48a"}) {
		t.Errorf("system %q", got)
	}
}

// TestParse has cases that the recorded files do not; the results follow from libuci's code.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, in, show, bad string }{
		{"short keywords", "p x\nc a n\no x 1\nl y 2\n", "t.n=a\nt.n.x='1'\nt.n.y='2'\n", ""},
		{"no final line end", "config a n\noption x 1", "t.n=a\nt.n.x='1'\n", ""},
		{"semicolon after quotes", "config a 'n'; option x '1'; option y '2'\n", "t.n=a\nt.n.x='1'\nt.n.y='2'\n", ""},
		{"semicolon after a blank", "config a n ; option x 1 ; option y 2\n", "t.n=a\nt.n.x='1'\nt.n.y='2'\n", ""},
		{"semicolon after a word", "config a n; option x 1\n", "t.n=a\n", ""},
		{"semicolon at the end", "config a 'n';\n", "", "invalid command) at line 1, byte 13"},
		{"semicolon after the type", "config 'a'; option x 1\n", "", "too many arguments) at line 1, byte 19"},
		{"semicolon for the name", "config 'a';\n", "t.@a[0]=a\n", ""},
		{"empty value leaves the earlier", "config a n\noption x 1\noption x ''\n", "t.n=a\nt.n.x='1'\n", ""},
		{"empty item stays", "config a n\nlist x 1\nlist x ''\n", "t.n=a\nt.n.x='1' ''\n", ""},
		{"escaped blank", "config a n\noption x a\\ b\n", "t.n=a\nt.n.x='a b'\n", ""},
		{"line goes on, CRLF", "config a n\noption x a\\\r\nb\r\n", "t.n=a\nt.n.x='ab'\n", ""},
		{"line goes on with a blank", "config a n\noption x a\\\n b\n", "", "too many arguments) at line 3, byte 14"},
		{"goes on within quotes", "config a n\noption x \"a\\\nb\"\n", "t.n=a\nt.n.x='ab'\n", ""},
		{"backslash at the very end", "config a n\noption x a\\", "t.n=a\nt.n.x='a'\n", ""},
		{"open quote after a backslash", "config a n\noption x \"a\\", "",
			`EOF with unterminated ") at line 1, byte 12`},
		{"hash ends a word", "config a n\noption x a#b\n", "t.n=a\nt.n.x='a'\n", ""},
		{"hash behind quotes", "config a n\noption x 'a'#b\n", "t.n=a\nt.n.x='a'\n", ""},
		{"config alone", "config", "", "config without name) at line 0, byte 0"},
		{"config and line end", "config\n", "", "invalid command) at line 1, byte 0"},
		{"config and blank", "config \n", "", "insufficient arguments) at line 1, byte 8"},
		{"empty type", "config '' n\n", "", "insufficient arguments) at line 1, byte 10"},
		{"empty name", "config a ''\n", "t.@a[0]=a\n", ""},
		{"option alone", "config a\n\toption", "", "option without name) at line 1, byte 1"},
		{"package alone", "package", "", "package without name) at line 0, byte 0"},
		{"package of another name", "package o-p\nconfig a\n", "t.@a[0]=a\n", ""},
		{"bad package", "package a.b\n", "", "invalid character in name field) at line 1, byte 12"},
		{"bad name", "config a b-c\n", "", "invalid character in name field) at line 1, byte 13"},
		{"other type", "config a n\nconfig b n\n", "",
			"section of different type overwrites prior section with same name) at line 2, byte 11"},
		{"generated name taken up", "config peer\noption x 1\nconfig peer cfg013511\noption y 2\n",
			"t.@peer[0]=peer\nt.@peer[0].x='1'\nt.@peer[0].y='2'\n", ""},
		{"list in the place of an option", "config a n\noption x 1\noption y 2\nlist x 3\n",
			"t.n=a\nt.n.x='1' '3'\nt.n.y='2'\n", ""},
		{"NUL drops the rest of the line", "config a n\x00 ; foo\nbar\n", "t.nbar=a\n", ""},
		{"NUL at the start", "config a n\n\x00foo\noption x 1\n", "t.n=a\nt.n.x='1'\n", ""},
		// libuci reads in pieces, the first of 31 bytes. A NUL takes away the rest of its piece.
		{"NUL in a long line", "config a \x00" + strings.Repeat("y", 21) + "name\n", "t.name=a\n", ""},
		{"vertical tab", "config\va n\n", "", "invalid command) at line 1, byte 0"},
		{"bytes beyond ASCII", "config a n\noption x \xff\xa0ä\n", "t.n=a\nt.n.x='\xff\xa0ä'\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parse("t", []byte(tt.in))
			if tt.bad != "" {
				if want := "Parse error (" + tt.bad; err == nil || err.Error() != want {
					t.Fatalf("got %v\nwant %s", err, want)
				}
				return
			}
			must(t, err)
			if diff := cmp.Diff(tt.show, string(p.show())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestDelta has staged changes on their own, one package each.
func TestDelta(t *testing.T) {
	const base = "config a n\noption x 1\nlist l p\nlist l q\nlist l p\nconfig a\nconfig b m\n"
	unchanged := "t.n=a\nt.n.x='1'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"
	for _, tt := range []struct{ delta, want string }{
		{"", unchanged},
		{"t.n.x='2'\n", "t.n=a\nt.n.x='2'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"t.n.x=2 \n", unchanged},
		{"t.n.x=2\r\n", unchanged},
		{"t.n.x=2", "t.n=a\nt.n.x='2'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"t.n.x=''\n", "t.n=a\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"t.n.y=''\n", unchanged},
		{"t.n.l='z'\n", "t.n=a\nt.n.x='1'\nt.n.l='z'\nt.@a[1]=a\nt.m=b\n"},
		{"t.n.x='a=b.c'\n", "t.n=a\nt.n.x='a=b.c'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"t.n.x='a\nb'\n", "t.n=a\nt.n.x='a\nb'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"t.n.x='\x01'\n", unchanged},
		{"t.n.x='open\n-t.m\n", unchanged},
		{"nonsense\nt.m='c'\n", "t.n=a\nt.n.x='1'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=c\n"},
		{"other.n.x='2'\n", unchanged},
		{"t.n.x.y='2'\n", unchanged},
		{"t.@a[0].x='2'\n", unchanged},
		{"t.none.x='2'\n", unchanged},
		{"t.n.x\n", unchanged},
		{"t.n=''\n", "t.@a[0]=a\nt.m=b\n"},
		{"-t.n\n", "t.@a[0]=a\nt.m=b\n"},
		{"-t.cfg02b606\n", "t.n=a\nt.n.x='1'\nt.n.l='p' 'q' 'p'\nt.m=b\n"},
		{"-t.none\n", unchanged},
		{"-t.n.l='1'\n", "t.n=a\nt.n.x='1'\nt.n.l='p' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"-t.n.l='7'\n", unchanged},
		{"-t.n.l='z'\n", unchanged},
		{"-t.n.l\n", "t.n=a\nt.n.x='1'\nt.@a[1]=a\nt.m=b\n"},
		{"-t.n.x='1'\n", "t.n=a\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"~t.n.l='p'\n", "t.n=a\nt.n.x='1'\nt.n.l='q'\nt.@a[1]=a\nt.m=b\n"},
		{"~t.n.l='p'\n~t.n.l='q'\n", "t.n=a\nt.n.x='1'\nt.n.l=\nt.@a[1]=a\nt.m=b\n"},
		{"~t.n.x='1'\n", unchanged},
		{"|t.n.x='2'\n", "t.n=a\nt.n.x='1' '2'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"|t.n='2'\n", unchanged},
		{"@t.n.x='y'\n", "t.n=a\nt.n.y='1'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\nt.m=b\n"},
		{"@t.n='b-c'\n", unchanged},
		{"@t.cfg02b606='k'\n", "t.n=a\nt.n.x='1'\nt.n.l='p' 'q' 'p'\nt.k=a\nt.m=b\n"},
		{"+t.cfg04b606='a'\nt.cfg04b606.x='2'\n", unchanged + "t.@a[2]=a\nt.@a[2].x='2'\n"},
		{"t.new='b c'\n", unchanged},
		{"^t.m='1'\n", "t.n=a\nt.n.x='1'\nt.n.l='p' 'q' 'p'\nt.m=b\nt.@a[1]=a\n"},
		{"^t.m='-1'\n", "t.m=b\nt.n=a\nt.n.x='1'\nt.n.l='p' 'q' 'p'\nt.@a[1]=a\n"},
		{"^t.n='99999999999999999999'\n", "t.@a[0]=a\nt.m=b\nt.n=a\nt.n.x='1'\nt.n.l='p' 'q' 'p'\n"},
	} {
		t.Run(fmt.Sprintf("%q", tt.delta), func(t *testing.T) {
			p, err := parse("t", []byte(base))
			must(t, err)
			p.applyDeltas([]byte(tt.delta))
			if diff := cmp.Diff(tt.want, string(p.show())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// FuzzParse: what we write is read back as it was.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*")
	must(f, err)
	more, err := filepath.Glob("testdata/bad/*")
	must(f, err)
	for _, name := range append(names, more...) {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text)
		}
	}
	f.Add([]byte("config 'a;b#c\"d\\'\\''e'\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parse("p", text)
		if err != nil {
			var bad *ParseError
			if !errors.As(err, &bad) {
				t.Fatalf("%v is no ParseError", err)
			}
			return
		}
		readBack(t, p)
	})
}

// FuzzDelta: no staged change makes a package that cannot be written and read back, unless it gives two sections one
// name.
func FuzzDelta(f *testing.F) {
	for _, line := range bytes.SplitAfter(golden(f, "staged.delta"), []byte("\n")) {
		f.Add(line)
	}
	f.Add(golden(f, "staged.delta"))
	f.Add([]byte("-staged.peer_1.enabled='0'\n"))
	base := golden(f, "staged")
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parse("staged", base)
		must(t, err)
		p.applyDeltas(text)
		p.show()
		sections := map[string]bool{}
		for _, s := range p.sections {
			// In the file, one without a name may get any that starts like that.
			if !s.anonymous && (sections[s.name] || strings.HasPrefix(s.name, "cfg")) {
				return
			}
			sections[s.name] = true
			options := map[string]bool{}
			for _, o := range s.options {
				if options[o.name] {
					return
				}
				options[o.name] = true
			}
		}
		readBack(t, p)
	})
}

func readBack(t *testing.T, p *pkg) {
	t.Helper()
	first := p.export()
	again, err := parse(p.name, first)
	if err != nil {
		t.Fatalf("%v in our own\n%s", err, first)
	}
	if second := again.export(); !bytes.Equal(first, second) {
		t.Fatalf("first\n%s\nthen\n%s", first, second)
	}
	// The list that was emptied is gone from the file, and an option keeps its place without it.
	for _, s := range p.sections {
		for _, o := range s.options {
			if o.list && len(o.values) == 0 {
				return
			}
		}
	}
	if diff := cmp.Diff(string(p.show()), string(again.show())); diff != "" {
		t.Fatalf("-before +after:\n%s", diff)
	}
}
