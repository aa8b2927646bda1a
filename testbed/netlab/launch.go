package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"wguplink/testbed/vclock"
)

// launchName is argv[0] of the stage between the lab and a program on a host:
//
//	launchName, path of the program, its argv[0], its arguments
//
// It runs in the host's namespaces with the program's environment, puts itself
// under the clock's filter, sends the lab the listener over descriptor
// launchFD, enters the program's jail if it has one, and becomes the program. Closing launchFD, as a successful exec
// does, is the good result; anything else sent over it is an error text.
const (
	launchName = "netlab-launch"
	launchFD   = 3
)

// listenerMessage goes with the listener's descriptor.
const listenerMessage = "+"

func launch() {
	unix.CloseOnExec(launchFD)
	runtime.LockOSThread() // the filter is this thread's
	err := becomeProgram(os.Args[1:])
	_, _ = unix.Write(launchFD, []byte(err.Error()))
	os.Exit(127)
}

func becomeProgram(args []string) error {
	if len(args) < 2 {
		return errors.New("launcher without a program")
	}
	listener, err := vclock.Install()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(launchFD, []byte(listenerMessage), unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("hand over the clock's listener: %w", err)
	}
	// After the filter, which needs CAP_SYS_ADMIN.
	if err := enterJail(); err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", args[0], syscall.Exec(args[0], args[1:], os.Environ()))
}

// launched is the lab's side: it has the clock supervise the program and
// returns once the program runs, or could not.
func launched(control int, clock *vclock.Clock) error {
	for {
		buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
		n, oobn, _, _, err := unix.Recvmsg(control, buf, oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("hear from the launcher: %w", err)
		case oobn > 0:
			listener, err := descriptor(oob[:oobn])
			if err != nil {
				return err
			}
			clock.Supervise(listener)
		case n == 0:
			return nil
		default:
			return errors.New(string(buf[:n]))
		}
	}
}

func descriptor(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("launcher sent no listener: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("launcher sent no listener: %w", err)
	}
	return fds[0], nil
}
