//go:build userspace

package userspace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	readyEnv = "WGUPLINK_READY_FD" // number of the readiness pipe's descriptor in the child
	aliasEnv = "WGUPLINK_ALIAS"    // the alias that the child gives its interface

	// readyTimeout is far above the start time on the slowest router (about a second); it only ends a hung child.
	readyTimeout = 20 * time.Second

	// readyLimit bounds what we read from the child, in bytes.
	readyLimit = 4096
)

// Spawn starts `wguplink wireguard-go <ifname>` from this same binary, which gives its interface the alias before all
// else, in a session of its own so that it outlives the agent, with standard output and error on log (nil means our own
// standard error). It returns as soon as the device's control socket answers, or with the reason when the process ended
// instead. The process is reaped in the background; that it ended later shows as the deletion of its interface.
func Spawn(ifname, alias string, log *os.File) (pid int, err error) {
	p, err := spawn(ifname, alias, log)
	if err != nil {
		return 0, fmt.Errorf("start userspace WireGuard for %s: %w", ifname, err)
	}
	go p.Wait()
	return p.Pid, nil
}

func spawn(ifname, alias string, log *os.File) (*os.Process, error) {
	if log == nil {
		log = os.Stderr
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()

	const firstExtra = 3 // after standard input, output and error
	p, err := os.StartProcess("/proc/self/exe", []string{"wguplink", "wireguard-go", ifname}, &os.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), readyEnv+"="+strconv.Itoa(firstExtra), aliasEnv+"="+alias),
		Files: []*os.File{null, log, log, w},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	w.Close() // the child holds the only writing end now, so its death ends our read
	if err != nil {
		return nil, err
	}

	if err := r.SetReadDeadline(time.Now().Add(readyTimeout)); err != nil {
		return nil, endChild(p, err)
	}
	answer, err := io.ReadAll(io.LimitReader(r, readyLimit))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("no sign of readiness within %v", readyTimeout)
		}
		return nil, endChild(p, err)
	}
	line := strings.TrimSpace(string(answer))
	if line == "ok" {
		return p, nil
	}
	if reason, ok := strings.CutPrefix(line, "error: "); ok {
		p.Wait()
		return nil, errors.New(reason)
	}
	state, err := p.Wait()
	if err != nil {
		return nil, fmt.Errorf("process %d ended without a reason: %w", p.Pid, err)
	}
	return nil, fmt.Errorf("process %d ended before it was ready: %v", p.Pid, state)
}

// endChild kills and reaps a child that cannot be used and returns err.
func endChild(p *os.Process, err error) error {
	p.Kill()
	p.Wait()
	return err
}
