package uci

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// before is a file that is to be changed.
const before = "config t 'n'\n\toption a 'old'\n"

func stat(t *testing.T, dir, name string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, name))
	must(t, err)
	return info.Sys().(*syscall.Stat_t)
}

// TestCommitOnlyOurs leaves alone what others have staged, and keeps what they commit meanwhile.
func TestCommitOnlyOurs(t *testing.T) {
	staged := "t.n.a='staged'\n+t.cfg02abcd='t'\n"
	tree, dir := tree(t, map[string]string{"t": before}, map[string]string{"t": staged})
	must(t, tree.Set("t", "n", "b", "ours"))
	if v, _ := tree.GetLast("t", "n", "a"); v != "staged" {
		t.Errorf("read %q, want what is staged", v)
	}
	other := NewTree(dir, "")
	must(t, other.Set("t", "n", "c", "theirs"))
	must(t, other.Commit())
	must(t, tree.Commit())
	want := "\nconfig t 'n'\n\toption a 'old'\n\toption c 'theirs'\n\toption b 'ours'\n\n"
	if got := content(t, dir, "t"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := content(t, tree.saveDir, "t"); got != staged {
		t.Errorf("staged is now %q", got)
	}
	got, err := tree.Show("t")
	must(t, err)
	if want := "t.n=t\nt.n.a='staged'\nt.n.c='theirs'\nt.n.b='ours'\nt.@t[1]=t\n"; string(got) != want {
		t.Errorf("shows %q, want %q", got, want)
	}

	// A section that is only staged is not ours to commit.
	must(t, tree.Set("t", "@t[1]", "a", "1"))
	if err := tree.Commit(); !errors.Is(err, ErrNoSection) {
		t.Errorf("option in a staged section: %v", err)
	}
	if got := content(t, dir, "t"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCommitUnnamed adds a section whose generated name was taken by another meanwhile.
func TestCommitUnnamed(t *testing.T) {
	first, dir := tree(t, map[string]string{"t": ""}, nil)
	second := NewTree(dir, "")
	for name, tree := range map[string]*Tree{"first": first, "second": second} {
		must(t, tree.AddSection("t", "", "u"))
		must(t, tree.Set("t", "@u[-1]", name, "1"))
	}
	must(t, first.Commit())
	must(t, second.Commit())
	want := "\nconfig u\n\toption first '1'\n\nconfig u\n\toption second '1'\n\n"
	if got := content(t, dir, "t"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCommitSame writes nothing, so that comments and the flash live on.
func TestCommitSame(t *testing.T) {
	text := "# comment\nconfig t n\n\toption a 1 # another\n"
	tree, dir := tree(t, map[string]string{"t": text}, nil)
	was := stat(t, dir, "t")
	must(t, tree.Set("t", "n", "a", "1"))
	must(t, tree.Set("t", "n", "b", "1"))
	must(t, tree.Del("t", "n", "b"))
	must(t, tree.Commit())
	if after := stat(t, dir, "t"); after.Ino != was.Ino || after.Mtim != was.Mtim {
		t.Error("the file was written")
	}
	if got := content(t, dir, "t"); got != text {
		t.Errorf("now %q", got)
	}
	noTemp(t, dir)
}

func TestCommitNew(t *testing.T) {
	tree, dir := tree(t, nil, nil)
	must(t, tree.AddSection("t", "n", "t"))
	must(t, tree.Set("t", "n", "a", "1"))
	must(t, tree.LoadConfig("t", false))
	must(t, tree.Commit())
	if got := content(t, dir, "t"); got != "\nconfig t 'n'\n\toption a '1'\n\n" {
		t.Errorf("%q", got)
	}
	if mode := stat(t, dir, "t").Mode & 0o7777; mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
	noTemp(t, dir)
}

func TestCommitErrors(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": before, "u": before, "broken": before}, nil)
	for _, name := range []string{"t", "u", "broken"} {
		must(t, tree.Set(name, "n", "a", "new"))
	}
	must(t, tree.AddSection("t", "m", "t"))
	must(t, os.WriteFile(filepath.Join(dir, "t"), []byte("config u m\nconfig t n\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "broken"), []byte("nonsense\n"), 0o600))
	err := tree.Commit()
	var bad *ParseError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), filepath.Join(dir, "broken")+":") {
		t.Errorf("broken file: %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), `section "m" is there already and has the type "u"`) {
		t.Errorf("section of another type: %v", err)
	}
	if got := content(t, dir, "broken"); got != "nonsense\n" {
		t.Errorf("broken file is now %q", got)
	}
	// One that fails does not keep the others from being committed.
	if v, _ := NewTree(dir, "").GetLast("u", "n", "a"); v != "new" {
		t.Errorf("u has %q", v)
	}

	// The folder is gone.
	none := NewTree(filepath.Join(dir, "none"), "")
	must(t, none.AddSection("t", "n", "t"))
	if err := none.Commit(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestCommitLink writes the file that a link points at.
func TestCommitLink(t *testing.T) {
	_, there := tree(t, map[string]string{"real": before}, nil)
	tree, dir := tree(t, nil, nil)
	must(t, os.Symlink(filepath.Join(there, "real"), filepath.Join(dir, "t")))
	must(t, os.Symlink(filepath.Join(there, "none"), filepath.Join(dir, "dangling")))
	must(t, tree.Set("t", "n", "a", "new"))
	must(t, tree.Commit())
	if got := content(t, there, "real"); got != "\nconfig t 'n'\n\toption a 'new'\n\n" {
		t.Errorf("%q", got)
	}
	if info, err := os.Lstat(filepath.Join(dir, "t")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	must(t, tree.AddSection("dangling", "n", "t"))
	if err := tree.Commit(); err == nil || !strings.Contains(err.Error(), "link to nowhere") {
		t.Errorf("dangling: %v", err)
	}
	noTemp(t, there)
}

// TestCannotReadBack refuses a result in which two sections would become one.
func TestCannotReadBack(t *testing.T) {
	text := "config t x\nconfig peer\noption a 1\nconfig peer cfg013511\noption b 1\n"
	tree, dir := tree(t, map[string]string{"t": text}, nil)
	must(t, tree.DelSection("t", "x"))
	if err := tree.Commit(); err == nil || !strings.Contains(err.Error(), "read back") {
		t.Errorf("got %v", err)
	}
	if got := content(t, dir, "t"); got != text {
		t.Errorf("now %q", got)
	}
}
