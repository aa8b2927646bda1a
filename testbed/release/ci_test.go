package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCIEndsWhatItStarted: when a step fails, nothing that runs beside the steps is left.
func TestCIEndsWhatItStarted(t *testing.T) {
	dir := t.TempDir()
	run, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	script := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script(".ci/run", string(run))
	for _, name := range []string{"setup", "setup-qemu", "kernel-mips"} {
		script("scripts/"+name, "#!/bin/sh\n")
	}
	// What runs beside the lab has a child that would go on; the lab fails once that runs.
	if err := os.MkdirAll(filepath.Join(dir, "build"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(dir, "runs")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script("scripts/test-cross", "#!/bin/sh\nsleep 3600 &\necho $! >child\necho >runs\nwait\n")
	script("bin/make", "#!/bin/sh\ncase $1 in lab) read -r _ <runs; exit 7 ;; esac\n")
	cmd := exec.Command("sh", ".ci/run")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "FAILED at lab") {
		t.Fatalf("%v: %s", err, out)
	}
	child, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	// The signal has been sent; a process that was told to end may be there for a moment, or wait for init to take
	// note.
	pid := strings.TrimSpace(string(child))
	if out, err := exec.Command("timeout", "30", "tail", "--pid="+pid, "-f", "/dev/null").CombinedOutput(); err != nil {
		if stat, _ := os.ReadFile("/proc/" + pid + "/stat"); !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %s still runs: %v %s %s", pid, err, out, stat)
		}
	}
}
