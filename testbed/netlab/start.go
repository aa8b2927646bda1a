package netlab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/vclock"
)

// Command describes a program to start on a host.
type Command struct {
	// Path of the program, as the lab sees it, or else as the host does. A
	// program that the host does not see (under /tmp, say) is mounted in its
	// /run/lab for it, so os.Executable works there.
	Path string
	// Argv0 is what the program sees as its name; "" is Path.
	Argv0 string
	Args  []string
	// Under is a program of the host with its arguments that gets Path and Args
	// behind them, such as {"/usr/bin/env"}. Path must be the lab's then.
	Under []string
	// Env is added to a short environment with PATH, HOME and TZ=UTC.
	Env []string
	// Files are written on the host beforehand, by path; see Host.WriteFile.
	Files map[string]string
	// Config is a folder of the lab that becomes the host's /etc/config, until
	// another does. "" leaves /etc/config as it is.
	Config string
	// Clock is what the program and all that it starts have for a wall clock;
	// nil is Host.Clock. Unless the clock never differs from the machine's,
	// Path must come from vclock.Prepare.
	Clock *vclock.Clock
	// Jail is what the program may do; nil is all that the lab may.
	Jail *Jail
	// Stdout and Stderr get whole lines as they come; nil discards. The
	// Process keeps the lines in any case.
	Stdout, Stderr io.Writer
}

// Start starts a program on the host, in a session of its own, with / as its
// working directory and nothing to read on its standard input. It returns once
// the program is executing. Programs are not tied to each other: what one
// leaves running stays until Kill, Reboot or Lab.Close.
func (h *Host) Start(c Command) (*Process, error) {
	p, err := h.start(c)
	if err != nil {
		return nil, fmt.Errorf("netlab: host %s: start %s: %w", h.name, c.Path, err)
	}
	h.mu.Lock()
	h.procs = slices.DeleteFunc(h.procs, func(p *Process) bool { return p.State() != nil })
	h.procs = append(h.procs, p)
	h.mu.Unlock()
	return p, nil
}

func (h *Host) start(c Command) (*Process, error) {
	if c.Config != "" {
		if err := h.Bind(c.Config, "/etc/config"); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		if err := h.WriteFile(name, c.Files[name]); err != nil {
			return nil, err
		}
	}
	program, err := h.program(c.Path)
	if err != nil {
		return nil, err
	}
	clock := c.Clock
	if clock == nil {
		clock = h.clock
	}
	argv0 := c.Argv0
	if argv0 == "" {
		argv0 = program
	}

	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket pair to the launcher: %w", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "launcher")
	defer theirs.Close()
	out, err := newOutput(c.Stdout, c.Stderr)
	if err != nil {
		return nil, err
	}
	args := append([]string{program, argv0}, c.Args...)
	if len(c.Under) > 0 {
		args = slices.Concat([]string{c.Under[0]}, c.Under, []string{program}, c.Args)
	}
	cmd := &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        append([]string{launchName}, args...),
		Env:         append(environment(), c.Env...),
		Dir:         "/",
		Stdout:      out.pipes[0],
		Stderr:      out.pipes[1],
		ExtraFiles:  []*os.File{theirs}, // launchFD
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if c.Jail != nil {
		cmd.Env = append(cmd.Env, envOf(c.Jail))
	}
	if err := h.Inside(cmd.Start); err != nil {
		out.finish()
		return nil, err
	}
	theirs.Close()
	p := newProcess(cmd, out)
	if err := launched(pair[0], clock); err != nil {
		_ = cmd.Process.Kill()
		<-p.exited
		return nil, err
	}
	p.started = time.Now()
	return p, nil
}

// programs is where programs that a host would not see are mounted.
const programs = "/run/lab"

// program returns the path at which the host finds the program.
func (h *Host) program(name string) (string, error) {
	if !filepath.IsAbs(name) {
		return "", errors.New("the path of a program must be absolute")
	}
	want, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return name, nil // the host's own, or no file: exec will tell
	}
	if err != nil {
		return "", err
	}
	tree, err := cloneTree(name)
	if err != nil {
		return "", err
	}
	defer unix.Close(tree)

	h.mu.Lock()
	defer h.mu.Unlock()
	target := path.Join(programs, path.Base(name))
	err = h.Inside(func() error {
		if same(name, want) {
			target = name
			return nil
		}
		if same(target, want) {
			return nil
		}
		// What is there is another program of that name; those that run it keep it.
		_ = unix.Unmount(target, unix.MNT_DETACH)
		if err := os.MkdirAll(programs, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, nil, 0o755); err != nil {
			return err
		}
		return attachTree(tree, target)
	})
	return target, err
}

func same(name string, want fs.FileInfo) bool {
	fi, err := os.Stat(name)
	return err == nil && os.SameFile(fi, want)
}

// environment is what all programs of the lab have. GORACE says where a program built with the race detector reports.
func environment() []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "TZ=UTC"}
	if race, ok := os.LookupEnv("GORACE"); ok {
		env = append(env, "GORACE="+race)
	}
	return env
}
