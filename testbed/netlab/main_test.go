package netlab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
)

// helperEnv makes the test binary one of the programs below instead; markEnv
// marks all processes that come from one of them.
const (
	helperEnv = "NETLAB_TEST_HELPER"
	markEnv   = "NETLAB_TEST_MARK"
)

// noSleep spares programs built with the race detector its second at exit.
const noSleep = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "":
		netlab.Main(m.Run)
	case "lab":
		netlab.Main(nestedLab)
	case "exit":
		netlab.Main(func() int { return 7 })
	case "write":
		netlab.Main(writeLab)
	case "orphans":
		netlab.Main(orphans)
	default:
		os.Exit(program(os.Getenv(helperEnv)))
	}
}

// nestedLab is a lab with links and programs that runs until it is told to end.
func nestedLab() int {
	ctx, stop := netlab.Context()
	defer stop()
	lab := netlab.New()
	a, err := lab.Host("a")
	if err != nil {
		return fail(err)
	}
	b, err := lab.Host("b")
	if err != nil {
		return fail(err)
	}
	if err := lab.Wire(a, "eth0", b, "eth0"); err != nil {
		return fail(err)
	}
	p, err := a.Start(netlab.Command{
		Path: self(), Env: []string{noSleep, helperEnv + "=parent", markEnv + "=" + os.Getenv(markEnv)},
	})
	if err != nil {
		return fail(err)
	}
	if _, err := p.WaitLine(ctx, "child ready"); err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("told")
	return 42
}

// orphans ends well when an orphan was reaped by init and a child was not.
func orphans() int {
	var orphan int
	for range 20 {
		// The shell's background child outlives it and becomes init's.
		cmd := exec.Command("/bin/sh", "-c", "sleep 100 >/dev/null 2>&1 & echo $!")
		out, err := cmd.Output()
		if err != nil {
			return fail(fmt.Errorf("wait for a child: %w", err))
		}
		if orphan, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
			return fail(err)
		}
		fd, err := unix.PidfdOpen(orphan, 0)
		if err != nil {
			return fail(err)
		}
		if err := unix.Kill(orphan, unix.SIGKILL); err != nil {
			return fail(err)
		}
		if err := waitEnd(context.Background(), fd); err != nil {
			return fail(err)
		}
		unix.Close(fd)
	}
	// A reaped process has no entry any more. The last one may still be
	// between its end and init's wait, a second one cannot.
	deadline := time.Now().Add(10 * time.Second)
	for unix.Kill(orphan, 0) != unix.ESRCH {
		if time.Now().After(deadline) {
			return fail(errors.New("an orphan stays a zombie"))
		}
		if err := exec.Command("/bin/true").Run(); err != nil {
			return fail(err)
		}
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// testContext gives a generous limit to waiting for an event.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// TestNothingLeft kills a lab in several ways and looks for what remains. The
// machine of this test is the lab that the test itself runs in.
func TestNothingLeft(t *testing.T) {
	for _, test := range []struct {
		name string
		sig  syscall.Signal
		code int // -1: ended by the signal itself
		told bool
	}{
		{"SIGKILL", unix.SIGKILL, -1, false},
		{"SIGINT", unix.SIGINT, 42, true},
		{"SIGTERM", unix.SIGTERM, 42, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			before := machine(t)
			mark := fmt.Sprintf("%s=%s-%d", markEnv, test.name, os.Getpid())

			// Where we were started to ignore the signal, as in a shell's
			// background, the lab would be too.
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, test.sig)
			defer signal.Stop(signals)
			cmd := exec.CommandContext(ctx, self())
			cmd.Env = append(os.Environ(), noSleep, helperEnv+"=lab", mark)
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// What is left holds the pipe open.
			defer context.AfterFunc(ctx, func() { stdout.Close() })()
			lines := bufio.NewScanner(stdout)
			if !lines.Scan() || lines.Text() != "ready" {
				t.Fatalf("lab said %q, want ready", lines.Text())
			}
			pids := marked(t, mark)
			// outer, init, run, and on the host a program and its child
			if len(pids) != 5 {
				t.Fatalf("%d marked processes while the lab runs, want 5: %v", len(pids), pids)
			}
			if n := len(netNamespaces(t)); n < 3 {
				t.Fatalf("%d network namespaces while the lab runs, want ours, the lab's and a host's", n)
			}
			var fds []int
			for _, pid := range pids {
				fd, err := unix.PidfdOpen(pid, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Close(fd)
				fds = append(fds, fd)
			}

			if err := cmd.Process.Signal(test.sig); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(stdout)
			if err != nil {
				t.Fatal(err)
			}
			told := lines.Scan() || strings.Contains(string(rest), "told")
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if told != test.told {
				t.Errorf("the lab heard of the signal: %v, want %v", told, test.told)
			}
			for _, fd := range fds {
				if err := waitEnd(ctx, fd); err != nil {
					t.Errorf("a process of the lab is left: %v", err)
				}
			}
			if pids := marked(t, mark); len(pids) > 0 {
				t.Errorf("processes left: %v", pids)
			}
			if after := machine(t); after != before {
				t.Errorf("the machine changed\nbefore:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	for helper, want := range map[string]int{"exit": 7, "orphans": 0} {
		cmd := exec.CommandContext(testContext(t), self())
		cmd.Env = append(os.Environ(), noSleep, helperEnv+"="+helper)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit code %d, want %d\n%s", helper, got, want, out)
		}
	}
}

func TestNotRoot(t *testing.T) {
	b, err := os.ReadFile(self())
	if err != nil {
		t.Fatal(err)
	}
	// In a folder that all users may enter, which a test's own is not.
	dir, err := os.MkdirTemp("/run", "netlab")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lab")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(testContext(t), path)
	cmd.Dir = "/"
	cmd.Env = []string{noSleep, helperEnv + "=exit"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "needs root") {
		t.Errorf("exit code %d, output %q; want 1 and a word about root", code, out)
	}
}

// TestNoClockRight: nothing in the lab may set the machine's clock, not even the
// lab. The time offered is the present, should the right be there after all.
func TestNoClockRight(t *testing.T) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Fatal(err)
	}
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != unix.EPERM {
		t.Errorf("setting the clock: %v, want %v", err, unix.EPERM)
	}
}

// machine describes what a lab must not change.
func machine(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	links, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, line := range strings.Split(string(links), "\n") {
		name, _, _ := strings.Cut(line, ":")
		names = append(names, strings.TrimSpace(name))
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s%s\n%s\n%d network namespaces\n", mounts, strings.Join(names, " "), hostname,
		len(netNamespaces(t)))
}

func netNamespaces(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	for _, pid := range pids(t) {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil {
			found[ns] = true
		}
	}
	return found
}

// marked returns the processes that have mark in their environment.
func marked(t *testing.T, mark string) (found []int) {
	t.Helper()
	for _, pid := range pids(t) {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && strings.Contains(string(env), mark) {
			found = append(found, pid)
		}
	}
	return found
}

func pids(t *testing.T) (all []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// waitEnd waits for the end of the process behind a pidfd.
func waitEnd(ctx context.Context, fd int) error {
	timeout := -1
	if deadline, ok := ctx.Deadline(); ok {
		timeout = int(time.Until(deadline).Milliseconds())
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, timeout)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return context.DeadlineExceeded
		default:
			return nil
		}
	}
}
