package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"wguplink/testbed/topology"
)

// A new configuration touches only what is different in it.
func TestReload(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	wg, vx := nodeIndex(n.scene, "wg_mesh"), nodeIndex(n.scene, "mesh-vpn")
	gw := nodeConnected(n.scene).Gateway.Name
	same := func(what string) {
		t.Helper()
		if nodeIndex(n.scene, "wg_mesh") != wg || nodeIndex(n.scene, "mesh-vpn") != vx {
			t.Errorf("%s: devices %d and %d, then %d and %d", what, wg, vx, nodeIndex(n.scene, "wg_mesh"),
				nodeIndex(n.scene, "mesh-vpn"))
		}
		if st := nodeConnected(n.scene); st.Gateway.Name != gw || st.Switches != 1 {
			t.Errorf("%s: gateway %s, then %s, %d switches", what, gw, st.Gateway.Name, st.Switches)
		}
	}

	since := time.Now()
	n.set("keepalive", "20")
	n.reload("configuration changed")
	nodeLossless(n.scene, l2, since)
	same("keepalive")

	since = time.Now()
	n.set("mtu", "1380")
	n.reload("configuration changed")
	nodeAwaitKernel(n.scene, "with the MTU", func() bool {
		return nodeMTU(n.scene, "wg_mesh") == 1380 && nodeMTU(n.scene, "mesh-vpn") == 1310
	})
	nodeLossless(n.scene, l2, since)
	same("mtu")
	if st := nodeAwait(n.scene, "with the MTU",
		func(st topology.Status) bool { return st.MTU == 1380 }); st.VXLANMTU != 1310 {
		t.Errorf("VXLAN MTU %d", st.VXLANMTU)
	}

	// Without a gateway that is not in use, then without the one that is.
	all := strings.SplitAfter(n.gateways, "\n\n")
	other := slices.IndexFunc(all, func(s string) bool { return s != "" && !strings.Contains(s, "'"+gw+"'") })
	since = time.Now()
	n.gateways = strings.Join(slices.Delete(slices.Clone(all), other, other+1), "")
	n.write()
	n.reload("configuration changed")
	nodeLossless(n.scene, l2, since)
	same("another gateway removed")

	changed := time.Now()
	n.gateways = strings.Join(slices.DeleteFunc(slices.Clone(all),
		func(s string) bool { return strings.Contains(s, "'"+gw+"'") }), "")
	n.write()
	n.reload("configuration changed")
	_, err := l2.Await(n.ctx, changed, topology.NotFrom(gw))
	n.must(err)
	if nodeIndex(n.scene, "wg_mesh") != wg || nodeIndex(n.scene, "mesh-vpn") != vx {
		t.Error("gateway in use removed: the devices are others")
	}
}

// The VXLAN's id cannot be changed on a device; the WireGuard device below stays.
func TestReloadVXLANID(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	wg, vx, id := nodeIndex(n.scene, "wg_mesh"), nodeIndex(n.scene, "mesh-vpn"), n.options["vxlan_id"][0]
	n.set("vxlan_id", "4711")
	n.reload("configuration changed")
	nodeAwaitKernel(n.scene, "with the id", func() bool {
		l, ok := n.NodeLink("mesh-vpn").(*netlink.Vxlan)
		return ok && l.VxlanId == 4711
	})
	n.set("vxlan_id", id)
	n.reload("configuration changed")
	n.reply(l2, time.Now())
	if nodeIndex(n.scene, "wg_mesh") != wg || nodeIndex(n.scene, "mesh-vpn") == vx {
		t.Errorf("WireGuard is number %d, was %d; VXLAN %d, was %d", nodeIndex(n.scene, "wg_mesh"), wg,
			nodeIndex(n.scene, "mesh-vpn"), vx)
	}
	if st := nodeConnected(n.scene); st.Switches != 1 {
		t.Errorf("%d switches", st.Switches)
	}
}

// A mistake is named, and costs no more than its option. A configuration that cannot be read leaves the old one in
// force.
func TestReloadBroken(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	since := time.Now()
	n.set("mtu", "big")
	l := n.reload("the configuration has a problem")
	for _, want := range []string{"mesh", "mtu", "big", "1280"} {
		if !strings.Contains(l, want) {
			t.Errorf("the line does not say %q: %s", want, l)
		}
	}
	n.must(n.agent.Configure("config uplink 'mesh\n"))
	if l := n.reload("the new configuration is broken"); !strings.Contains(l, "line 1") {
		t.Errorf("the line does not say where: %s", l)
	}
	nodeLossless(n.scene, l2, since)
	// And the next good one is taken.
	n.set("mtu", "1400")
	n.reload("configuration changed")
	nodeLossless(n.scene, l2, since)
	if st := nodeAwait(n.scene, "with the MTU",
		func(st topology.Status) bool { return st.MTU == 1400 }); st.State != "connected" || st.Switches != 1 {
		t.Errorf("status %+v", st)
	}
}

// An uplink is taken down and brought back by its option, while the agent runs on.
func TestReloadDisabled(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	n.set("enabled", "0")
	n.reload("msg=stopped")
	if nodeIndex(n.scene, "wg_mesh") != 0 || nodeIndex(n.scene, "mesh-vpn") != 0 {
		t.Error("the devices are left")
	}
	if n.agent.State() != nil {
		t.Fatal("the agent has ended")
	}
	n.set("enabled", "1")
	n.reload("key ready")
	n.reply(l2, time.Now())
	n.set("enabled", "off")
	n.reload("msg=stopped")
	out, code, err := n.agent.Run(n.ctx, "status")
	n.must(err)
	if code != 4 || !strings.Contains(out, "option enabled is off") {
		t.Errorf("status: exit code %d: %s", code, out)
	}
}
