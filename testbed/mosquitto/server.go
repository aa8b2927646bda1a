// Package mosquitto runs a real Mosquitto, Debian's package mosquitto, on a host of the lab.
package mosquitto

import (
	"context"
	"fmt"
	"os/exec"

	"wguplink/testbed/netlab"
)

// Port is MQTT's, without TLS.
const Port = 1883

const (
	configFile = "/etc/mosquitto-lab.conf"
	dataDir    = "/tmp/" // the host's own; it lasts as long as the host
)

// Server is one Mosquitto. Its methods are called one after the other.
type Server struct {
	host    *netlab.Host
	program string
	*netlab.Process
}

// New finds the program. It starts nothing.
func New(host *netlab.Host) (*Server, error) {
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/mosquitto") // not every user's PATH has it
	}
	if err != nil {
		return nil, fmt.Errorf("mosquitto: %w; install the package mosquitto, or run scripts/setup", err)
	}
	return &Server{host: host, program: program}, nil
}

// Start starts Mosquitto, and returns when it serves. With persistence it takes up the retained messages that the last
// one wrote down when it was stopped.
func (s *Server) Start(ctx context.Context, persistence bool) error {
	conf := fmt.Sprintf(
		"listener %d\nallow_anonymous true\nuser root\nlog_dest stderr\npersistence %t\npersistence_location %s\n",
		Port, persistence, dataDir)
	if err := s.host.WriteFile(configFile, conf); err != nil {
		return fmt.Errorf("mosquitto: %w", err)
	}
	p, err := s.host.Start(netlab.Command{Path: s.program, Args: []string{"-c", configFile}})
	if err != nil {
		return fmt.Errorf("mosquitto: %w", err)
	}
	s.Process = p
	if _, err := p.WaitLine(ctx, "running"); err != nil {
		return fmt.Errorf("mosquitto: %w; it said: %q", err, p.Lines())
	}
	return nil
}
