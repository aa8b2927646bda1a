//go:build !cross

package parent

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// parentEnv makes the test binary a child that watches its parent, or that parent.
const parentEnv = "WGUPLINK_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) == "child" {
		err := Watch(func() { io.WriteString(os.Stdout, "ended\n"); os.Exit(0) })
		if err != nil {
			io.WriteString(os.Stdout, err.Error()+"\n")
			os.Exit(1)
		}
		io.WriteString(os.Stdout, "watching\n")
		select {}
	}
	os.Exit(m.Run())
}

// TestWatch kills the parent of a process that watches it, and starts one whose parent is gone.
func TestWatch(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ script, first, second string }{
		"killed":           {`"$1" & read x; kill -9 $$`, "watching\n", "ended\n"},
		"ends by itself":   {`"$1" & read x`, "watching\n", "ended\n"},
		"ended beforehand": {`{ read x; exec "$1"; } <&0 & :`, "", "the process that started us has ended already\n"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", c.script, "sh", self)
			cmd.Env = append(os.Environ(), parentEnv+"=child")
			// Not cmd.Stdout: the child holds it for longer than the shell lives.
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			defer r.Close()
			lines := bufio.NewReader(r)
			if c.first != "" {
				if got, err := lines.ReadString('\n'); got != c.first {
					t.Fatalf("%q, %v", got, err)
				}
			} else if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			io.WriteString(in, "go\n")
			if got, err := lines.ReadString('\n'); !strings.HasSuffix(got, c.second) {
				t.Errorf("%q, %v", got, err)
			}
			if c.first != "" {
				cmd.Wait()
			}
		})
	}
}
