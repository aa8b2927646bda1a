package wgpeerselector

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	groupFile = "/etc/group"
	threads   = "/proc/self/task"
)

// SwitchGroup makes a group, by name or else by number, the real, effective and saved one of all threads, and reads
// back whether it is. Gluon's firewall knows by the group which packets and which DNS queries are for the WAN. A socket
// has the group of the thread that made it, so this comes before the first socket. Supplementary groups stay as they
// are.
func SwitchGroup(name string) error { return switchGroup(groupFile, name, setGroup) }

func switchGroup(file, name string, set func(gid uint32) error) error {
	gid, err := lookUpGroup(file, name)
	if err != nil {
		return err
	}
	if err := set(gid); err != nil {
		return fmt.Errorf("change to group %q (%d): %w: start it as root", name, gid, err)
	}
	if err := checkGroup(threads, gid); err != nil {
		return fmt.Errorf("change to group %q (%d): %w", name, gid, err)
	}
	return nil
}

// setGroup changes all threads: package syscall sees to that, as setresgid(2) alone would change the calling one only.
func setGroup(gid uint32) error { return syscall.Setresgid(int(gid), int(gid), int(gid)) }

// lookUpGroup gives the number of a group. A name wins over a number, as with chown(1).
func lookUpGroup(file, name string) (uint32, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("look up group %q: %w", name, err)
	}
	if gid, ok := findGroup(string(text), name); ok {
		return gid, nil
	}
	if gid, ok := parseGID(name); ok {
		return gid, nil
	}
	return 0, fmt.Errorf("there is no group %q in %s: add it, or name another with --group", name, file)
}

// findGroup reads group(5): lines of name:password:number:members. A line that is something else is passed over.
func findGroup(text, name string) (gid uint32, ok bool) {
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Split(line, ":")
		if len(fields) != 4 || fields[0] != name || name == "" {
			continue
		}
		if gid, ok = parseGID(fields[2]); ok {
			return gid, true
		}
	}
	return 0, false
}

// parseGID takes decimal digits. The largest number is not a group: setresgid(2) takes it for "leave as it is".
func parseGID(v string) (uint32, bool) {
	n, err := strconv.ParseUint(v, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}

// checkGroup compares the group of the process, and of each thread listed in dir (proc_pid_task(5)), with the wanted
// one.
func checkGroup(dir string, want uint32) error {
	if real, effective := uint32(unix.Getgid()), uint32(unix.Getegid()); real != want || effective != want {
		return fmt.Errorf("it did not take: the process has real group %d and effective group %d", real, effective)
	}
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("it cannot be checked: %w", err)
	}
	for _, t := range tasks {
		text, err := os.ReadFile(filepath.Join(dir, t.Name(), "status"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended
		}
		if err != nil {
			return fmt.Errorf("it cannot be checked: %w", err)
		}
		if have := groupsOf(string(text)); !allAre(have, want) {
			return fmt.Errorf("it did not take: thread %s has groups %q", t.Name(), have)
		}
	}
	return nil
}

// groupsOf gives the real, effective, saved and file system group of a thread, the line Gid of proc_pid_status(5).
func groupsOf(status string) []string {
	for _, line := range strings.Split(status, "\n") {
		if rest, ok := strings.CutPrefix(line, "Gid:"); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

func allAre(groups []string, want uint32) bool {
	for _, g := range groups {
		if gid, ok := parseGID(g); !ok || gid != want {
			return false
		}
	}
	return len(groups) == 4
}
