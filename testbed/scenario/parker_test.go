package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"wguplink/testbed/ffac"
	"wguplink/testbed/httpfault"
	"wguplink/testbed/parker"
	"wguplink/testbed/topology"
)

// parkerNode is a scene whose node gets its configuration from a Parker server.
type parkerNode struct {
	*scene
	v4, v6  *topology.Pings
	dialect parker.Dialect
}

func newParker(t *testing.T, o topology.ParkerOptions, change map[string][]string) *parkerNode {
	t.Helper()
	n := &parkerNode{dialect: o.Dialect, scene: newScene(t, topology.Options{Parker: &o},
		func(topo *topology.Topology) string {
			options := topo.ParkerUCI()
			for name, values := range change {
				options[name] = values
			}
			return topology.UCI(options)
		})}
	n.ping()
	return n
}

// ping sends pings of both families until the end of the test.
func (n *parkerNode) ping() {
	n.t.Helper()
	var err error
	n.v4, err = n.Pings(topology.InternetV4, 20*time.Millisecond)
	n.must(err)
	n.t.Cleanup(n.v4.Close)
	n.v6, err = n.Pings(topology.InternetV6, 20*time.Millisecond)
	n.must(err)
	n.t.Cleanup(n.v6.Close)
}

// online waits for replies of both families to pings sent after a moment.
func (n *parkerNode) online(after time.Time) topology.Reply {
	n.t.Helper()
	r6, err := n.v6.Await(n.ctx, after, nil)
	n.must(err)
	if n.dialect == parker.Brunswick { // wgkex gives all nodes the same IPv4 addresses: no gateway could answer
		_, err = n.v4.Await(n.ctx, after, nil)
		n.must(err)
	}
	return r6
}

// lossless checks that every ping since a moment was answered.
func (n *parkerNode) lossless(what string, since time.Time) {
	n.t.Helper()
	n.online(since) // one at least
	until := time.Now()
	n.online(until)
	for _, p := range []*topology.Pings{n.v4, n.v6} {
		if sent, answered := p.Count(since, until); sent == 0 || sent != answered {
			n.t.Errorf("%s: %d of %d pings answered; lost: %s", what, answered, sent, p.Losses(since, until))
		}
	}
}

// ready waits until the node has sessions with all concentrators.
func (n *parkerNode) ready() topology.Status {
	n.t.Helper()
	return nodeAwait(n.scene, "with all sessions", func(st topology.Status) bool {
		if st.State != "connected" || st.Network == nil || len(st.Network.Tunnels) != len(n.Parker.Concentrators) {
			return false
		}
		for _, t := range st.Network.Tunnels {
			if t.HandshakeAt == 0 {
				return false
			}
		}
		return true
	})
}

// hangup has the agent ask for its configuration anew.
func (n *parkerNode) hangup() { n.t.Helper(); n.must(n.agent.Signal(syscall.SIGHUP)) }

// exits are the default routes of our protocol.
func (n *parkerNode) exits() (out []string) {
	n.t.Helper()
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := n.Node.Netlink().RouteListFiltered(family, &netlink.Route{Protocol: 23},
			netlink.RT_FILTER_PROTOCOL)
		n.must(err)
		for _, r := range routes {
			l, err := n.Node.Netlink().LinkByIndex(r.LinkIndex)
			n.must(err)
			out = append(out, l.Attrs().Name)
		}
	}
	return out
}

// What follows from a configuration: devices, addresses, key files, routes, and what `wguplink status` says; and that
// nothing is left at the end but the key.
func TestParkerNode(t *testing.T) {
	t.Parallel()
	for _, d := range []parker.Dialect{parker.Brunswick, parker.Wgkex} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			n := newParker(t, topology.ParkerOptions{Dialect: d}, nil)
			n.online(n.start())
			st := n.ready()
			if len(n.exits()) != 2 || n.exits()[0] != st.Network.Exit || n.exits()[1] != st.Network.Exit ||
				st.MTU != 1375 || st.Switches != 1 {
				t.Errorf("routes by %v; status %+v, %+v", n.exits(), st, st.Network)
			}
			for i := 1; i <= 3; i++ {
				name := fmt.Sprintf("wg_c%d", i)
				l := n.NodeLink(name)
				if l == nil || l.Attrs().MTU != 1375 {
					t.Fatalf("%s: %+v", name, l)
				}
				addrs, err := n.Node.Netlink().AddrList(l, netlink.FAMILY_ALL)
				n.must(err)
				if len(addrs) != 2 || addrs[0].IP.String() != st.Network.Address4 ||
					addrs[1].IP.String() != st.Network.Address6 {
					t.Errorf("%s: addresses %v, want %s and %s", name, addrs, st.Network.Address4, st.Network.Address6)
				}
			}
			public, err := n.Node.ReadFile("/etc/parker/wg-pubkey")
			if err != nil || strings.TrimSpace(string(public)) != st.PublicKey {
				t.Errorf("wg-pubkey %q, %v, want %s", public, err, st.PublicKey)
			}
			out, _, err := n.agent.Run(n.ctx, "status")
			n.must(err)
			for _, want := range []string{"id ", st.Network.Address6, st.Network.Range6, "routes      by wg_c",
				"wg_c1: ", ": handshake "} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			table, code, err := n.agent.Run(n.ctx, "netcheck")
			n.must(err)
			if code != 0 || !strings.Contains(table, "\n* ") ||
				strings.Count(table, "standing by") != len(st.Network.Tunnels)-1 || !strings.Contains(table, " 0 % ") {
				t.Errorf("netcheck: exit code %d\n%s", code, table)
			}
			if findings, code := n.doctor(); code != 0 {
				t.Errorf("doctor beside the agent: exit code %d: %v", code, findings)
			}
			nodeStop(n.scene)
			if n.NodeLink("wg_c1") != nil || len(n.exits()) != 0 {
				t.Errorf("left: %v, routes by %v", n.NodeLink("wg_c1"), n.exits())
			}
			if findings, code := n.doctor(); code != 0 {
				t.Errorf("doctor alone: exit code %d: %v", code, findings)
			}
		})
	}
}

// A concentrator whose name cannot be looked up at first gets its session once it can.
func TestParkerNameComesLate(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	late := n.Parker.Concentrators[2]
	n.DNS.Delete(late.DNS)
	n.online(n.start())
	nodeAwait(n.scene, "with two sessions", func(st topology.Status) bool {
		with := 0
		if st.Network != nil {
			for _, t := range st.Network.Tunnels {
				if t.HandshakeAt != 0 {
					with++
				}
			}
		}
		return with == 2
	})
	n.DNS.Set(late.DNS, late.V4, late.V6)
	n.ready()
}

// An agent that is killed and started anew goes on with what it finds, although no server answers, and no ping is lost.
func TestParkerRestart(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.online(n.start())
	before := n.ready()
	indexes := map[string]int{}
	for _, tun := range before.Network.Tunnels {
		indexes[tun.Interface] = nodeIndex(n.scene, tun.Interface)
	}
	for _, s := range n.Parker.Servers {
		s.SetFault(httpfault.Status(503))
	}
	since := time.Now()
	n.must(n.agent.Kill(n.ctx))
	n.start()
	n.line("going on with the gateway in use")
	n.line("registration failed")
	after := n.status() // the new agent's: it has published since
	n.lossless("a killed agent", since)
	for _, tun := range after.Network.Tunnels {
		if tun.Endpoint == "" {
			t.Errorf("%s lost its session", tun.Interface)
		}
	}
	if after.Network.Exit != before.Network.Exit || after.Network.Address4 != before.Network.Address4 {
		t.Errorf("before %+v, after %+v", before.Network, after.Network)
	}
	for name, index := range indexes {
		if got := nodeIndex(n.scene, name); got != index {
			t.Errorf("%s was made anew: number %d, was %d", name, got, index)
		}
	}

	// What has been tampered with is not gone on with, and the tunnels stay until the owner says what is wanted.
	text, err := n.Node.ReadFile("/var/run/wguplink/mesh.signed")
	n.must(err)
	n.must(n.agent.Kill(n.ctx))
	n.must(n.Node.WriteFile("/var/run/wguplink/mesh.signed", strings.Replace(string(text), "10.0.", "10.9.", 1)))
	since = time.Now()
	n.start()
	n.line("the configuration kept from before is not used")
	n.line("registration failed")
	n.lossless("a tampered file", since)
	for _, s := range n.Parker.Servers {
		s.SetFault(httpfault.Fault{})
	}
	n.line("configuration taken")
	n.online(time.Now())
}

// A server that does not know the node yet says when to come back; nothing is applied, and the cause is named.
func TestParkerNotRegistered(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.must(n.Parker.Network.SetDefault(n.ctx, "retry", 2))
	for _, s := range n.Parker.Servers {
		s.SetFault(parker.Unregistered())
	}
	n.start()
	st := nodeAwait(n.scene, "not registered", func(st topology.Status) bool { return st.Cause == "not_registered" })
	// Two seconds are out of bounds.
	if !strings.Contains(st.Reason, "10s") || n.NodeLink("wg_c1") != nil {
		t.Errorf("status %+v", st)
	}
	if findings, code := n.doctor(); code != 15 || !strings.Contains(findings["broker"], "does not know our key yet") {
		t.Errorf("doctor: exit code %d: %v", code, findings)
	}
	for _, s := range n.Parker.Servers {
		s.SetFault(httpfault.Fault{})
	}
	n.online(time.Now())
}

// The signed values are applied in place: another address, another MTU, another keepalive; devices of others stay.
func TestParkerValuesChange(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.online(n.start())
	st := n.ready()
	index := nodeIndex(n.scene, "wg_c1")
	nodeBridge(n.scene, "wg_c77") // another program's
	var key string
	for _, c := range n.Parker.Concentrators {
		for k := range mustStats(n, c) {
			key = k
		}
	}
	n.must(n.Parker.Network.SetDefault(n.ctx, "mtu", "1360")) // as a string
	n.must(n.Parker.Network.SetDefault(n.ctx, "wg_keepalive", 7))
	n.must(n.Parker.Network.SetDefault(n.ctx, "something_new", map[string]int{"x": 1}))
	n.hangup()
	nodeAwait(n.scene, "with the new MTU", func(st topology.Status) bool { return st.MTU == 1360 })
	if nodeMTU(n.scene, "wg_c1") != 1360 || nodeIndex(n.scene, "wg_c1") != index || n.NodeLink("wg_c77") == nil {
		t.Errorf("wg_c1 has MTU %d, number %d, was %d; the other device: %v", nodeMTU(n.scene, "wg_c1"),
			nodeIndex(n.scene, "wg_c1"), index, n.NodeLink("wg_c77"))
	}
	if key != st.PublicKey {
		t.Errorf("concentrators know %s, the node is %s", key, st.PublicKey)
	}
	n.online(time.Now())
}

func mustStats(n *parkerNode, c *topology.Concentrator) map[string]bool {
	n.t.Helper()
	stats, err := c.Stats()
	n.must(err)
	keys := map[string]bool{}
	for k := range stats {
		keys[k.String()] = true
	}
	return keys
}

// Hooks hear of up, change and down, with what they need to set the clients' network up.
func TestParkerHooks(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.agent.As = topology.Hooked
	const hook = `#!/bin/sh
{ printf '%s %s %s %s %s ' "$1" "$WGUPLINK_INTERFACE" "$WGUPLINK_ADDRESS4" "$WGUPLINK_RANGE6" "$WGUPLINK_ID"; cat; } >> /tmp/heard
echo "done with $1"
[ "$1" != change ] || exit 3
`
	n.must(n.Node.WriteFile("/etc/wguplink/hooks.d/50-test", hook))
	n.must(n.Node.WriteFile("/etc/wguplink/hooks.d/60-disabled", hook))
	n.must(n.Node.Inside(func() error { return os.Chmod("/etc/wguplink/hooks.d/50-test", 0o755) }))
	n.online(n.start())
	n.line("done with up")
	st := n.ready()
	out, code, err := n.agent.Run(n.ctx, "reconnect")
	if err != nil || code == 0 {
		// Without ubusd there is no other way to have another gateway than to take this one away.
		n.must(n.Parker.Named("c" + strings.TrimPrefix(st.Network.Exit, "wg_c")).Kill())
	} else {
		t.Log(out)
	}
	n.line("done with change")
	changed := nodeAwait(n.scene, "with another gateway, and the hook's failure", func(now topology.Status) bool {
		return now.Network != nil && now.Network.Exit != st.Network.Exit && len(now.Hooks) == 1 &&
			now.Hooks[0].Exit == "3"
	})
	if h := changed.Hooks[0]; h.Name != "50-test" || h.Event != "change" || h.Last != "done with change" {
		t.Errorf("hook %+v", h)
	}
	nodeStop(n.scene)
	text, err := n.Node.ReadFile("/tmp/heard")
	n.must(err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 3 {
		t.Fatalf("heard %q", lines)
	}
	for i, want := range []string{
		fmt.Sprintf("up %s %s %s %s ", st.Network.Exit, st.Network.Address4, st.Network.Range6, st.Network.ID),
		fmt.Sprintf("change %s %s %s %s ", changed.Network.Exit, st.Network.Address4, st.Network.Range6, st.Network.ID),
		"down     ",
	} {
		rest, ok := strings.CutPrefix(lines[i], want)
		var event struct {
			Event, Uplink string
			Config        map[string]any
		}
		if err := json.Unmarshal([]byte(rest), &event); !ok || err != nil || event.Event != strings.Fields(want)[0] ||
			event.Uplink != "mesh" {
			t.Errorf("heard %q, want it to begin with %q: %v", lines[i], want, err)
		}
		if i < 2 && (event.Config["nonce"] == nil || event.Config["concentrators"] == nil) {
			t.Errorf("%s without the signed configuration: %v", want, event.Config)
		}
	}
}

// The WAN's default route in the main table is not shadowed: a tunnel that carries its own packets is none.
func TestParkerMainTable(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, map[string][]string{"fwmark": {"0"}})
	wan := n.NodeLink("wan")
	for _, gw := range []string{topology.RouterV4.Addr().String(), topology.RouterV6.Addr().String()} {
		n.must(n.Node.Netlink().RouteAdd(&netlink.Route{LinkIndex: wan.Attrs().Index, Gw: net.ParseIP(gw)}))
	}
	n.start()
	st := nodeAwait(n.scene, "with a warning", func(st topology.Status) bool {
		return st.State == "connected" &&
			len(st.Warnings) == 2
	})
	if !strings.Contains(st.Warnings[0], "ip4table") || len(n.exits()) != 0 {
		t.Errorf("warnings %q, routes by %v", st.Warnings, n.exits())
	}
}

// A node of the original scripts moves to us with its key, and the server sees the same node.
func TestParkerMigration(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.online(n.start())
	before := n.ready()
	private, err := n.Node.ReadFile("/etc/parker/wg-privkey")
	n.must(err)
	nodeStop(n.scene)
	// As `wg genkey` and `wg pubkey` leave them; the second is missing after a power cut.
	n.must(n.Node.Inside(func() error {
		return errors.Join(os.Remove("/etc/parker/wg-pubkey"), os.RemoveAll("/var/run/wguplink"))
	}))
	n.must(n.Node.WriteFile("/etc/parker/wg-privkey", string(private)))
	n.online(n.start())
	after := n.ready()
	if after.PublicKey != before.PublicKey || after.Network.ID != before.Network.ID ||
		after.Network.Range4 != before.Network.Range4 {
		t.Errorf("before %+v, after %+v", before.Network, after.Network)
	}
}

// Where the WAN's IPv6 is too narrow for packets of the network's size, concentrators are reached by IPv4. The server
// cannot know that: at wgkex it names no addresses.
func TestParkerNarrowIPv6(t *testing.T) {
	t.Parallel()
	// The server believes in a wide line: it is told the MTU of another device.
	n := newParker(t, topology.ParkerOptions{Dialect: parker.Wgkex}, map[string][]string{"wan_device": {"lo"}})
	n.must(n.Node.Sysctl("net.ipv6.conf.wan.mtu", "1400"))
	n.online(n.start())
	st := n.ready()
	if !strings.HasPrefix(st.Gateway.Endpoint, "203.0.113.") {
		t.Errorf("in use by %s, although IPv6 carries 1400 bytes only", st.Gateway.Endpoint)
	}
	for _, s := range n.Parker.Servers {
		for _, r := range s.Requests() {
			if !strings.Contains(r.RawQuery, "&v6mtu=65536&") {
				t.Errorf("the server was told %s", r.RawQuery)
			}
		}
	}
}

// Aachen's registration: the key is posted, again when the gateways have lost it, and a server that is down keeps no
// node away from gateways that know it.
func TestFFAC(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{FFAC: true, Glue: true}, func(topo *topology.Topology) string {
		o := topo.FFACOptions()
		o["node_name"] = []string{"ffxx-node"}
		return topology.UCI(o, topo.Sections())
	})
	l2 := s.frames()
	s.reply(l2, s.start())
	st := nodeConnected(s)
	if r := s.FFAC.Registrations(); len(r) != 1 || r[0].NodeName != "ffxx-node" || r[0].Key.String() != st.PublicKey {
		t.Errorf("registrations %+v, the node is %s", r, st.PublicKey)
	}
	if findings, code := s.doctor(); code != 0 {
		t.Errorf("doctor: exit code %d: %v", code, findings)
	}
}

func TestFFACServerDown(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{FFAC: true},
		func(topo *topology.Topology) string { return topology.UCI(topo.FFACOptions(), topo.Sections()) })
	o := s.FFACOptions()
	o["private_key"] = []string{brokerKnownKey(s).String()} // known from the days when the server was up
	s.must(s.agent.Configure(topology.UCI(o, s.Sections())))
	s.FFAC.SetFault(httpfault.Status(500))
	l2 := s.frames()
	s.reply(l2, s.start())
	if st := nodeConnected(s); !strings.Contains(st.Broker, "500") {
		t.Errorf("status %+v, want the server's answer in it", st)
	}
}

// Each start but the first finds the entry there already, however the server says so. The doctor is content, and the
// log has one line.
func TestFFACExists(t *testing.T) {
	t.Parallel()
	for _, form := range []ffac.Form{ffac.Messages, ffac.Texts, ffac.Memory} {
		t.Run(form.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, topology.Options{FFAC: true},
				func(topo *topology.Topology) string { return topology.UCI(topo.FFACOptions(), topo.Sections()) })
			s.FFAC.SetForm(form)
			l2 := s.frames()
			s.reply(l2, s.start())
			s.must(s.agent.TakeDown(s.ctx))
			s.reply(l2, s.start())
			nodeConnected(s)
			s.line("already exists")
			if findings, code := s.doctor(); code != 0 {
				t.Errorf("doctor: exit code %d: %v", code, findings)
			}
			if asked := s.FFAC.Asked(); asked > 4 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// An error of the server is shown, with any status.
func TestFFACRefuses(t *testing.T) {
	t.Parallel()
	for _, form := range []ffac.Form{ffac.Messages, ffac.Texts} {
		t.Run(form.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, topology.Options{FFAC: true},
				func(topo *topology.Topology) string { return topology.UCI(topo.FFACOptions(), topo.Sections()) })
			s.FFAC.SetForm(form)
			s.FFAC.SetFault(ffac.Refuse("Not a valid Wireguard public key: K."))
			s.start()
			brokerTrouble(s, "broker_refused", "Error adding key: Not a valid Wireguard public key")
		})
	}
}

// A server that takes a key and loses it is asked again once gateways do not answer.
func TestFFACKeyLost(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{FFAC: true, Glue: true},
		func(topo *topology.Topology) string { return topology.UCI(topo.FFACOptions(), topo.Sections()) })
	s.FFAC.SetFault(httpfault.Status(200)) // and tells no gateway
	l2 := s.frames()
	began := s.start()
	s.line("msg=registered")
	s.FFAC.SetFault(httpfault.Fault{})
	s.reply(l2, began)
	if asked := s.FFAC.Asked(); asked < 2 || asked > 4 {
		t.Errorf("asked %d times", asked)
	}
}
