package scenario

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/vishvananda/netlink"

	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
)

// babel starts a real babeld, Debian's package, on a device of a host. What the host has on lo inside fd88::/16 is
// announced. The device is one on which not every node hears each other node.
func babel(s *scene, h *netlab.Host, dev string) *netlab.Process {
	s.t.Helper()
	program, err := exec.LookPath("babeld")
	if err != nil {
		program = "/usr/sbin/babeld"
	}
	if _, err := os.Stat(program); err != nil {
		s.t.Fatalf("babeld: %v; install the package babeld, or run scripts/setup lab", err)
	}
	p, err := h.Start(netlab.Command{Path: program, Args: []string{
		"-I", "/tmp/babeld.pid", "-S", "/tmp/babeld.state", // in the host's own /tmp
		"-d", "1", "-h", "1", "-H", "1", "-w",
		"-C", "redistribute local ip fd88::/16 allow", "-C", "redistribute local deny", dev,
	}})
	s.must(err)
	return p
}

// A mesh with a routing daemon of its own runs it on the VXLAN device, which has broadcast and multicast as a wire has:
// two nodes reach each other through the gateway by what Babel has found out, and batman-adv is not needed.
func TestBabel(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{Gateways: 1}, withBroker)
	second, node2, err := s.SecondAgent(os.Getenv(binaryEnv), t.TempDir(), withBroker(s.Topology))
	s.must(err)
	gw := s.Gateways[0].Host
	s.must(gw.Forward())
	one, two := netip.MustParseAddr("fd88::1"), netip.MustParseAddr("fd88::2")
	s.must(s.Node.Addr("lo", netip.PrefixFrom(one, 128)))
	s.must(node2.Addr("lo", netip.PrefixFrom(two, 128)))

	s.start()
	nodeConnected(s)
	s.must(second.Start())
	_, err = second.WaitLine(s.ctx, "connected")
	s.must(err)
	linkLocal(s, gw, "vx-mesh", "fe80::88:3/64")
	linkLocal(s, s.Node, "mesh-vpn", "fe80::88:1/64")
	linkLocal(s, node2, "mesh-vpn", "fe80::88:2/64")
	babel(s, gw, "vx-mesh")
	babel(s, s.Node, "mesh-vpn")
	babel(s, node2, "mesh-vpn")
	s.must(s.PingFrom(s.ctx, s.Node, one, two))
	s.must(s.PingFrom(s.ctx, node2, two, one))
}

// linkLocal gives a device an address to speak Babel from, where the kernel has not made one.
func linkLocal(s *scene, h *netlab.Host, dev, addr string) {
	s.t.Helper()
	link, err := h.Netlink().LinkByName(dev)
	s.must(err)
	have, err := h.Netlink().AddrList(link, netlink.FAMILY_V6)
	s.must(err)
	if len(have) == 0 {
		s.must(h.Addr(dev, netip.MustParsePrefix(addr)))
	}
}
