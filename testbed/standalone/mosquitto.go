package standalone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// mqtt starts Mosquitto on a free port of the loopback address, and waits until it serves.
func (s *server) mqtt(ctx context.Context) error {
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/mosquitto"); err != nil {
			return fmt.Errorf("mosquitto: %w; apt-get install mosquitto", err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("port for Mosquitto: %w", err)
	}
	s.port = ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		return fmt.Errorf("port for Mosquitto: %w", err)
	}
	dir, err := os.MkdirTemp("", "wguplink-gateway-")
	if err != nil {
		return fmt.Errorf("folder for Mosquitto: %w", err)
	}
	s.undo = append(s.undo, func() error { return os.RemoveAll(dir) })
	conf := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest stderr\npersistence false\n",
		s.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configure Mosquitto: %w", err)
	}
	cmd := exec.Command(program, "-c", conf)
	// Ctrl-C is for us; Mosquitto ends when we are done with it, or when we are killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("mosquitto: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("mosquitto: %w", err)
	}
	running := make(chan error, 1)
	go func() {
		var said []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if said = append(said, lines.Text()); strings.Contains(lines.Text(), "running") {
				running <- nil
			}
		}
		select {
		case running <- fmt.Errorf("mosquitto ended; it said: %q", said):
		default:
		}
	}()
	s.undo = append(s.undo, func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("end mosquitto: %w", err)
		}
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			return fmt.Errorf("end mosquitto: %w", err)
		}
		return nil
	})
	select {
	case err := <-running:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
