package scenario

import (
	"strings"
	"testing"

	"wguplink/testbed/line"
	"wguplink/testbed/topology"
)

// narrow is a path that silently loses packets over 1400 bytes, and fragments, as some do beyond the router.
var narrow = line.Shape{MTU: 1400, DropFragments: true}

// WireGuard's 32 bytes, UDP's 8 and an IPv4 or IPv6 header: what passes inside a path of 1400 bytes. WireGuard pads its
// payload to a multiple of 16.
const (
	narrowInside4 = (1400 - 60) / 16 * 16
	narrowInside6 = (1400 - 80) / 16 * 16
)

// An MTU of our own choice is lowered to what passes; a configured one stays, with a warning that names what would.
func TestMTULowered(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Line: true, Gateways: 1}, map[string][]string{"mtu": {"auto"}})
	n.Line.Set(narrow, narrow)
	n.reply(n.frames(), n.start())
	st := nodeAwait(n.scene, "lowered", func(st topology.Status) bool { return st.MTU < 1420 && st.MTU > 0 })
	if (st.MTU != narrowInside4 && st.MTU != narrowInside6) || st.VXLANMTU != st.MTU-70 ||
		nodeMTU(n.scene, "wg_mesh") != st.MTU {
		t.Errorf("MTU %d, of the VXLAN %d, of the device %d", st.MTU, st.VXLANMTU, nodeMTU(n.scene, "wg_mesh"))
	}
}

func TestMTUTooBig(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Line: true, Gateways: 1}, map[string][]string{"mtu": {"1412"}})
	n.Line.Set(narrow, narrow)
	n.reply(n.frames(), n.start())
	st := nodeAwait(n.scene, "warned", func(st topology.Status) bool { return len(st.Warnings) > 0 })
	if st.MTU != 1412 || !strings.Contains(st.Warnings[0], "mtu 1412 is too big") ||
		!strings.Contains(st.Warnings[0], "set option mtu '13") {
		t.Errorf("MTU %d, warnings %q", st.MTU, st.Warnings)
	}
}

// A wide path leaves nothing to say.
func TestMTUPasses(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Line: true, Gateways: 1}, map[string][]string{"mtu": {"1420"}})
	n.more = "config global 'global'\n\toption log_level 'debug'\n"
	n.write()
	n.reply(n.frames(), n.start())
	n.line("MTU measured")
	if st := nodeConnected(n.scene); st.MTU != 1420 || len(st.Warnings) != 0 {
		t.Errorf("MTU %d, warnings %q", st.MTU, st.Warnings)
	}
}
