package netlab_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// program is what the test binary does when it is run on a host.
func program(name string) int {
	switch name {
	case "parent": // leaves a child in a session of its own, then waits
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), helperEnv+"=child")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return fail(err)
		}
		return wait("")
	case "child":
		return wait("child ready")
	case "wait":
		return wait("waiting")
	case "say": // on both outputs, the last line without its end
		fmt.Println("first")
		fmt.Println()
		fmt.Fprintln(os.Stderr, "second")
		fmt.Print("last")
		return 3
	case "executable":
		path, err := os.Executable()
		if err != nil {
			return fail(err)
		}
		if _, err := os.Stat(path); err != nil {
			return fail(err)
		}
		dir, _ := os.Getwd()
		fmt.Println("executable", path, "argv", os.Args, "in", dir, "env", os.Environ())
		return 0
	case "files": // reports what is there, then writes
		for _, path := range strings.Fields(os.Getenv("WATCH")) {
			b, err := os.ReadFile(path)
			if err != nil {
				b = []byte("none")
			}
			fmt.Printf("%s: %s\n", path, b)
			if err := os.WriteFile(path, []byte("written"), 0o644); err != nil {
				return fail(err)
			}
		}
		ifs, err := net.Interfaces()
		if err != nil {
			return fail(err)
		}
		sys, err := os.ReadDir("/sys/class/net")
		if err != nil {
			return fail(err)
		}
		fmt.Println("links", len(ifs), "in /sys", len(sys))
		return 0
	}
	fmt.Fprintln(os.Stderr, "no such program:", name)
	return 1
}

func wait(text string) int {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGTERM)
	if text != "" {
		fmt.Println(text)
	}
	<-ch
	fmt.Println("terminated")
	return 0
}
