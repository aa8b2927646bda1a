// Package jail stands in for OpenWrt's ujail.
package jail

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Jail is what a program may do that procd starts in a jail with nothing but a name and capabilities: user 0, one
// group, no supplementary groups, no new privileges, and a few capabilities in every set. Such a root is an ordinary
// user to files of others, and cannot change owners, signal others or mount.
//
// It stands in for ujail. It was held against ujail of openwrt/procd at 42d393765450 (December 2024, OpenWrt 24.10) and
// at 2c1834abae17 (August 2026): netlab/testdata/ujail-status is what both give a process, and a test of netlab
// compares. The newer one has its child killed when it is killed itself (PR_SET_PDEATHSIG); the older one leaves it
// behind.
type Jail struct {
	GID          int
	Capabilities []int // numbers as in linux/capability.h
}

// Enter makes the calling thread, which is about to become a program by execve, that of the jail. The caller has locked
// it. A capability that the thread does not have itself is left out. Enter makes raw system calls: package syscall
// would change the other threads, which end in a moment.
func (j *Jail) Enter() error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no supplementary groups: %w", errno)
	}
	gid := uintptr(j.GID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return fmt.Errorf("group %d: %w", j.GID, errno)
	}
	last, err := lastCapability()
	if err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, want [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	wanted := map[int]bool{}
	for _, c := range j.Capabilities {
		wanted[c] = true
		word, bit := c/32, uint32(1)<<(c%32)
		if c > last || have[word].Permitted&bit == 0 {
			continue // it cannot be given away
		}
		want[word].Effective |= bit
		want[word].Permitted |= bit
		want[word].Inheritable |= bit
	}
	// The bounding set first: it needs CAP_SETPCAP.
	for c := 0; c <= last; c++ {
		if wanted[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	if err := unix.Capset(&header, &want[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	for c := range wanted {
		if want[c/32].Permitted&(1<<(c%32)) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return fmt.Errorf("raise ambient capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	return nil
}

// lastCapability asks the kernel for the highest capability that it knows.
func lastCapability() (int, error) {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0, err
	}
	n := len(b)
	for n > 0 && b[n-1] == '\n' {
		n--
	}
	return strconv.Atoi(string(b[:n]))
}
