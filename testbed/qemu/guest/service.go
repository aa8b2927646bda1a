package guest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// born is when the first process began.
var born = time.Now()

// service runs one program and starts it again when it ends, as procd does. What it says goes to the console. down is
// run after a stop, as by the program's start script; it takes away what the program has left.
type service struct {
	argv, down []string
	jailed     bool // argv has the rights that ujail leaves it
	out        io.Writer
	cgroup     *os.File // that it runs in; nil for the machine's own

	mu      sync.Mutex
	cmd     *exec.Cmd
	wanted  bool
	ended   chan struct{} // of cmd; closed when it is gone and nothing of it is running
	starts  int
	changed chan struct{} // closed, and made anew, with each start
}

// newAgent makes the agent's service, as the start script has procd make it where there is ujail.
func newAgent(out io.Writer, program string) *service {
	return &service{
		argv: []string{program, "run", "--stderr", "--group", AgentGroup}, down: []string{program, "down"},
		jailed: true, out: out,
		changed: make(chan struct{}),
	}
}

// Start starts the program, if it does not run.
func (s *service) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = true
	if s.cmd != nil {
		return nil
	}
	return s.start()
}

func (s *service) start() error {
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	if s.jailed {
		cmd = &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{JailedName}, s.argv...)}
	}
	if s.cgroup != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(s.cgroup.Fd())}
	}
	// A child of the program may hold its output open for longer than it lives.
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return err
	}
	go s.say(r)
	ended := make(chan struct{})
	s.cmd, s.ended = cmd, ended
	s.starts++
	close(s.changed)
	s.changed = make(chan struct{})
	go func() {
		_ = cmd.Wait() // its exit code says nothing that we could act on
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cmd = nil
		close(ended)
		if s.wanted {
			if err := s.start(); err != nil {
				fmt.Fprintf(s.out, "%s: %v\n", s.argv[0], err)
			}
		}
	}()
	return nil
}

func (s *service) say(r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		// The clock is set meanwhile; so tell how long we have been here.
		fmt.Fprintf(s.out, "%8.2f %s\n", time.Since(born).Seconds(), lines.Bytes())
	}
}

// Restart ends the program by SIGTERM, and starts it again. What it has left stays.
func (s *service) Restart() error {
	if err := s.end(); err != nil {
		return err
	}
	return s.Start()
}

// Stop ends the program by SIGTERM, waits until it has ended, and takes away what it has left.
func (s *service) Stop() error {
	if err := s.end(); err != nil {
		return err
	}
	if out, err := exec.Command(s.down[0], s.down[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(s.down, " "), err, out)
	}
	return nil
}

// end ends the program by SIGTERM, and waits until it has ended.
func (s *service) end() error {
	s.mu.Lock()
	s.wanted = false
	cmd, ended := s.cmd, s.ended
	s.mu.Unlock()
	if cmd != nil {
		if err := cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-ended
	}
	return nil
}

// Kill ends the program by SIGKILL, and returns the number of the process that takes its place.
func (s *service) Kill() (pid int, err error) {
	s.mu.Lock()
	cmd, changed := s.cmd, s.changed
	s.mu.Unlock()
	if cmd == nil {
		return 0, errors.New("it does not run")
	}
	if err := cmd.Process.Kill(); err != nil {
		return 0, err
	}
	<-changed
	return s.PID()
}

// PID is the number of the process.
func (s *service) PID() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0, errors.New("it does not run")
	}
	return s.cmd.Process.Pid, nil
}
