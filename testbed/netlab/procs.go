package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ProcessInfo is a process on a host, started there by the lab or by another
// process.
type ProcessInfo struct {
	PID  int
	Path string // of the executable, as the host sees it
	Args []string
}

// Processes returns the processes in the host's network namespace, lowest pid
// first. Those that have ended are not among them, reaped or not.
func (h *Host) Processes() ([]ProcessInfo, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("netlab: host %s: list processes: %w", h.name, err)
	}
	ns := fmt.Sprintf("net:[%d]", h.inode)
	var procs []ProcessInfo
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := "/proc/" + e.Name()
		if link, err := os.Readlink(dir + "/ns/net"); err != nil || link != ns {
			continue // elsewhere, or gone meanwhile
		}
		p := ProcessInfo{PID: pid}
		p.Path, _ = os.Readlink(dir + "/exe")
		if b, err := os.ReadFile(dir + "/cmdline"); err == nil && len(b) > 0 {
			p.Args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		}
		procs = append(procs, p)
	}
	slices.SortFunc(procs, func(a, b ProcessInfo) int { return a.PID - b.PID })
	return procs, nil
}

// Kill ends all processes on the host with SIGKILL and returns when they are
// gone.
func (h *Host) Kill(ctx context.Context) error {
	for {
		procs, err := h.Processes()
		if err != nil {
			return err
		}
		if len(procs) == 0 {
			break
		}
		// Again until there are none: one may have forked meanwhile.
		for _, p := range procs {
			if err := killPID(ctx, p.PID); err != nil {
				return fmt.Errorf("netlab: host %s: kill process %d: %w", h.name, p.PID, err)
			}
		}
	}
	h.mu.Lock()
	procs := h.procs
	h.procs = nil
	h.mu.Unlock()
	for _, p := range procs {
		if err := p.end(ctx, unix.SIGKILL); err != nil {
			return err
		}
	}
	return nil
}

// Reboot ends all processes on the host, deletes its links other than wires and
// those named to Keep, and empties /run and /tmp. /etc stays, as on a router's
// flash, and so do the wires' addresses and routes. The clock is the caller's
// to set back.
func (h *Host) Reboot(ctx context.Context) error {
	if err := h.Kill(ctx); err != nil {
		return err
	}
	if err := h.reset(); err != nil {
		return fmt.Errorf("netlab: host %s: reboot: %w", h.name, err)
	}
	return nil
}

// killPID kills a process, which need not be our child, and waits until it is
// dead. One that is gone already is a success.
func killPID(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return waitPidfd(ctx, fd)
}

// waitPidfd waits for the end of the process behind a pidfd. The context is
// looked at a few times a second only.
func waitPidfd(ctx context.Context, fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int((200 * time.Millisecond).Milliseconds()))
		switch {
		case n > 0:
			return nil
		case err != nil && err != unix.EINTR:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}
