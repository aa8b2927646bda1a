package crash

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childEnv has a copy of the test program come to a bad end.
const childEnv = "WGUPLINK_CRASH_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		defer Tell()
		fall([32]byte{0: 0xde, 1: 0xad, 2: 0xbe, 3: 0xef, 4: 0xfe, 5: 0xed}, nil)
	}
	os.Exit(m.Run())
}

//go:noinline
func fall(key [32]byte, where *int) { *where = int(key[0]) }

func TestTell(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"=1", "GOTRACEBACK=all")
	out, _ := cmd.CombinedOutput()
	if said := string(out); cmd.ProcessState.ExitCode() != code ||
		!strings.Contains(said, "panic: runtime error: invalid memory address") ||
		!strings.Contains(said, "crash.fall(...)") || !strings.Contains(said, "crash_test.go:22") {
		t.Errorf("exit code %d:\n%s", cmd.ProcessState.ExitCode(), said)
	}
	if strings.Contains(string(out), "adde") || strings.Contains(string(out), "0x") &&
		strings.Contains(string(out), "efbe") {
		t.Errorf("an argument is shown:\n%s", out)
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
