package main

import (
	"fmt"
	"os"
	"testing"
)

// programEnv makes the test binary the program, whose coverage counts then.
const programEnv = "WGUPLINK_TEST_PROGRAM"

// TestMain keeps a test from starting all tests once more: what starts userspace WireGuard starts /proc/self/exe with
// these arguments. Tests of this package make no device on the machine itself: those that need one run in namespaces of
// their own (inside_test.go).
func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	if len(os.Args) > 1 && os.Args[1] == "wireguard-go" {
		fmt.Fprintln(os.Stderr, "a test of the command line wants a device on this machine")
		os.Exit(2)
	}
	os.Exit(m.Run())
}
