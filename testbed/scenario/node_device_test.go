package scenario

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/agent/derive"
	"wguplink/testbed/topology"
)

// What is taken away or changed under the agent is made anew, and the frames flow again.
func TestDevicesComeBack(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"backend": {"userspace"}})
	l2 := n.frames()
	n.reply(l2, n.start())
	del := func(dev string) func() {
		return func() { n.must(n.Node.Netlink().LinkDel(n.NodeLink(dev))) }
	}
	key, ok := n.agent.Key(n.ctx)
	if !ok {
		t.Fatal("no key")
	}
	link := netip.PrefixFrom(derive.LinkLocal(key, true), 64)
	for _, damage := range []struct {
		what string
		do   func()
		anew []string // devices that must be others than before
	}{
		{"VXLAN deleted", del("mesh-vpn"), []string{"mesh-vpn"}},
		{"WireGuard deleted", del("wg_mesh"), []string{"wg_mesh", "mesh-vpn"}},
		{"VXLAN down", func() { n.must(n.Node.LinkDown("mesh-vpn")) }, nil},
		{"WireGuard down", func() { n.must(n.Node.LinkDown("wg_mesh")) }, nil},
		{"address removed", func() { n.must(n.Node.DelAddr("wg_mesh", link)) }, nil},
		{"MTU changed", func() { n.must(n.Node.Netlink().LinkSetMTU(n.NodeLink("wg_mesh"), 1300)) }, nil},
		{"WireGuard process killed", func() {
			pid := nodeLastWireGuard(n.scene)
			n.must(unix.Kill(pid, unix.SIGKILL))
			n.must(nodeEnded(n.ctx, pid))
		}, []string{"wg_mesh", "mesh-vpn"}},
	} {
		t.Log(damage.what)
		before := map[string]int{"wg_mesh": nodeIndex(n.scene, "wg_mesh"), "mesh-vpn": nodeIndex(n.scene, "mesh-vpn")}
		damage.do()
		n.reply(l2, time.Now())
		for _, dev := range damage.anew {
			if nodeIndex(n.scene, dev) == before[dev] {
				t.Errorf("%s: %s is the old one", damage.what, dev)
			}
			delete(before, dev)
		}
		for dev, index := range before {
			if nodeIndex(n.scene, dev) != index {
				t.Errorf("%s: %s is another one", damage.what, dev)
			}
		}
		nodeAwaitKernel(n.scene, damage.what+": as wanted", func() bool {
			if nodeMTU(n.scene, "wg_mesh") != 1420 {
				return false
			}
			addrs, err := n.Node.Netlink().AddrList(n.NodeLink("wg_mesh"), netlink.FAMILY_V6)
			return err == nil && len(addrs) == 1 && addrs[0].IP.String() == link.Addr().String()
		})
	}
	nodeLastWireGuard(n.scene)
	if st := nodeConnected(n.scene); st.Switches != 1 {
		t.Errorf("%d switches", st.Switches)
	}
}

// A device of another program with our name is named as the cause and left alone; when it is gone the agent goes on.
func TestForeignDevice(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	theirs := nodeBridge(n.scene, "wg_mesh")
	l2 := n.frames()
	n.start()
	st := nodeAwait(n.scene, "held up by the device", func(st topology.Status) bool { return st.Cause == "device" })
	if !strings.Contains(st.Reason, "wg_mesh") || !strings.Contains(st.Reason, "bridge") {
		t.Errorf("reason %q", st.Reason)
	}
	// Each of these has the agent look again.
	for range 3 {
		n.must(n.Node.LinkDown("wg_mesh"))
		n.must(n.Node.LinkUp("wg_mesh"))
	}
	if nodeIndex(n.scene, "wg_mesh") != theirs.Attrs().Index {
		t.Fatal("the bridge is gone")
	}
	n.must(n.Node.Netlink().LinkDel(theirs))
	n.reply(l2, time.Now())
	if st := nodeConnected(n.scene); st.Cause != "" {
		t.Errorf("cause %q: %s", st.Cause, st.Reason)
	}
	said := 0
	for _, l := range n.agent.Lines() {
		if strings.Contains(l, "tunnel not as wanted") {
			said++
		}
	}
	if said != 1 {
		t.Errorf("the error is logged %d times", said)
	}
}

// A stand-in for batman-adv: a bridge of the name takes the VXLAN as a port as soon as it is there, and again when it
// has lost it.
func TestBatmanPort(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"batman": {"bat0"}})
	n.start()
	st := nodeConnected(n.scene)
	if len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "bat0") {
		t.Errorf("warnings %q", st.Warnings)
	}
	bat := nodeBridge(n.scene, "bat0")
	// A port's frames are the bridge's.
	l2 := n.Layer2("bat0", 20*time.Millisecond)
	t.Cleanup(l2.Close)
	n.reply(l2, time.Now())
	if st := nodeAwait(n.scene, "without a warning",
		func(st topology.Status) bool { return len(st.Warnings) == 0 }); st.State != "connected" {
		t.Errorf("status %+v", st)
	}
	port := n.NodeLink("mesh-vpn")
	n.must(n.Node.Netlink().LinkSetNoMaster(port))
	n.reply(l2, time.Now())
	if now := n.NodeLink("mesh-vpn"); now.Attrs().MasterIndex != bat.Attrs().Index ||
		now.Attrs().Index != port.Attrs().Index {
		t.Errorf("mesh-vpn is number %d under %d", now.Attrs().Index, now.Attrs().MasterIndex)
	}
	nodeStop(n.scene)
	if nodeIndex(n.scene, "mesh-vpn") != 0 || nodeIndex(n.scene, "bat0") == 0 {
		t.Error("the stop took the wrong device")
	}
}
