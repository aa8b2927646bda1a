// Package testns gives a test binary network and mount namespaces of its own, so that its tests can make real devices,
// routes and sockets without touching the machine.
package testns

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Main is the whole of a TestMain: it runs the test binary once more, inside, and exits with the result. It needs root,
// and fails without. Inside, /run is empty, and there is no link but lo, which is down.
func Main(m *testing.M) {
	const inside = "WGUPLINK_TEST_NETNS"
	if os.Getenv(inside) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
			Pdeathsig: unix.SIGKILL}
		if err := cmd.Run(); err != nil {
			if _, ok := err.(*exec.ExitError); !ok {
				fmt.Fprintln(os.Stderr, "these tests need root, for namespaces of their own:", err)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("tmpfs", "/run", "tmpfs", 0, ""))
	os.Exit(m.Run())
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "set up the test's namespaces:", err)
		os.Exit(1)
	}
}
