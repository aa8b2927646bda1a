package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/slog"
)

type signal = syscall.Signal

// child is one run of a hook.
type child struct {
	path    string
	event   string
	env     []string
	input   []byte
	timeout time.Duration
	log     *slog.Logger
}

// run returns when the hook's own process has ended. What it left running in the background goes on, without our pipe;
// only when the time is over is all of its process group killed. It is SIGKILL at once: what did not end in its time is
// stuck, and what it held, such as a lock on a file, ends with it.
func (c child) run(ctx context.Context) ending {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	p, output, err := c.start()
	if err != nil {
		return ending{err: err}
	}
	defer output.Close()
	lines := newLines(func(line string) { c.log.Info("hook says", "line", line) })
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines.copy(output)
	}()

	killed := make(chan bool, 1)
	stop := context.AfterFunc(ctx, func() {
		// Its pid stays its group's number until we have waited for it and all others of the group are gone.
		killed <- unix.Kill(-p.Pid, unix.SIGKILL) == nil
	})
	state, err := p.Wait()
	e := ending{after: time.Since(begin)}
	if !stop() {
		e.timedOut = <-killed
	}
	// A process that it left behind may hold the pipe open: take what is in it, and no more.
	if err := output.SetReadDeadline(time.Now()); err == nil {
		<-read
		lines.drain(output)
	}
	lines.end()
	e.last = lines.last
	if err != nil {
		e.err = fmt.Errorf("wait for it: %w", err)
		return e
	}
	status := state.Sys().(syscall.WaitStatus)
	// It may have ended by itself in the very moment in which its time was over.
	e.timedOut = e.timedOut && status.Signaled()
	if status.Signaled() {
		e.signal = status.Signal()
	}
	e.code = state.ExitCode()
	return e
}

// start starts the hook in a process group of its own, and returns the reading end of its output.
func (c child) start() (*os.Process, *os.File, error) {
	stdin, err := inputFile(c.input)
	if err != nil {
		return nil, nil, err
	}
	defer stdin.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	p, err := os.StartProcess(c.path, []string{c.path, c.event}, &os.ProcAttr{
		Dir:   "/",
		Env:   c.env,
		Files: []*os.File{stdin, w, w},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err == nil {
		return p, r, nil
	}
	r.Close()
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		err = fmt.Errorf("%w: a script must begin with a line such as #!/bin/sh", err)
	case errors.Is(err, syscall.ENOENT):
		err = fmt.Errorf("%w: is the interpreter that its first line names installed?", err)
	}
	return nil, nil, err
}

// inputFile is a file in memory with the hook's standard input. It needs no goroutine, as a pipe does, to fill it
// while the hook reads, or does not read.
func inputFile(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("event", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make the hook's standard input: %w", err)
	}
	f := os.NewFile(uintptr(fd), "event")
	if _, err := f.Write(b); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the hook's standard input: %w", err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("rewind the hook's standard input: %w", err)
	}
	return f, nil
}
