package uci

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unprivileged is the number of a user who is not root.
const unprivileged = 65534

// holderEnv has a copy of the test program hold the lock of a file, as any user.
const holderEnv = "WGUPLINK_UCI_TEST_HOLD"

func hold(path string) int {
	f, err := os.Open(path)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return 1
	}
	os.Stdout.WriteString("held\n")
	bufio.NewReader(os.Stdin).ReadString('\n') // until the end of the test
	return 0
}

// foreigner starts a process of another user that locks the file, and gives what it says.
func foreigner(t *testing.T, path string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Where all users can run it.
	program := filepath.Join(filepath.Dir(path), "holder")
	if text, err := os.ReadFile(exe); err != nil || os.WriteFile(program, text, 0o755) != nil {
		t.Fatal("no copy of the test program", err)
	}
	cmd := exec.Command(program)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), holderEnv+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// open makes a folder that all users can enter, with a configuration of a mode.
func open(t *testing.T, mode fs.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "wguplink-uci-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "wguplink")
	for _, err := range []error{os.Chmod(dir, 0o755), os.WriteFile(path, []byte("config uplink 'mesh'\n"), mode),
		os.Chmod(path, mode)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func wantMode(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode() != mode {
		t.Errorf("%v, %v, want mode %v", info.Mode(), err, mode)
	}
}

func TestProtect(t *testing.T) {
	path := open(t, 0o644)
	if changed, err := Protect(path); err != nil || !changed {
		t.Fatalf("%v, %v", changed, err)
	}
	wantMode(t, path, 0o640)
	if changed, err := Protect(path); err != nil || changed {
		t.Errorf("again: %v, %v", changed, err)
	}
	if said := foreigner(t, path); said == "held\n" {
		t.Error("another user has the lock")
	}
	if changed, err := Protect(filepath.Join(t.TempDir(), "none")); err != nil || changed {
		t.Errorf("no file: %v, %v", changed, err)
	}
}

// A user who has the lock already does not hold others up for long.
func TestProtectHeld(t *testing.T) {
	path := open(t, 0o644)
	if said := foreigner(t, path); said != "held\n" {
		t.Fatal(said)
	}
	if err := protect(path, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	wantMode(t, path, 0o640)
	tree := NewTree(filepath.Dir(path), "")
	if err := tree.LoadConfig("wguplink", true); err != nil {
		t.Fatal(err)
	}
	if err := tree.Set("wguplink", "mesh", "private_key", "x"); err != nil {
		t.Fatal(err)
	}
	if err := tree.Commit("wguplink"); err != nil {
		t.Fatal(err)
	}
	wantMode(t, path, 0o640)
}

// A user who has the lock of a file that is not ours to protect, as /etc/config/system, holds up its readers for the
// time of a commit once, and not longer. When the lock is free again, a reader waits for commits as before.
func TestReadHeld(t *testing.T) {
	before := readWait
	t.Cleanup(func() { readWait = before })
	path := open(t, 0o644)
	held, err := os.Open(path)
	must(t, err)
	must(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	tree := NewTree(filepath.Dir(path), "")
	read := func() {
		t.Helper()
		must(t, tree.LoadConfig("wguplink", true))
		if kind, ok := tree.SectionType("wguplink", "mesh"); !ok || kind != "uplink" {
			t.Errorf("%q, %v", kind, ok)
		}
	}
	readWait = time.Millisecond
	read()
	over, ok := givenUp.Load(path)
	if !ok {
		t.Fatal("nothing was given up")
	}
	readWait = time.Hour
	read()
	held.Close()
	<-over.(chan struct{})
	read()
	again, err := os.Open(path)
	must(t, err)
	must(t, unix.Flock(int(again.Fd()), unix.LOCK_EX))
	kind := make(chan string)
	go func() {
		k, _ := NewTree(filepath.Dir(path), "").SectionType("wguplink", "mesh")
		kind <- k
	}()
	awaitReader(t, path, kind)
	again.Close()
	if k := <-kind; k != "uplink" {
		t.Errorf("read %q", k)
	}
}

// A user who has the lock of the folder does not keep a file from being made in it.
func TestFolderHeld(t *testing.T) {
	tree, dir := tree(t, nil, nil)
	held, err := os.Open(dir)
	must(t, err)
	defer held.Close()
	must(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	must(t, tree.AddSection("t", "n", "t"))
	must(t, tree.Commit())
	if got := content(t, dir, "t"); got != "\nconfig t 'n'\n\n" {
		t.Errorf("%q", got)
	}
}
