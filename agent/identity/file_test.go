package identity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A copy of the test program started with this variable loads one identity and prints its public key.
const childEnv = "WGUPLINK_IDENTITY_TEST"

func TestMain(m *testing.M) {
	if how := os.Getenv(childEnv); how != "" {
		os.Exit(child(how))
	}
	os.Exit(m.Run())
}

func child(how string) int {
	tree := newFakeTree(os.Getenv("TREE"))
	o := Options{Package: "wguplink", Section: "mesh", Option: "private_key", KeyFile: os.Getenv("KEYFILE"),
		LockFile: os.Getenv("LOCKFILE")}
	if how == "full" {
		// No file may grow: the nearest thing to a full disk that needs no disk.
		signal.Ignore(syscall.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 0, Max: 0}); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	// All start at once.
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	id, err := Load(tree, o)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(id.Public)
	return 0
}

type process struct {
	cmd *exec.Cmd
	in  interface{ Close() error }
	out *bufio.Reader
	buf bytes.Buffer
}

func startChild(t *testing.T, how string, env ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), append(env, childEnv+"="+how)...)
	p.cmd.Stderr = &p.buf
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("child said %q (%v)", line, err)
	}
	return p
}

// finish lets the child go and gives its answer and exit code.
func (p *process) finish(t *testing.T) (string, int) {
	t.Helper()
	line, _ := p.out.ReadString('\n')
	p.cmd.Wait()
	if p.buf.Len() > 0 {
		t.Errorf("child's stderr: %s", p.buf.String())
	}
	return strings.TrimSpace(line), p.cmd.ProcessState.ExitCode()
}

func TestKeyFile(t *testing.T) {
	top := t.TempDir()
	o := Options{KeyFile: filepath.Join(top, "a", "b", "key")}
	id, err := Load(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if id.Origin != "generated" {
		t.Errorf("origin %q", id.Origin)
	}
	if want := id.Private.Reveal().String() + "\n"; content(t, o.KeyFile) != want {
		t.Error("the key file does not hold the key and a newline")
	}
	for path, want := range map[string]os.FileMode{o.KeyFile: 0o600, filepath.Dir(o.KeyFile): 0o700 | os.ModeDir,
		filepath.Join(top, "a"): 0o700 | os.ModeDir} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(o.KeyFile))
	if err != nil || len(entries) != 2 {
		t.Errorf("left beside the key and its lock: %v (%v)", entries, err)
	}
	again, err := Load(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Private.Equal(id.Private) || again.Origin != "file "+o.KeyFile {
		t.Errorf("second start: another key, or origin %q", again.Origin)
	}
}

func TestKeyFileFirst(t *testing.T) {
	tree, o := inUCI(t, map[string]string{"wguplink": "mesh.private_key=" + keyOf(t, bobHex).String() + "\n",
		"fastd": "mesh_vpn.secret=" + aliceHex + "\n"})
	o.KeyFile = filepath.Join(t.TempDir(), "key")
	id, err := Load(tree, o)
	if err != nil {
		t.Fatal(err)
	}
	if *id.Private.Reveal() != keyOf(t, aliceHex) || id.Origin != "imported from "+fastdPlace {
		t.Errorf("origin %q, want the import into the key file", id.Origin)
	}
	if len(tree.commits) > 0 {
		t.Error("UCI was written although the key lives in a file")
	}
}

func TestKeyFileWhiteSpace(t *testing.T) {
	bob := keyOf(t, bobHex)
	for _, tail := range []string{"", "\n", "\r\n", " \t\n\n"} {
		o := Options{KeyFile: filepath.Join(t.TempDir(), "key")}
		if err := os.WriteFile(o.KeyFile, []byte(bob.String()+tail), 0o400); err != nil {
			t.Fatal(err)
		}
		id, err := Load(nil, o)
		if err != nil || *id.Private.Reveal() != bob {
			t.Errorf("tail %q: %v", tail, err)
		}
	}
}

func TestStrangeKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(path("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path("nowhere"), path("dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("large"), bytes.Repeat([]byte("A"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"folder", "fifo", "dangling", "empty", "large", "empty/key"} {
		before, _ := os.Lstat(path(name))
		if name == "dangling" {
			if _, err := Load(nil, Options{KeyFile: path(name)}); err == nil ||
				!strings.Contains(err.Error(), "symbolic link") {
				t.Errorf("%s: %v", name, err)
			}
		}
		id, err := Load(nil, Options{KeyFile: path(name)})
		if err == nil || !id.Private.IsZero() || !strings.Contains(err.Error(), path(name)) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.Lstat(path(name)); before != nil &&
			(after == nil || after.Mode() != before.Mode() || after.Size() != before.Size()) {
			t.Errorf("%s was touched", name)
		}
	}
}

func TestPowerCutLeftovers(t *testing.T) {
	bob := keyOf(t, bobHex)
	for name, c := range map[string]struct {
		tmp    string
		mode   os.FileMode
		stored bool
	}{
		"empty":            {"", 0o600, false},
		"half a key":       {bob.String()[:20], 0o600, false},
		"whole, readable":  {bob.String() + "\n", 0o644, false},
		"beside a key":     {keyOf(t, aliceHex).String(), 0o600, true},
		"may not be wrote": {"x", 0o000, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := Options{KeyFile: filepath.Join(dir, "key")}
			if err := os.WriteFile(tmpName(o.KeyFile), []byte(c.tmp), c.mode); err != nil {
				t.Fatal(err)
			}
			if c.stored {
				if err := os.WriteFile(o.KeyFile, []byte(bob.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			id, err := Load(nil, o)
			if err != nil {
				t.Fatal(err)
			}
			if (*id.Private.Reveal() == bob) != c.stored {
				t.Errorf("key from the wrong place, origin %q", id.Origin)
			}
			if again, err := Load(nil, o); err != nil || !again.Private.Equal(id.Private) {
				t.Errorf("the key did not stay (%v)", err)
			}
			if info, err := os.Stat(o.KeyFile); err != nil || info.Mode() != 0o600 {
				t.Errorf("key file: %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestRenameNeverReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := keyOf(t, bobHex)
	if err := writeKeyFile(path, &key); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v, want os.ErrExist", err)
	}
	if content(t, path) != "precious" {
		t.Error("a key file was replaced")
	}
	if _, err := os.Lstat(tmpName(path)); !errors.Is(err, os.ErrNotExist) {
		t.Error("the temporary file stays")
	}
}

// withoutPrivilege runs f on a thread that obeys file modes even for root. The thread ends with it.
func withoutPrivilege(t *testing.T, f func()) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		runtime.LockOSThread()
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			t.Errorf("capset: %v", err)
			return
		}
		f()
	}()
	wg.Wait()
}

func TestReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	withoutPrivilege(t, func() {
		for _, path := range []string{filepath.Join(dir, "key"), filepath.Join(dir, "sub", "key")} {
			id, err := Load(nil, Options{KeyFile: path})
			if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: error %v", path, err)
			}
			if !id.Private.IsZero() {
				t.Errorf("%s: a key that is not stored is used", path)
			}
		}
	})
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestUnreadableKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("precious"), 0o000); err != nil {
		t.Fatal(err)
	}
	withoutPrivilege(t, func() {
		if _, err := Load(nil, Options{KeyFile: path}); !errors.Is(err, os.ErrPermission) {
			t.Errorf("error %v", err)
		}
	})
	if content(t, path) != "precious" {
		t.Error("a key file that we may not read was replaced")
	}
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	p := startChild(t, "full", "KEYFILE="+path)
	p.in.Close()
	line, code := p.finish(t)
	if code != 1 || !strings.Contains(line, path) || !strings.Contains(line, unix.EFBIG.Error()) {
		t.Errorf("exit code %d: %q", code, line)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 || entries[0].Name() != folderLock {
		t.Errorf("left behind: %v", entries)
	}
}

// Without a lock file, callers within one process are still kept apart.
func TestConcurrentLoadInProcess(t *testing.T) {
	for round := 0; round < 20; round++ {
		tree, o := inUCI(t, map[string]string{"wguplink": ""})
		o.LockFile = ""
		start, results := make(chan struct{}), make(chan string, 4)
		for i := 0; i < cap(results); i++ {
			go func() {
				<-start
				id, err := Load(newFakeTree(tree.dir), o)
				results <- fmt.Sprint(id.Public, err)
			}()
		}
		close(start)
		got := map[string]bool{}
		for i := 0; i < cap(results); i++ {
			got[<-results] = true
		}
		if len(got) != 1 {
			t.Fatalf("callers have different keys: %v", got)
		}
	}
}

func TestConcurrentLoad(t *testing.T) {
	for name, inFile := range map[string]bool{"key file": true, "uci": false} {
		t.Run(name, func(t *testing.T) {
			for round := 0; round < 3; round++ {
				tree, o := inUCI(t, map[string]string{"wguplink": "mesh.enabled=1\n"})
				env := []string{"TREE=" + tree.dir, "LOCKFILE=" + o.LockFile}
				if inFile {
					o.KeyFile = filepath.Join(t.TempDir(), "sub", "key")
					env = append(env, "KEYFILE="+o.KeyFile)
				}
				var children []*process
				for i := 0; i < 3; i++ {
					children = append(children, startChild(t, "load", env...))
				}
				start := make(chan struct{})
				results := make(chan string, 4)
				for i := 0; i < cap(results); i++ {
					go func() {
						<-start
						id, err := Load(newFakeTree(tree.dir), o)
						if err != nil {
							results <- err.Error()
							return
						}
						results <- id.Public.String()
					}()
				}
				close(start)
				for _, p := range children {
					p.in.Close()
				}
				got := map[string]int{}
				for i := 0; i < cap(results); i++ {
					got[<-results]++
				}
				for _, p := range children {
					line, _ := p.finish(t)
					got[line]++
				}
				stored, err := Public(newFakeTree(tree.dir), o)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != 1 || got[stored.String()] != 7 {
					t.Fatalf("seven callers, stored %v, got %v", stored, got)
				}
			}
		})
	}
}

// All users may open /etc/wguplink, and so lock it; that does not stop a key from being made.
func TestFolderLockedByOthers(t *testing.T) {
	dir := t.TempDir()
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	o := Options{KeyFile: filepath.Join(dir, "key"), PublicFile: filepath.Join(dir, "key.pub")}
	if _, err := Load(newFakeTree(dir), o); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, folderLock)); err != nil || info.Mode() != 0o600 {
		t.Errorf("the lock is %v, %v", info, err)
	}
}
