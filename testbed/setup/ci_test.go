package setup

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// stub stands in for make and for each script: it notes its name, with the first word of some, and does as the files
// "fail" and "hang" say. What hangs says so in the pipe "hung"; what fails waits for that.
const stub = `#!/bin/sh
name=${0##*/}
case $name in make | setup) name="$name ${1:-}" ;; esac
echo "$name" >>"$CI_TEST/calls"
if grep -qxs "$name" "$CI_TEST/hang"; then
	echo $$ >>"$CI_TEST/pids"
	sleep 1000 &
	echo $! >>"$CI_TEST/pids"
	echo "$name" >"$CI_TEST/hung" &
	wait
fi
if grep -qxs "$name" "$CI_TEST/fail"; then
	[ ! -p "$CI_TEST/hung" ] || read -r _ <"$CI_TEST/hung"
	echo "this is why $name fails"
	exit 7
fi
`

// ci makes a folder with .ci/run, and stubs for all that it starts.
func ci(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	run, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, ".ci/run"), string(run))
	names := []string{"build/go/bin/make", "build/lab"}
	scripts, err := filepath.Glob("../../scripts/*")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, s := range scripts {
		names = append(names, "scripts/"+filepath.Base(s))
	}
	for _, name := range append(names, "build/go/bin/signify-openbsd") {
		put(t, filepath.Join(dir, name), stub)
	}
	return dir
}

// say writes names into one of the files that the stubs read.
func say(t *testing.T, dir, file string, names ...string) {
	t.Helper()
	if file == "hang" {
		if err := syscall.Mkfifo(filepath.Join(dir, "hung"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func lines(t *testing.T, dir, file string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Fields(strings.ReplaceAll(string(b), " ", "_"))
}

func command(dir string) (*exec.Cmd, *bytes.Buffer) {
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(dir, ".ci/run"))
	cmd.Env = append(os.Environ(), "CI_TEST="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// lastLine gives what was said last.
func lastLine(out string) string {
	all := strings.Split(strings.TrimSpace(out), "\n")
	return all[len(all)-1]
}

// gone fails the test when one of the processes that the stubs have noted runs.
func gone(t *testing.T, dir string) {
	t.Helper()
	pids := lines(t, dir, "pids")
	if len(pids) == 0 {
		t.Error("nothing hung: the test sees nothing")
	}
	for _, pid := range pids {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		// One that has ended, and that its new parent has not asked for yet, is a zombie.
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %s is left: %s", pid, stat)
		}
	}
}

// TestRunFails: when any part of .ci/run fails, a step or what runs beside the steps, the run fails. It names that part
// last, says why, and ends what hangs beside it.
func TestRunFails(t *testing.T) {
	whole := ci(t)
	cmd, out := command(whole)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if last := lastLine(out.String()); !strings.HasPrefix(last, "ci: passed setup, lint, ") {
		t.Errorf("it says %q", last)
	}
	for _, want := range []string{"make_lint", "make_test", "make_race", "make_test-luci", "make_cross",
		"make_vulnerabilities", "make_release-check", "make_packages", "make_size", "lab", "make_lab", "test-cross",
		"make_qemu", "make_qemu-image", "make_test-cross-vm", "kernel-mips", "kernel-debian"} {
		if !slices.Contains(lines(t, whole, "calls"), want) {
			t.Errorf("%s does not run", want)
		}
	}
	// What runs beside the steps, and a step that it runs beside.
	hangs := map[string]string{"lab": "make_race", "make_size": "make_test-luci", "make_release-check": "make_lab",
		"test-cross": "make_test-luci", "kernel-mips": "make_test", "kernel-debian": "make_test",
		"make_qemu-image": "make_test-cross-vm", "setup-qemu": "make_lint", "make_cross": "make_lint"}
	parts := lines(t, whole, "calls")
	slices.Sort(parts)
	for _, part := range slices.Compact(parts) {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			dir := ci(t)
			say(t, dir, "fail", strings.Replace(part, "_", " ", 1))
			if step, ok := hangs[part]; ok {
				// It is noticed while a step goes on that would never end.
				say(t, dir, "hang", strings.Replace(step, "_", " ", 1))
			}
			cmd, out := command(dir)
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("it ends with %v\n%s", err, out)
			}
			last := lastLine(out.String())
			if !strings.HasPrefix(last, "ci: FAILED at ") {
				t.Errorf("it says %q last", last)
			}
			if !strings.Contains(out.String(), "this is why "+strings.Replace(part, "_", " ", 1)+" fails") {
				t.Errorf("it does not say why:\n%s", out)
			}
			if _, ok := hangs[part]; ok {
				gone(t, dir)
			}
		})
	}
}

// TestRunEnds: what runs beside the steps ends with the run, when a step fails, and when the run is told to end.
func TestRunEnds(t *testing.T) {
	beside := []string{"lab", "make size", "make release-check", "test-cross", "kernel-mips", "kernel-debian"}
	t.Run("a step fails", func(t *testing.T) {
		t.Parallel()
		dir := ci(t)
		say(t, dir, "hang", beside...)
		say(t, dir, "fail", "make test-luci")
		cmd, out := command(dir)
		if err := cmd.Run(); err == nil {
			t.Error("it passes")
		}
		if last := lastLine(out.String()); !strings.HasPrefix(last, "ci: FAILED at test-luci after ") {
			t.Errorf("it says %q last", last)
		}
		gone(t, dir)
	})
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			dir := ci(t)
			say(t, dir, "hang", append(beside, "make test-luci")...)
			// A shell cannot take back that a signal is ignored, as by nohup; here it is not.
			taken := make(chan os.Signal, 1)
			ossignal.Notify(taken, signal)
			defer ossignal.Stop(taken)
			cmd, out := command(dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			hung, err := os.OpenFile(filepath.Join(dir, "hung"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer hung.Close()
			for names := bufio.NewScanner(hung); names.Scan() && names.Text() != "make test-luci"; {
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it passes")
			}
			if last := lastLine(out.String()); !strings.HasPrefix(last, "ci: FAILED at test-luci after ") {
				t.Errorf("it says %q last", last)
			}
			gone(t, dir)
		})
	}
}
