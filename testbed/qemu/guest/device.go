package guest

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// awaitFile waits for a file that the kernel makes when it has found a device. It is told so by a uevent
// (linux/netlink.h: NETLINK_KOBJECT_UEVENT), which comes after the file.
func awaitFile(name string, limit time.Duration) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("await %s: %w", name, err)
	}
	defer unix.Close(fd)
	const kernel = 1 // the group of the kernel's own events
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernel}); err != nil {
		return fmt.Errorf("await %s: %w", name, err)
	}
	end := time.Now().Add(limit)
	buf := make([]byte, 8192)
	for {
		if _, err := os.Stat(name); err == nil {
			return nil
		}
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("no %s after %v", name, limit)
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("await %s: %w", name, err)
		}
		_, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		// ENOBUFS: events were lost; the file may be there by now.
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("await %s: %w", name, err)
		}
	}
}
