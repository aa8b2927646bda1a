package netlab_test

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// control marks a socket before it is used.
func control(mark int) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
		}); e != nil {
			return e
		}
		return err
	}
}
