// Package vm runs QEMU, and waits for what its serial console says.
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// VM is one running machine, with its serial console. Its methods may be called from any goroutine.
type VM struct {
	Name string

	in     io.WriteCloser
	cmd    *exec.Cmd
	exited chan struct{}

	mu   sync.Mutex
	out  []byte
	news chan struct{} // closed, and made anew, with each output
	err  error         // of the process, once exited
}

// Start starts a QEMU whose console is its standard input and output. It ends with us, however we end.
func Start(name, program string, args ...string) (*VM, error) {
	v := &VM{Name: name, exited: make(chan struct{}), news: make(chan struct{}), cmd: exec.Command(program, args...)}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	v.cmd.Stdout, v.cmd.Stderr = v, v
	var err error
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	started := make(chan error)
	go func() {
		// The parent-death signal follows the thread: it must live as long as the machine.
		runtime.LockOSThread()
		err := v.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = v.cmd.Wait()
		v.mu.Lock()
		v.err = err
		v.mu.Unlock()
		close(v.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: start %s (see scripts/setup-qemu): %w", name, program, err)
	}
	return v, nil
}

// Write takes the console's output.
func (v *VM) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out = append(v.out, b...)
	close(v.news)
	v.news = make(chan struct{})
	return len(b), nil
}

// Send types on the console.
func (v *VM) Send(text string) error {
	if _, err := io.WriteString(v.in, text); err != nil {
		return fmt.Errorf("%s: console: %w", v.Name, err)
	}
	return nil
}

// Mark is the present end of the output.
func (v *VM) Mark() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.out)
}

// Text is the output between two marks.
func (v *VM) Text(from, to int) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.out[from:to])
}

// Expect waits for one of several texts in the output after a mark. It gives which one came first, and the marks of its
// beginning and its end.
func (v *VM) Expect(ctx context.Context, from int, texts ...string) (which, begin, end int, err error) {
	for {
		v.mu.Lock()
		news := v.news
		begin = -1
		for i, text := range texts {
			if at := bytes.Index(v.out[from:], []byte(text)); at >= 0 && (begin < 0 || from+at < begin) {
				which, begin, end = i, from+at, from+at+len(text)
			}
		}
		v.mu.Unlock()
		if begin >= 0 {
			return which, begin, end, nil
		}
		select {
		case <-news:
		case <-v.exited:
			// What it said last may have come meanwhile.
			select {
			case <-news:
				continue
			default:
			}
			return 0, 0, 0, fmt.Errorf("%s has ended: %w", v.Name, v.exit())
		case <-ctx.Done():
			return 0, 0, 0, fmt.Errorf("%s does not say %s: %w", v.Name, strings.Join(quote(texts), " or "),
				context.Cause(ctx))
		}
	}
}

func quote(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = fmt.Sprintf("%q", t)
	}
	return out
}

var errClean = errors.New("exit code 0")

func (v *VM) exit() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		return errClean
	}
	return v.err
}

// Exited waits until the machine is off, and says why it is not.
func (v *VM) Exited(ctx context.Context) error {
	select {
	case <-v.exited:
		if err := v.exit(); err != errClean {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s does not end: %w", v.Name, context.Cause(ctx))
	}
}

// Kill switches the machine off.
func (v *VM) Kill() {
	_ = v.cmd.Process.Kill() // it may have ended
	<-v.exited
}

// tailWidth is how much of a line is shown; the answers to some commands are long. Bytes.
const tailWidth = 300

// Tail is the last lines of the console.
func (v *VM) Tail(lines int) string {
	v.mu.Lock()
	all := strings.Split(strings.TrimRight(strings.ReplaceAll(string(v.out), "\r", ""), "\n"), "\n")
	v.mu.Unlock()
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		if len(line) > tailWidth {
			all[i] = line[:tailWidth] + "…"
		}
	}
	return v.Name + " | " + strings.Join(all, "\n"+v.Name+" | ")
}
