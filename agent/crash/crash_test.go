package crash

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// childEnv has a copy of the test program come to a bad end: by a panic, or by a signal that it waits for.
const childEnv = "WGUPLINK_CRASH_TEST"

func TestMain(m *testing.M) {
	key := [32]byte{0: 0xde, 1: 0xad, 2: 0xbe, 3: 0xef, 4: 0xfe, 5: 0xed}
	switch os.Getenv(childEnv) {
	case "panic":
		defer Tell()
		fall(key, nil)
	case "signal":
		Guard(os.Stderr)
		wait(key)
	}
	os.Exit(m.Run())
}

//go:noinline
func fall(key [32]byte, where *int) { *where = int(key[0]) }

//go:noinline
func wait(key [32]byte) {
	fmt.Println("ready")
	select {}
}

func child(t *testing.T, end string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+end, "GOTRACEBACK=all")
	return cmd
}

func checkArguments(t *testing.T, said string) {
	t.Helper()
	if strings.Contains(said, "adde") || strings.Contains(said, "0x") && strings.Contains(said, "efbe") {
		t.Errorf("an argument is shown:\n%s", said)
	}
}

func TestTell(t *testing.T) {
	cmd := child(t, "panic")
	out, _ := cmd.CombinedOutput()
	if said := string(out); cmd.ProcessState.ExitCode() != code ||
		!strings.Contains(said, "panic: runtime error: invalid memory address") ||
		!strings.Contains(said, "crash.fall(...)") || !strings.Contains(said, "crash_test.go:") {
		t.Errorf("exit code %d:\n%s", cmd.ProcessState.ExitCode(), said)
	}
	checkArguments(t, string(out))
}

// A signal tells where all goroutines are, also those that wait.
func TestGuard(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT} {
		cmd := child(t, "signal")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
			t.Errorf("%v: the child does not get ready: %v", signal, err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		if text := said.String(); cmd.ProcessState.ExitCode() != code ||
			!strings.HasPrefix(text, signal.String()+"\n\ngoroutine ") || !strings.Contains(text, "crash.wait(...)") {
			t.Errorf("%v: exit code %d:\n%s", signal, cmd.ProcessState.ExitCode(), text)
		}
		checkArguments(t, said.String())
	}
}

func TestWithoutArguments(t *testing.T) {
	const stack = "goroutine 1 [running]:\nmain.(*T).run({0x1, 0x2}, 0x3)\n\t/a/b(1)\nmain.f(...)\n\t/a/c.go:3 " +
		"+0x1\ncreated by main.g in goroutine 7\n"
	const want = "goroutine 1 [running]:\nmain.(*T).run(...)\n\t/a/b(1)\nmain.f(...)\n\t/a/c.go:3 +0x1\ncreated by " +
		"main.g in goroutine 7\n"
	if got := string(withoutArguments([]byte(stack))); got != want {
		t.Errorf("%q", got)
	}
	if got := string(withoutArguments([]byte("main.f({0x1, (0x2)}, 0x3)\n"))); got != "main.f(...)\n" {
		t.Errorf("%q", got)
	}
}
