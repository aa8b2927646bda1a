//go:build !userspace

package userspace

import (
	"errors"
	"fmt"
	"os"
)

// Supported tells whether this binary contains userspace WireGuard (build tag userspace).
const Supported = false

var errUnsupported = errors.New(
	"this binary was built without userspace WireGuard: install kmod-wireguard (kernel WireGuard) or the userspace " +
		"variant of this package")

// Main reports on standard error that this binary has no userspace WireGuard, and returns exit code 1.
func Main(ifname string, o Options) int {
	fmt.Fprintf(os.Stderr, "wireguard-go %s: %v\n", ifname, errUnsupported)
	return 1
}

// Spawn fails: this binary has no userspace WireGuard.
func Spawn(ifname, alias string, log *os.File) (pid int, err error) {
	return 0, fmt.Errorf("start userspace WireGuard for %s: %w", ifname, errUnsupported)
}
