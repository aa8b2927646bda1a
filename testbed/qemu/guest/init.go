package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"wguplink/agent/ubus"
	"wguplink/testbed/qemu/console"
	"wguplink/testbed/ubusd"
)

// Init is the first process. It returns only with an error; then the kernel panics, and the machine is off.
func Init() error {
	// This process measures nothing, and shares a router's memory with what is measured.
	debug.SetGCPercent(20)
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	os.Setenv("HOME", "/tmp")
	if err := mounts(); err != nil {
		return err
	}
	if err := soundTimer(); err != nil {
		return err
	}
	c, err := load(ConfigFile)
	if err != nil {
		return err
	}
	if err := modules(ModuleDir); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if c.Disk != "" {
		if err := errors.Join(awaitFile(c.Disk, deviceTime), restore("/etc", c.Disk)); err != nil {
			return err
		}
	}
	if c.Flash != "" {
		if err := mountFlash(c.Flash); err != nil {
			return err
		}
	}
	if err := network(c); err != nil {
		return err
	}
	tty, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := raw(tty); err != nil {
		return err
	}
	if c.Exec != "" {
		cmd := exec.Command(c.Exec)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", c.Exec, err)
		}
		return fmt.Errorf("%s has ended", c.Exec)
	}
	if err := serveUbus(); err != nil {
		return err
	}
	m := &machine{c: c}
	if c.Agent != "" {
		m.agent = newAgent(tty, c.Agent)
		if c.AgentMemory != 0 {
			if m.agent.cgroup, err = limitMemory(c.AgentMemory); err != nil {
				return err
			}
		}
	}
	if err := console.Serve(tty, tty, m.handle); err != nil {
		return err
	}
	return errors.New("the console is closed")
}

// serveUbus runs OpenWrt's message bus.
func serveUbus() error {
	ln, err := ubusd.Listen(ubus.DefaultPath)
	if err != nil {
		return err
	}
	go func() {
		if err := ubusd.New().Serve(context.Background(), ln); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return nil
}
