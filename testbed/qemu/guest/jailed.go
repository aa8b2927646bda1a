package guest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"wguplink/testbed/jail"
)

// JailedName is argv[0] of the stage between the first process and a program in a jail. Its arguments are the program's
// argv.
const JailedName = "vminit-jailed"

// AgentGroup is the group of the agent, Gluon's, and AgentGID its number here.
const (
	AgentGroup = "gluon-mesh-vpn"
	AgentGID   = 800
)

// Jailed makes the calling process that program, with the rights of feed/wguplink/files/capabilities.json. It returns
// only with an error.
func Jailed(argv []string) error {
	if len(argv) == 0 {
		return errors.New("a jail without a program")
	}
	runtime.LockOSThread() // the rights are this thread's
	j := jail.Jail{GID: AgentGID, Capabilities: []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_TIME}}
	if err := j.Enter(); err != nil {
		return fmt.Errorf("jail: %w", err)
	}
	return fmt.Errorf("execute %s: %w", argv[0], syscall.Exec(argv[0], argv, os.Environ()))
}
