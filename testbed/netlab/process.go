package netlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a program started on a host.
type Process struct {
	cmd     *exec.Cmd
	out     *output
	started time.Time
	exited  chan struct{}
	err     error // of Wait, once exited is closed
}

func newProcess(cmd *exec.Cmd, out *output) *Process {
	p := &Process{cmd: cmd, out: out, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		out.finish()
		close(p.exited)
	}()
	return p
}

// PID returns the process id, in the lab's pid namespace.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// State returns the result of the program, nil while it runs.
func (p *Process) State() *os.ProcessState {
	select {
	case <-p.exited:
		return p.cmd.ProcessState
	default:
		return nil
	}
}

// Wait returns when the program has ended: nil for exit code 0, else an
// *exec.ExitError. Processes that it started may live on.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.exited:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("netlab: wait for process %d: %w", p.PID(), context.Cause(ctx))
	}
}

// Signal sends a signal, to this process alone.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("netlab: signal process %d: %w", p.PID(), err)
	}
	return nil
}

// Kill sends SIGKILL and waits for the end. Processes that this one started
// live on; Host.Kill ends them too.
func (p *Process) Kill(ctx context.Context) error { return p.end(ctx, unix.SIGKILL) }

// Stop sends SIGTERM and waits for the end. The exit code does not count.
func (p *Process) Stop(ctx context.Context) error { return p.end(ctx, unix.SIGTERM) }

func (p *Process) end(ctx context.Context, sig os.Signal) error {
	_ = p.cmd.Process.Signal(sig) // fails when it has ended already
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("netlab: process %d did not end on %v: %w", p.PID(), sig, context.Cause(ctx))
	}
}

// Lines returns the lines that the program has written so far to its standard
// output and error, in the order of arrival.
func (p *Process) Lines() []string {
	lines, _ := p.out.from(0)
	return lines
}

// WaitLine returns the first line that contains text, past or to come.
func (p *Process) WaitLine(ctx context.Context, text string) (string, error) {
	return p.WaitLineFrom(ctx, 0, text)
}

// WaitLineFrom is WaitLine without a look at the first n lines; with n =
// len(p.Lines()) it waits for something new.
func (p *Process) WaitLineFrom(ctx context.Context, n int, text string) (string, error) {
	for {
		ended := p.State() != nil // asked first: then all lines are there
		lines, changed := p.out.from(n)
		for _, line := range lines {
			if strings.Contains(line, text) {
				return line, nil
			}
		}
		if ended {
			return "", fmt.Errorf("netlab: process %d: line with %q: %w (%v)", p.PID(), text, errEnded,
				p.cmd.ProcessState)
		}
		n += len(lines)
		select {
		case <-changed:
		case <-p.exited:
		case <-ctx.Done():
			return "", fmt.Errorf("netlab: process %d: line with %q: %w", p.PID(), text, context.Cause(ctx))
		}
	}
}

// Stats reads the process's use of memory and CPU.
func (p *Process) Stats() (Stats, error) { return ReadStats(p.PID()) }
