package uci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be one of the processes that commit; see child.
func TestMain(m *testing.M) {
	if job := os.Getenv("UCI_TEST_CHILD"); job != "" {
		child(job, os.Getenv("UCI_TEST_DIR"))
	}
	if path := os.Getenv(holderEnv); path != "" {
		os.Exit(hold(path))
	}
	os.Exit(m.Run())
}

// child does "count NAME N", N commits of an option each, "kill N", one commit with SIGKILL at the N-th step, or "bare
// N", the same as count but without any capability.
func child(job, dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	words := strings.Fields(job)
	n, err := strconv.Atoi(words[len(words)-1])
	fail(err)
	switch words[0] {
	case "bare":
		runtime.LockOSThread() // capabilities are a thread's
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		fail(unix.Capset(&header, &none[0]))
		fallthrough
	case "count":
		for i := range n {
			tree := NewTree(dir, "")
			fail(tree.AddSection("t", "n", "t"))
			fail(tree.Set("t", "n", fmt.Sprint(words[1], i), strings.Repeat("x", i)))
			fail(tree.Commit())
		}
	case "kill":
		onStep = func(name string) {
			if n--; n == 0 {
				os.Stdout.WriteString(name)
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
		tree := NewTree(dir, "")
		fail(tree.AddSection("t", "n", "t"))
		fail(tree.Set("t", "n", "a", "new"))
		fail(tree.Commit())
	}
	os.Exit(0)
}

func childCommand(t *testing.T, dir, job string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), "UCI_TEST_CHILD="+job, "UCI_TEST_DIR="+dir)
	return cmd
}

// TestConcurrentCommits has several processes commit to one file, at first absent in one case.
func TestConcurrentCommits(t *testing.T) {
	const processes, commits = 3, 40
	for name, files := range map[string]map[string]string{"absent": nil,
		"present": {"t": "config t n\noption kept 1\n"}} {
		t.Run(name, func(t *testing.T) {
			tree, dir := tree(t, files, nil)
			var running []*exec.Cmd
			for p := range processes {
				cmd := childCommand(t, dir, fmt.Sprintf("count p%d_ %d", p, commits))
				cmd.Stderr = os.Stderr
				must(t, cmd.Start())
				running = append(running, cmd)
			}
			for _, cmd := range running {
				must(t, cmd.Wait())
			}
			want := processes * commits
			if files != nil {
				want++
			}
			if got := len(tree.Options("t", "n")); got != want-processes {
				// The first value of each is empty and so never set.
				t.Errorf("%d options survived, want %d", got, want-processes)
			}
			noTemp(t, dir)
		})
	}
}

// TestKill stops a process at each step of a commit.
func TestKill(t *testing.T) {
	for name, old := range map[string]string{"absent": "", "present": before} {
		t.Run(name, func(t *testing.T) {
			var steps []string
			for n := 1; ; n++ {
				files := map[string]string{"t": old, "t2": "config t n\n"}
				if old == "" {
					delete(files, "t")
				}
				tree, dir := tree(t, files, nil)
				if old != "" {
					must(t, os.Chown(filepath.Join(dir, "t"), 1234, 5678))
					must(t, syscall.Chmod(filepath.Join(dir, "t"), 0o4751))
				}
				at, err := childCommand(t, dir, "kill "+strconv.Itoa(n)).Output()
				var exit *exec.ExitError
				killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
				if err != nil && !killed {
					t.Fatalf("step %d: %v", n, err)
				}
				if killed {
					steps = append(steps, string(at))
				}
				const text = "\nconfig t 'n'\n\toption a 'new'\n\n"
				got, err := os.ReadFile(filepath.Join(dir, "t"))
				switch {
				case errors.Is(err, fs.ErrNotExist) && old == "" && killed:
				case err != nil:
					t.Errorf("killed at %q: %v", at, err)
				case string(got) != text && (string(got) != old || !killed):
					t.Errorf("killed at %q: %q", at, got)
				case old != "":
					if is := stat(t, dir, "t"); is.Mode&0o7777 != 0o4751 || is.Uid != 1234 || is.Gid != 5678 {
						t.Errorf("killed at %q: mode %o, owner %d:%d", at, is.Mode, is.Uid, is.Gid)
					}
				}
				// Another program's next commit finds no lock, and cleans up.
				must(t, tree.AddSection("t", "n", "t"))
				must(t, tree.Set("t", "n", "b", "1"))
				must(t, tree.Commit())
				noTemp(t, dir)
				if v, _ := tree.GetLast("t", "n", "b"); v != "1" {
					t.Errorf("killed at %q: the next commit is lost", at)
				}
				if !killed {
					break
				}
			}
			want := []string{"locked", "stale files removed", "created", "temporary file locked", "written",
				"owner set", "mode set",
				"synced", "renamed", "folder synced"}
			if old == "" {
				want = append(want[:5:5], want[7:]...)
			}
			if strings.Join(steps, ", ") != strings.Join(want, ", ") {
				t.Errorf("killed at %q, want %q", steps, want)
			}
		})
	}
}

// TestBare commits as procd's jail runs a program: user 0, group 800, no CAP_CHOWN. The owner and mode are kept as far
// as that is allowed, and the commit never fails for it.
func TestBare(t *testing.T) {
	for _, c := range []struct {
		name           string
		uid, gid       int
		mode           uint32
		wantUID, wantG uint32
		wantMode       uint32
	}{
		{"absent", -1, -1, 0, 0, 800, 0o600},
		{"root's", 0, 0, 0o644, 0, 800, 0o644},
		{"root's, secret", 0, 0, 0o600, 0, 800, 0o600},
		{"root's, for its group", 0, 0, 0o640, 0, 800, 0o600},
		{"root's, with more for the group", 0, 0, 0o664, 0, 800, 0o644},
		{"root's, setgid", 0, 0, 0o2755, 0, 800, 0o755},
		{"root's, setuid", 0, 0, 0o4751, 0, 800, 0o4711},
		{"the group's", 0, 800, 0o660, 0, 800, 0o660},
		{"another's, for all", 1234, 5678, 0o666, 0, 800, 0o666},
		{"another's, in our group", 1234, 800, 0o6770, 0, 800, 0o2770},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"t": before}
			if c.uid < 0 {
				files = nil
			}
			_, dir := tree(t, files, nil)
			for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) { // the child's group is another
				must(t, os.Chmod(d, 0o755))
			}
			path := filepath.Join(dir, "t")
			if files != nil {
				must(t, os.Chown(path, c.uid, c.gid))
				must(t, syscall.Chmod(path, c.mode))
			}
			cmd := childCommand(t, dir, "bare x 2")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 0, Gid: 800}}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got, err := os.ReadFile(path); err != nil || !strings.Contains(string(got), "option x1 'x'") {
				t.Errorf("%v: %q", err, got)
			}
			if is := stat(t, dir, "t"); is.Mode&0o7777 != c.wantMode || is.Uid != c.wantUID || is.Gid != c.wantG {
				t.Errorf("mode %o of %d:%d, want %o of %d:%d", is.Mode&0o7777, is.Uid, is.Gid, c.wantMode,
					c.wantUID, c.wantG)
			}
			noTemp(t, dir)
		})
	}
}

// TestFullDisk commits to file systems without room for the data, or for one more file.
func TestFullDisk(t *testing.T) {
	for name, options := range map[string]string{"data": "size=64k", "files": "size=1m,nr_inodes=3"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
			t.Cleanup(func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			path := filepath.Join(dir, "t")
			must(t, os.WriteFile(path, []byte(before), 0o640))
			for i := 0; ; i++ {
				err := os.WriteFile(filepath.Join(dir, fmt.Sprint("filler", i)), make([]byte, 4096), 0o600)
				if errors.Is(err, unix.ENOSPC) {
					break
				}
				must(t, err)
			}
			tree := NewTree(dir, "")
			must(t, tree.Set("t", "n", "a", strings.Repeat("new", 3000)))
			for range 2 {
				err := tree.Commit()
				if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path+":") {
					t.Fatalf("got %v", err)
				}
				if got := content(t, dir, "t"); got != before {
					t.Errorf("the file is now %q", got)
				}
				if mode := stat(t, dir, "t").Mode & 0o7777; mode != 0o640 {
					t.Errorf("mode %o", mode)
				}
				noTemp(t, dir)
			}
			// With room made, the change is still there to be committed.
			for i := range 3 {
				os.Remove(filepath.Join(dir, fmt.Sprint("filler", i)))
			}
			must(t, tree.Commit())
			if v, _ := NewTree(dir, "").GetLast("t", "n", "a"); len(v) != 9000 {
				t.Errorf("%d bytes committed", len(v))
			}
		})
	}
}

// TestStale removes what killed commits left of this package, but not what is in use or another program's.
func TestStale(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": before, ".t.new-1": "", ".t.new-2": "", ".t.uci-abcdef": "",
		".tt.new-1": "", "t2": ""}, nil)
	busy, err := os.Open(filepath.Join(dir, ".t.new-2"))
	must(t, err)
	defer busy.Close()
	must(t, unix.Flock(int(busy.Fd()), unix.LOCK_EX))
	must(t, tree.Set("t", "n", "a", "old"))
	must(t, tree.Commit())
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), ".t.new-2 .t.uci-abcdef .tt.new-1 t t2"; got != want {
		t.Errorf("left %s, want %s", got, want)
	}
}

// TestReplacedMeanwhile is libuci's rename, which it does after it has released the lock, at each moment of our commit.
func TestReplacedMeanwhile(t *testing.T) {
	for _, moment := range []string{"locked", "created", "synced"} {
		for name, files := range map[string]map[string]string{"absent": nil, "present": {"t": before}} {
			t.Run(moment+" "+name, func(t *testing.T) {
				tree, dir := tree(t, files, nil)
				must(t, tree.AddSection("t", "n", "t"))
				must(t, tree.Set("t", "n", "a", "new"))
				once := false
				onStep = func(step string) {
					if step != moment || once {
						return
					}
					once = true
					must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("config t n\noption theirs 1\n"), 0o604))
					must(t, os.Rename(filepath.Join(dir, "other"), filepath.Join(dir, "t")))
				}
				defer func() { onStep = nil }()
				must(t, tree.Commit())
				if got, want := content(t, dir, "t"),
					"\nconfig t 'n'\n\toption theirs '1'\n\toption a 'new'\n\n"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				if mode := stat(t, dir, "t").Mode & 0o7777; mode != 0o604 {
					t.Errorf("mode %o", mode)
				}
				noTemp(t, dir)
			})
		}
	}
}

// TestTakenForStale: a temporary file of ours is being removed, or was, by one who commits to a file newer than ours.
func TestTakenForStale(t *testing.T) {
	for _, moment := range []string{"created", "synced"} {
		t.Run(moment, func(t *testing.T) {
			tree, dir := tree(t, nil, nil)
			must(t, tree.AddSection("t", "n", "t"))
			var busy *os.File
			onStep = func(step string) {
				if step != moment || busy != nil {
					return
				}
				names, err := filepath.Glob(filepath.Join(dir, ".t.new-*"))
				must(t, err)
				busy, err = os.Open(names[0])
				must(t, err)
				if moment == "created" {
					must(t, unix.Flock(int(busy.Fd()), unix.LOCK_EX))
				}
				must(t, os.Remove(names[0]))
			}
			defer func() { onStep = nil }()
			must(t, tree.Commit())
			if busy == nil {
				t.Fatal("no temporary file seen")
			}
			busy.Close()
			if got := content(t, dir, "t"); got != "\nconfig t 'n'\n\n" {
				t.Errorf("%q", got)
			}
			noTemp(t, dir)
		})
	}
}

// TestRenameFails has the last step refused: nothing can be renamed over a mount point.
func TestRenameFails(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": before}, nil)
	path := filepath.Join(dir, "t")
	must(t, unix.Mount(path, path, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(path, unix.MNT_DETACH)) })
	must(t, tree.Set("t", "n", "a", "new"))
	if err := tree.Commit(); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), path+":") {
		t.Errorf("got %v", err)
	}
	if got := content(t, dir, "t"); got != before {
		t.Errorf("now %q", got)
	}
	noTemp(t, dir)
}

// awaitReader returns when a reader waits for the lock of a file; it must not have read.
func awaitReader(t *testing.T, path string, read <-chan string) {
	t.Helper()
	// One that waits has a line of its own, with the inode.
	waits := fmt.Sprintf(":%d ", stat(t, filepath.Dir(path), filepath.Base(path)).Ino)
	for waiting := false; !waiting; {
		select {
		case v := <-read:
			t.Fatalf("read %q although it is locked", v)
		default:
		}
		locks, err := os.ReadFile("/proc/locks")
		must(t, err)
		for _, line := range strings.Split(string(locks), "\n") {
			waiting = waiting || strings.Contains(line, "->") && strings.Contains(line, waits)
		}
	}
}

// TestReadWaits: "uci commit" empties the staged changes first and renames later; a reader must not see the time
// between.
func TestReadWaits(t *testing.T) {
	tree, dir := tree(t, map[string]string{"t": before}, nil)
	lock, err := os.OpenFile(filepath.Join(dir, "t"), os.O_RDWR, 0)
	must(t, err)
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	read := make(chan string)
	go func() {
		v, _ := tree.GetLast("t", "n", "a")
		read <- v
	}()
	awaitReader(t, filepath.Join(dir, "t"), read)
	must(t, os.WriteFile(filepath.Join(dir, "other"), []byte("config t n\noption a committed\n"), 0o600))
	must(t, os.Rename(filepath.Join(dir, "other"), filepath.Join(dir, "t")))
	lock.Close()
	if v := <-read; v != "committed" {
		t.Errorf("read %q", v)
	}
}
