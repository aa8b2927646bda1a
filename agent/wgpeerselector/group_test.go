package wgpeerselector

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// child names the environment variable that makes the test binary change its group instead of running tests.
const child = "WGPEERSELECTOR_TEST_CHILD"

func TestMain(m *testing.M) {
	if how := os.Getenv(child); how != "" {
		runtime.LockOSThread()
		os.Exit(changeGroup(how, os.Args[1], os.Args[2]))
	}
	os.Exit(m.Run())
}

// changeGroup is the child process. It has threads of its own that were there before, and has each tell its group.
func changeGroup(how, file, group string) int {
	set := setGroup
	switch how {
	case "lies":
		set = func(uint32) error { return nil }
	case "one thread":
		// The calling thread, to which the caller is locked.
		set = func(gid uint32) error {
			if _, _, e := syscall.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
				return e
			}
			return nil
		}
	case "unprivileged":
		if err := syscall.Setresuid(12345, 12345, 12345); err != nil {
			fmt.Println("drop privileges:", err)
			return 1
		}
	}
	const extra = 4
	ask, tell := make(chan struct{}), make(chan string)
	ready := make(chan struct{})
	for range extra {
		go func() {
			runtime.LockOSThread() // for good: the thread is this goroutine's only
			ready <- struct{}{}
			<-ask
			tell <- fmt.Sprint(unix.Getgid(), " ", unix.Getegid())
		}()
	}
	for range extra {
		<-ready
	}
	if err := switchGroup(file, group, set); err != nil {
		fmt.Println(err)
		return 1
	}
	close(ask)
	for range extra {
		fmt.Println(<-tell)
	}
	// A file has the file system's group, as a socket has.
	f, err := os.CreateTemp(filepath.Dir(file), "made")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	info, err := f.Stat()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("file", info.Sys().(*syscall.Stat_t).Gid)
	return 0
}

const groups = `root:x:0:
# a comment, and lines with too few fields and without a name
broken:x
:x:806:
three:x:807
toobig:x:4294967295:
number:x:eight:
gluon-mesh-vpn:x:800:
800:x:801:
twice:x:802:a,b
twice:x:803:
`

// runChild runs changeGroup with the group file above, and gives what it said.
func runChild(t *testing.T, how, group string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // for the unprivileged child
		t.Fatal(err)
	}
	file := filepath.Join(dir, "group")
	if err := os.WriteFile(file, []byte(groups), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", file, group)
	cmd.Env = append(os.Environ(), child+"="+how)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestSwitchGroup(t *testing.T) {
	before := os.Getegid()
	for group, want := range map[string]string{"gluon-mesh-vpn": "800", "804": "804", "800": "801",
		"twice": "802", "root": "0"} {
		out, err := runChild(t, "root", group)
		same := want + " " + want + "\n"
		if err != nil || out != same+same+same+same+"file "+want+"\n" {
			t.Errorf("%s: %v\n%s", group, err, out)
		}
	}
	if os.Getegid() != before {
		t.Errorf("the test itself now has group %d", os.Getegid())
	}
}

func TestSwitchGroupRefuses(t *testing.T) {
	for _, tt := range []struct{ how, group, want string }{
		{"root", "nosuch", `there is no group "nosuch" in /`},
		{"root", "broken", `there is no group "broken" in /`},
		{"root", "three", `there is no group "three" in /`},
		{"root", "toobig", `there is no group "toobig" in /`},
		{"root", "number", `there is no group "number" in /`},
		{"root", "", `there is no group "" in /`},
		{"root", "-1", `there is no group "-1" in /`},
		{"root", "4294967295", `there is no group "4294967295" in /`},
		{"root", "4294967296", `there is no group "4294967296" in /`},
		{"unprivileged", "gluon-mesh-vpn",
			`change to group "gluon-mesh-vpn" (800): operation not permitted: start it as root`},
		{"lies", "gluon-mesh-vpn",
			`change to group "gluon-mesh-vpn" (800): it did not take: the process has real group`},
		{"one thread", "gluon-mesh-vpn", `change to group "gluon-mesh-vpn" (800): it did not take: thread `},
	} {
		out, err := runChild(t, tt.how, tt.group)
		if err == nil || !strings.HasPrefix(out, tt.want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s as %s: %v, %q, want %s", tt.group, tt.how, err, out, tt.want)
		}
	}
}

// TestCheckGroup gives it threads that were left behind.
func TestCheckGroup(t *testing.T) {
	gid := uint32(os.Getegid())
	status := func(fields ...uint32) string {
		s := "Name:\tx\nUid:\t0\t0\t0\t0\nGid:"
		for _, f := range fields {
			s += fmt.Sprint("\t", f)
		}
		return s + "\nGroups:\t7\n"
	}
	for name, tt := range map[string]struct{ second, want string }{
		"all":             {status(gid, gid, gid, gid), ""},
		"effective only":  {status(gid+1, gid, gid+1, gid), "thread 11 has groups"},
		"not effective":   {status(gid, gid+1, gid, gid), "thread 11 has groups"},
		"not file system": {status(gid, gid, gid, gid+1), "thread 11 has groups"},
		"no such line":    {"Name:\tx\n", "thread 11 has groups"},
		"too few":         {status(gid), "thread 11 has groups"},
		"no number": {strings.Replace(status(gid, gid, gid), "\nGroups", "\tx\nGroups", 1),
			"thread 11 has groups"},
		"thread has ended": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for thread, text := range map[string]string{"10": status(gid, gid, gid, gid), "11": tt.second} {
				if err := os.Mkdir(filepath.Join(dir, thread), 0o755); err != nil {
					t.Fatal(err)
				}
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, thread, "status"), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := checkGroup(dir, gid)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if err := checkGroup(threads, gid); err != nil {
		t.Error(err)
	}
	if err := checkGroup(threads, gid+1); err == nil || !strings.Contains(err.Error(), "the process has real group") {
		t.Errorf("another group: %v", err)
	}
	if err := checkGroup(filepath.Join(t.TempDir(), "nothing"), gid); err == nil ||
		!strings.Contains(err.Error(), "cannot be checked") {
		t.Errorf("no /proc: %v", err)
	}
}

func FuzzFindGroup(f *testing.F) {
	f.Add(groups, "twice")
	f.Add("a:b:1:\n\n:::\n", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		gid, ok := findGroup(text, name)
		if !ok {
			return
		}
		if gid == 1<<32-1 || name == "" || !strings.Contains(text, name+":") {
			t.Errorf("group %q is %d in %q", name, gid, text)
		}
	})
}
