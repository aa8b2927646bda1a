package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/testbed/ntpd"
	"wguplink/testbed/topology"
)

// The life of the drop-in on a Gluon node: it waits for the interface, connects, says so on ubus, goes to another
// gateway when that dies, and leaves nothing but what was there before.
func TestDropIn(t *testing.T) {
	t.Parallel()
	d := newDropIn(t, topology.Options{}, dropInPeers)
	d.run("-i", "wg_mesh", "--group", "gluon-mesh-vpn", "-p", "/var/run/wgpeerselector.pid")
	d.must(d.Ubus.Await(d.ctx, dropInObject))
	if got := d.established(); len(got) != 0 {
		t.Errorf("established without an interface: %v", got)
	}
	d.netifd()
	l2 := d.frames()
	first := d.reply(l2, time.Now())
	d.awaitEstablished(first.Gateway)
	peers := d.peers()
	if _, ok := peers[d.foreign]; len(peers) != 2 || !ok {
		t.Errorf("%d peers, netifd's own among them: %v", len(peers), ok)
	}
	if pid, err := d.Node.ReadFile("/var/run/wgpeerselector.pid"); err != nil ||
		strings.TrimSpace(string(pid)) != fmt.Sprint(d.agent.PID()) {
		t.Errorf("PID file: %q, %v", pid, err)
	}
	if gid := dropInGID(d); gid != "1 1 1 1" {
		t.Errorf("group ids are %s", gid)
	}
	if routes := dropInRoutes(d); !slices.Equal(routes, []string{"fe80::1/128"}) {
		t.Errorf("routes %v", routes)
	}

	killed := time.Now()
	d.must(d.Named(first.Gateway).Kill())
	next, err := l2.Await(d.ctx, killed, nil)
	d.must(err)
	if next.Gateway == first.Gateway {
		t.Errorf("%s, which is dead, answers", first.Gateway)
	}
	d.awaitEstablished(next.Gateway)

	d.must(d.agent.Stop(d.ctx))
	if code := d.agent.State().ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if peers = d.peers(); len(peers) != 1 {
		t.Errorf("%d peers are left", len(peers))
	}
	if routes := dropInRoutes(d); len(routes) != 0 {
		t.Errorf("routes left: %v", routes)
	}
	if _, err := d.Node.ReadFile("/var/run/wgpeerselector.pid"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the PID file is left: %v", err)
	}
	if nodeIndex(d.scene, "wg_mesh") == 0 || nodeIndex(d.scene, "mesh-vpn") == 0 {
		t.Error("a device of netifd is gone")
	}
}

// netifd deletes its interface and makes it anew, then it sets it up again in place, which drops all peers but its own.
func TestDropInInterfaceRemade(t *testing.T) {
	t.Parallel()
	d := newDropIn(t, topology.Options{}, dropInPeers)
	d.netifd()
	d.run("--interface=wg_mesh")
	l2 := d.frames()
	d.reply(l2, time.Now())
	d.must(d.Node.Netlink().LinkDel(d.NodeLink("mesh-vpn")))
	d.must(d.Node.Netlink().LinkDel(d.NodeLink("wg_mesh")))
	for _, pid := range nodeWireGuard(d.scene) {
		d.must(nodeEnded(d.ctx, pid)) // it answers a moment longer than its device exists
	}
	d.netifd()
	again := d.reply(l2, time.Now())
	d.must(d.control(func(wg *wgctrl.Client) error {
		return wg.ConfigureDevice("wg_mesh", wgtypes.Config{ReplacePeers: true,
			Peers: []wgtypes.PeerConfig{{PublicKey: d.foreign}}})
	}))
	last := d.reply(l2, time.Now())
	// The peer's loss is mended; had the gateway been called dead for it, there would be another.
	if last.Gateway != again.Gateway {
		t.Errorf("the gateway's peer is lost: from %s to %s", again.Gateway, last.Gateway)
	}
	if peers := d.peers(); len(peers) != 2 {
		t.Errorf("%d peers", len(peers))
	}
}

// What an earlier run has left on the device goes, what is netifd's stays; a killed agent's gateway is kept in use.
func TestDropInLeftovers(t *testing.T) {
	t.Parallel()
	d := newDropIn(t, topology.Options{}, dropInPeers)
	d.netifd()
	d.must(d.control(func(wg *wgctrl.Client) error {
		var left []wgtypes.PeerConfig
		for _, g := range d.Gateways {
			left = append(left, wgtypes.PeerConfig{PublicKey: wgtypes.Key(g.PublicKey())})
		}
		return wg.ConfigureDevice("wg_mesh", wgtypes.Config{Peers: left})
	}))
	d.run("-iwg_mesh")
	l2 := d.frames()
	first := d.reply(l2, time.Now())
	peers := d.peers()
	if _, ok := peers[d.foreign]; !ok || len(peers) != 2 {
		t.Errorf("%d peers", len(peers))
	}
	since := time.Now()
	d.must(d.agent.Signal(syscall.SIGKILL))
	d.agent.Wait(d.ctx)
	d.run("-iwg_mesh")
	d.line("going on with the gateway in use")
	nodeLossless(d.scene, l2, since)
	if r := d.reply(l2, time.Now()); r.Gateway != first.Gateway {
		t.Errorf("%s, then %s", first.Gateway, r.Gateway)
	}
}

// Names with several addresses, of which some lead nowhere; no answer from NTP; a wrong clock.
func TestDropInNames(t *testing.T) {
	t.Parallel()
	d := newDropIn(t, topology.Options{Gateways: 1}, dropInPeers)
	g := d.Gateways[0]
	d.DNS.Set(g.DNS, netip.MustParseAddr("2001:db8:101::99"), netip.MustParseAddr("203.0.113.66"), g.V4)
	for _, s := range d.NTP {
		s.SetLie(ntpd.Dead())
	}
	d.Clock().SetSynchronised(false)
	d.netifd()
	at := time.Now()
	d.run("-i", "wg_mesh")
	d.reply(d.frames(), at)
}

// Configurations that give nothing to do end with one line that says why, and with 1; what is in use stays as it is.
func TestDropInNothingToDo(t *testing.T) {
	t.Parallel()
	d := newDropIn(t, topology.Options{}, dropInPeers)
	d.netifd()
	before := d.peers()
	for what, uci := range map[string]string{
		"no section":      "",
		"all disabled":    strings.ReplaceAll(dropInPeers(d.Topology), "enabled '1'", "enabled '0'"),
		"other interface": strings.ReplaceAll(dropInPeers(d.Topology), "'wg_mesh'", "'wg_other'"),
		"bad key": "config peer 'a'\n\toption enabled '1'\n\toption ifname 'wg_mesh'\n\toption public_key " +
			"'x'\n\toption endpoint 'a:1'\n\tlist allowed_ips 'fe80::1/128'\n",
	} {
		d.configure(uci)
		d.run("-i", "wg_mesh")
		d.agent.Wait(d.ctx)
		lines := d.agent.Lines()
		if code := d.agent.State().ExitCode(); code != 1 || len(lines) == 0 ||
			!strings.Contains(lines[len(lines)-1], "no peer for interface") {
			t.Errorf("%s: exit code %d: %q", what, code, lines)
		}
	}
	for _, args := range [][]string{{"-i"}, {"--interface", "a/b"}, {"-i", "wg_mesh", "--group"}, {"-x"}, {"wg_mesh"}} {
		d.run(args...)
		d.agent.Wait(d.ctx)
		if code, lines := d.agent.State().ExitCode(), d.agent.Lines(); code != 2 || len(lines) != 1 {
			t.Errorf("%q: exit code %d: %q", args, code, lines)
		}
	}
	d.configure(dropInPeers(d.Topology))
	d.run("-i", "wg_mesh", "--group", "no-such-group")
	d.agent.Wait(d.ctx)
	if code, lines := d.agent.State().ExitCode(), d.agent.Lines(); code != 1 || len(lines) != 1 ||
		!strings.Contains(lines[0], "no-such-group") {
		t.Errorf("unknown group: exit code %d: %q", code, lines)
	}
	if diff := cmp.Diff(len(before), len(d.peers())); diff != "" {
		t.Error("peers were touched")
	}
}

// dropInGID is the line Gid of the process: real, effective, saved and of the file system.
func dropInGID(d *dropIn) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.agent.PID()))
	d.must(err)
	for _, l := range strings.Split(string(text), "\n") {
		if ids, ok := strings.CutPrefix(l, "Gid:"); ok {
			return strings.Join(strings.Fields(ids), " ")
		}
	}
	return ""
}

// dropInRoutes are the routes by wg_mesh that are ours.
func dropInRoutes(d *dropIn) (dst []string) {
	routes, err := d.Node.Netlink().RouteListFiltered(netlink.FAMILY_ALL,
		&netlink.Route{LinkIndex: nodeIndex(d.scene, "wg_mesh"), Protocol: 119},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	d.must(err)
	for _, r := range routes {
		dst = append(dst, r.Dst.String())
	}
	return dst
}
