package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"wguplink/testbed/topology"
)

// nodeMoment is how far apart two readings of clocks may be that are meant to be the same.
const nodeMoment = 5 * time.Second

// node is a scene whose configuration can be changed, option by option. Its key is made beforehand and every gateway
// knows it, so that it needs no broker.
type node struct {
	*scene
	options  map[string][]string
	gateways string // the sections
	more     string // further sections
}

// newNode makes a scene with static gateways, with some options set; an option without values is left out.
func newNode(t *testing.T, o topology.Options, options map[string][]string) *node {
	t.Helper()
	n := &node{}
	n.scene = newScene(t, o, func(topo *topology.Topology) string {
		n.options, n.gateways = topo.StaticOptions(), topo.Sections()
		key, err := topo.KnownKey()
		if err != nil {
			t.Fatal(err)
		}
		n.options["private_key"] = []string{key.String()}
		for name, values := range options {
			n.options[name] = values
		}
		return n.uci()
	})
	return n
}

func (n *node) uci() string { return topology.UCI(n.options, n.gateways, n.more) }

// set changes an option in the file; without values it leaves it out.
func (n *node) set(option string, values ...string) {
	n.t.Helper()
	n.options[option] = values
	n.write()
}

// write writes the configuration file.
func (n *node) write() {
	n.t.Helper()
	n.must(n.agent.Configure(n.uci()))
}

// reload has the agent read its configuration, and waits for a line about it.
func (n *node) reload(line string) string {
	n.t.Helper()
	before := len(n.agent.Lines())
	n.must(n.agent.Signal(syscall.SIGHUP))
	l, err := n.agent.WaitLineFrom(n.ctx, before, line)
	n.must(err)
	return l
}

// nodeStop stops the agent for good.
func nodeStop(s *scene) {
	s.t.Helper()
	s.must(s.agent.TakeDown(s.ctx))
	if code := s.agent.State().ExitCode(); code != 0 {
		s.t.Errorf("the agent ended with exit code %d", code)
	}
}

// nodeAwait waits until the agent's status is as wanted.
func nodeAwait(s *scene, what string, ok func(topology.Status) bool) topology.Status {
	s.t.Helper()
	st, err := s.agent.Await(s.ctx, what, ok)
	s.must(err)
	return st
}

// nodeConnected waits until all is well.
func nodeConnected(s *scene) topology.Status {
	s.t.Helper()
	return nodeAwait(s, "connected", topology.Connected)
}

// nodeAwaitKernel waits until something holds of the node's devices and addresses.
func nodeAwaitKernel(s *scene, what string, ok func() bool) {
	s.t.Helper()
	var sub *nl.NetlinkSocket
	s.must(s.Node.Do(func() (err error) {
		sub, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_NEIGH)
		return err
	}))
	defer sub.Close()
	defer context.AfterFunc(s.ctx, sub.Close)()
	for !ok() {
		if _, _, err := sub.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) {
			s.t.Fatalf("never %s: %v", what, errors.Join(err, context.Cause(s.ctx)))
		}
	}
}

// nodeIndex gives the number of a device, 0 when there is none.
func nodeIndex(s *scene, dev string) int {
	if l := s.NodeLink(dev); l != nil {
		return l.Attrs().Index
	}
	return 0
}

// nodeMTU gives the MTU of a device, 0 when there is none.
func nodeMTU(s *scene, dev string) int {
	if l := s.NodeLink(dev); l != nil {
		return l.Attrs().MTU
	}
	return 0
}

// nodeBridge makes a bridge on the node, up.
func nodeBridge(s *scene, name string) netlink.Link {
	s.t.Helper()
	s.must(s.Node.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}))
	s.must(s.Node.LinkUp(name))
	return s.NodeLink(name)
}

// nodeWireGuard gives the agent's userspace WireGuard processes.
func nodeWireGuard(s *scene) (pids []int) {
	s.t.Helper()
	procs, err := s.Node.Processes()
	s.must(err)
	for _, p := range procs {
		if len(p.Args) == 3 && p.Args[1] == "wireguard-go" {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// nodeLastWireGuard waits until only the youngest WireGuard process of the node is left, and gives it.
func nodeLastWireGuard(s *scene) int {
	s.t.Helper()
	pids := nodeWireGuard(s)
	slices.Sort(pids)
	if len(pids) == 0 {
		s.t.Fatal("no WireGuard process")
	}
	last := len(pids) - 1
	for _, pid := range pids[:last] {
		s.must(nodeEnded(s.ctx, pid))
	}
	return pids[last]
}

// nodeEnded waits for the end of a process on the node that may not be our child.
func nodeEnded(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for ctx.Err() == nil {
		if n, err := unix.Poll(fds, 100); n > 0 {
			return nil
		} else if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return fmt.Errorf("process %d still runs: %w", pid, context.Cause(ctx))
}

// nodeLossless waits for a reply to a frame sent from now on; then each of those sent since a moment must have been
// answered, and once only.
func nodeLossless(s *scene, l *topology.Layer2, since time.Time) {
	s.t.Helper()
	until := time.Now()
	s.reply(l, until)
	if sent, answered := l.Count(since, until); sent != answered {
		s.t.Errorf("of %d frames %d were answered; lost: %s", sent, answered, l.Losses(since, until))
	}
}
