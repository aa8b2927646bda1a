package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/derive"
	"wguplink/agent/ubus"
	"wguplink/peerselector"
	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
)

// dropIn is a Gluon node: netifd's WireGuard and VXLAN devices, and our program in the place of wgpeerselector.
type dropIn struct {
	*scene
	key     wgtypes.Key
	foreign wgtypes.Key // a peer that is netifd's own
}

const dropInObject = "wgpeerselector.wg_mesh"

// newDropIn makes a topology of Gluon's gateways, which know the node; uci gives /etc/config/wgpeerselector.
func newDropIn(t *testing.T, o topology.Options, uci func(*topology.Topology) string) *dropIn {
	t.Helper()
	o.Gluon, o.Glue = true, true // as at Hannover
	d := &dropIn{scene: newScene(t, o, func(*topology.Topology) string { return "" })}
	var err error
	if d.key, err = wgtypes.GeneratePrivateKey(); err == nil {
		d.foreign, err = wgtypes.GeneratePrivateKey()
	}
	d.must(err)
	d.foreign = d.foreign.PublicKey()
	for _, g := range d.Gateways {
		d.must(g.AddKey(peerselector.Key(d.key.PublicKey())))
	}
	d.configure(uci(d.Topology))
	system := "config timeserver 'ntp'\n"
	for i := range d.NTP {
		system += "\tlist server '" + topology.NTPName(i+1) + "'\n"
	}
	d.write("system", system)
	d.write("network", "config interface 'wg_mesh'\n\toption proto 'wireguard'\n\toption fwmark '1'\n")
	d.must(d.Node.WriteFile("/etc/resolv.conf", "nameserver "+topology.ServicesV4.Addr().String()+"\n"))
	// Gluon's is 800; ubusd, which is the lab's, must find a name for it in the machine's own file.
	d.must(d.Node.WriteFile("/etc/group", "root:x:0:\ngluon-mesh-vpn:x:1:\n"))
	return d
}

func (d *dropIn) write(file, text string) {
	d.t.Helper()
	d.must(os.WriteFile(filepath.Join(d.agent.Dir, file), []byte(text), 0o644))
}

func (d *dropIn) configure(uci string) { d.t.Helper(); d.write("wgpeerselector", uci) }

// dropInPeers are the sections of all gateways, as Gluon's upgrade script writes them.
func dropInPeers(topo *topology.Topology) string {
	var b strings.Builder
	for _, g := range topo.Gateways {
		fmt.Fprintf(&b, "config peer '%s'\n\toption enabled '1'\n\toption ifname 'wg_mesh'\n\toption public_key '%s'\n"+
			"\toption endpoint '%s:51820'\n\tlist allowed_ips 'fe80::1/128'\n\toption persistent_keepalive '25'\n\n",
			g.Name, g.PublicKey(), g.DNS)
	}
	return b.String()
}

// run starts the program under the original's name.
func (d *dropIn) run(args ...string) {
	d.t.Helper()
	p, err := d.Node.Start(netlab.Command{Path: d.agent.Binary, Argv0: "wgpeerselector",
		Args: append([]string{"--stderr"}, args...), Config: d.agent.Dir})
	d.must(err)
	d.agent.Process = p
}

// netifd makes the devices as netifd does: WireGuard with the node's key and a peer of its own, and the VXLAN over it.
func (d *dropIn) netifd() {
	d.t.Helper()
	_, err := d.Node.Start(netlab.Command{Path: d.agent.Binary, Args: []string{"wireguard-go", "wg_mesh"}})
	d.must(err)
	mark := 1
	d.awaitSocket()
	d.must(d.control(func(wg *wgctrl.Client) error {
		return wg.ConfigureDevice("wg_mesh", wgtypes.Config{PrivateKey: &d.key, FirewallMark: &mark,
			ReplacePeers: true, Peers: []wgtypes.PeerConfig{{PublicKey: d.foreign}}})
	}))
	link := derive.LinkLocal(peerselector.Key(d.key.PublicKey()), false)
	d.must(d.Node.Addr("wg_mesh", netip.PrefixFrom(link, 128)))
	d.must(d.Node.LinkUp("wg_mesh"))
	d.must(d.Node.Netlink().LinkAdd(&netlink.Vxlan{
		LinkAttrs: netlink.LinkAttrs{Name: "mesh-vpn", MTU: 1350}, VxlanId: topology.VXLANID,
		Port:         topology.GluonVXLANPort,
		VtepDevIndex: nodeIndex(d.scene, "wg_mesh"), SrcAddr: net.IP(link.AsSlice()),
		Group:          net.IP(topology.GluonLink.AsSlice()),
		UDP6ZeroCSumTx: true, UDP6ZeroCSumRx: true,
	}))
	d.must(d.Node.LinkUp("mesh-vpn"))
}

// control runs f with a WireGuard client on the node.
func (d *dropIn) control(f func(*wgctrl.Client) error) error {
	return d.Node.Inside(func() error {
		wg, err := wgctrl.New()
		if err != nil {
			return err
		}
		defer wg.Close()
		return f(wg)
	})
}

// awaitSocket waits until WireGuard on the node can be configured. It looks every few milliseconds: the socket is there
// a moment before it answers.
func (d *dropIn) awaitSocket() {
	d.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := d.control(func(wg *wgctrl.Client) error { _, err := wg.Device("wg_mesh"); return err })
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-d.ctx.Done():
			d.t.Fatalf("no WireGuard device: %v", errors.Join(err, context.Cause(d.ctx)))
		}
	}
}

// peers gives what is on the device, by key.
func (d *dropIn) peers() map[wgtypes.Key]wgtypes.Peer {
	d.t.Helper()
	all := map[wgtypes.Key]wgtypes.Peer{}
	d.must(d.control(func(wg *wgctrl.Client) error {
		dev, err := wg.Device("wg_mesh")
		if err != nil {
			return err
		}
		for _, p := range dev.Peers {
			all[p.PublicKey] = p
		}
		return nil
	}))
	return all
}

// established gives the peers that the ubus object calls established; it fails the test if the answer has another
// shape.
func (d *dropIn) established() (names []string) {
	d.t.Helper()
	answer, err := d.UbusCall(d.ctx, dropInObject, "status", nil)
	d.must(err)
	peers, ok := answer.Table("peers")
	if !ok || len(answer) != 1 || len(peers) != len(d.Gateways) {
		d.t.Fatalf("status is %+v", answer)
	}
	for _, f := range peers {
		peer, ok := f.Value.(ubus.Table)
		if _, connected := peer.Int("established"); connected {
			names = append(names, f.Name)
		} else if !ok || len(peer) != 0 {
			d.t.Errorf("peer %s is %+v", f.Name, f.Value)
		}
	}
	return names
}

// awaitEstablished waits until the ubus object calls one gateway established, and no other. It looks every few
// milliseconds: the drop-in has no event.
func (d *dropIn) awaitEstablished(gateway string) {
	d.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got := d.established()
		if slices.Equal(got, []string{gateway}) {
			return
		}
		select {
		case <-tick.C:
		case <-d.ctx.Done():
			d.t.Fatalf("ubus says %v, the frames came by %s: %v", got, gateway, context.Cause(d.ctx))
		}
	}
}
