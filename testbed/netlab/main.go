package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stageEnv tells a re-executed process what it is. It never reaches a program
// of the lab.
const (
	stageEnv  = "NETLAB_STAGE"
	stageInit = "init"
	stageRun  = "run"
)

// inside is true in the process that Main's run is called in.
var inside bool

// All stages but the first are taken up here, before main or TestMain, so that
// they work in any binary that links this package.
func init() {
	if os.Args[0] == launchName {
		launch()
	}
	stage := os.Getenv(stageEnv)
	os.Unsetenv(stageEnv)
	switch stage {
	case stageInit:
		os.Exit(initStage())
	case stageRun:
		inside = sameProgram("/proc/1/exe", "/proc/self/exe")
	}
}

// Main runs run, the rest of the program, inside namespaces of its own (see
// the package comment) and exits with its result. It needs root. main calls it
// first of all, or TestMain: netlab.Main(m.Run).
//
// SIGINT, SIGTERM, SIGHUP and SIGQUIT to the outer process reach the process of
// run, which sees the first two through Context.
func Main(run func() int) {
	if inside {
		os.Exit(run())
	}
	code, err := outer()
	if err != nil {
		fmt.Fprintf(os.Stderr, "netlab: %v\n", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// Whole is for a machine that is nothing but the lab, such as a virtual one:
// hosts are made without namespaces around them, and nothing clears them away.
func Whole() { inside = true }

// Context returns a context that ends with the first SIGINT or SIGTERM. A
// second one ends the process the usual way.
func Context() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// forwarded returns a channel of the signals that go to the process of run,
// less those that we were started to ignore, as by nohup.
func forwarded() <-chan os.Signal {
	signals := make(chan os.Signal, 8)
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	return signals
}

func outer() (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("the lab makes namespaces and mounts and needs root: run it again as root or with sudo")
	}
	// The parent-death signal follows the thread that starts init, not the
	// process: stay on it.
	runtime.LockOSThread()
	// Init holds the other end, and ends when ours is gone. The signal alone
	// leaves a gap: we may die before init has asked for it.
	alive, hold, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("pipe to init: %w", err)
	}
	defer hold.Close()
	signals := forwarded()

	cmd := exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       os.Args,
		Env:        append(os.Environ(), stageEnv+"="+stageInit),
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		ExtraFiles: []*os.File{alive},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			Pdeathsig:  unix.SIGKILL,
			// Out of the terminal's foreground group: a Ctrl-C comes by way
			// of us, once, and does not hit the programs of the lab.
			Setsid: true,
		},
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("new namespaces: %w (is this a container without CAP_SYS_ADMIN?)", err)
	}
	alive.Close()
	go func() {
		for sig := range signals {
			_ = cmd.Process.Signal(sig)
		}
	}()
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		return exitCode(unix.WaitStatus(status)), nil
	}
	return 0, fmt.Errorf("wait for the lab: %w", err)
}

// initStage is pid 1. It must not use os/exec: its loop reaps any child.
func initStage() int {
	// The capability that dropClock takes is a thread's, and so inherited.
	runtime.LockOSThread()
	alive := os.NewFile(3, "outer process")
	unix.CloseOnExec(3)
	go func() {
		_, _ = io.Copy(io.Discard, alive)
		os.Exit(128 + int(unix.SIGKILL)) // the outer process is gone
	}()
	signals := forwarded()

	pid, err := startRun()
	if err != nil {
		fmt.Fprintf(os.Stderr, "netlab: %v\n", err)
		return 1
	}
	go func() {
		for sig := range signals {
			_ = unix.Kill(pid, sig.(syscall.Signal))
		}
	}()
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			fmt.Fprintf(os.Stderr, "netlab: init: wait: %v\n", err)
			return 1
		case got == pid && (status.Exited() || status.Signaled()):
			return exitCode(status)
		}
	}
}

func startRun() (pid int, err error) {
	if err := labMounts(); err != nil {
		return 0, err
	}
	if err := dropClock(); err != nil {
		return 0, err
	}
	if err := unix.Sethostname([]byte("lab")); err != nil {
		return 0, fmt.Errorf("set hostname: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return 0, fmt.Errorf("set lo up: %w", err)
	}
	p, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), stageEnv+"="+stageRun),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return 0, fmt.Errorf("start the lab: %w", err)
	}
	return p.Pid, nil
}

// dropClock takes from this thread, for all that it will start, the right to
// set the machine's clock.
func dropClock() error {
	err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_TIME, 0, 0, 0)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err == nil {
		err = unix.Capget(&header, &sets[0])
	}
	if err == nil {
		const bit = 1 << unix.CAP_SYS_TIME
		sets[0].Effective &^= bit
		sets[0].Permitted &^= bit
		sets[0].Inheritable &^= bit
		err = unix.Capset(&header, &sets[0])
	}
	if err != nil {
		return fmt.Errorf("drop CAP_SYS_TIME: %w", err)
	}
	return nil
}

// exitCode is a process's result as a shell gives it.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func sameProgram(a, b string) bool {
	ai, err := os.Stat(a)
	if err != nil {
		return false
	}
	bi, err := os.Stat(b)
	return err == nil && os.SameFile(ai, bi)
}
