// Package etcdd runs a real etcd, Debian's package etcd-server, on a host of the lab.
package etcdd

import (
	"context"
	"fmt"
	"os/exec"

	"wguplink/testbed/netlab"
)

// Address is where etcd listens, on its own host only.
const Address = "127.0.0.1:2379"

// dataDir is the host's own; it lasts as long as the host, and does not survive a reboot of it.
const dataDir = "/tmp/etcd"

// Server is one etcd. Its methods are called one after the other.
type Server struct {
	host    *netlab.Host
	program string
	*netlab.Process
}

// New finds the program. It starts nothing.
func New(host *netlab.Host) (*Server, error) {
	program, err := exec.LookPath("etcd")
	if err != nil {
		return nil, fmt.Errorf("etcd: %w; install the package etcd-server, or run scripts/setup", err)
	}
	return &Server{host: host, program: program}, nil
}

// Start starts etcd with the data of the last time, and returns when it serves.
func (s *Server) Start(ctx context.Context) error {
	const client, peer = "http://" + Address, "http://127.0.0.1:2380"
	p, err := s.host.Start(netlab.Command{Path: s.program, Args: []string{
		"--name", "lab", "--data-dir", dataDir,
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "lab=" + peer,
		// Alone it needs no patience to be elected.
		"--heartbeat-interval", "10", "--election-timeout", "100",
	}})
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	s.Process = p
	if _, err := p.WaitLine(ctx, "ready to serve"); err != nil {
		return fmt.Errorf("etcd: %w; it said: %q", err, p.Lines())
	}
	return nil
}
