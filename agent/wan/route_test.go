//go:build !cross

package wan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	ours "wguplink/agent/netlink"
)

// ip runs the commands of iproute2, one a line, and takes back what "add" has added. Rules and routes are best written
// as their users write them.
func ip(t testing.TB, lines string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		args := strings.Fields(line)
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", line, err, out)
		}
		for i, a := range args {
			if a == "add" && args[0] != "link" { // those go with link, below
				undo := append(append([]string(nil), args[:i]...), "del")
				undo = append(undo, args[i+1:]...)
				if args[0] == "nexthop" {
					undo = undo[:i+3] // its id
				}
				t.Cleanup(func() { exec.Command("ip", undo...).Run() })
			}
		}
	}
}

// resolv makes a resolv.conf with that name server; with none for "".
func resolv(t *testing.T, server string) {
	t.Helper()
	before, file := resolvConf, filepath.Join(t.TempDir(), "resolv.conf")
	if server != "" {
		ok(t, os.WriteFile(file, []byte("nameserver "+server+"\n"), 0o644))
	}
	resolvConf = []string{file}
	t.Cleanup(func() { resolvConf = before })
}

// bed has the devices that the forms of routes and rules are tried with.
func bed(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	ok(t, err)
	ok(t, netlink.LinkSetUp(lo)) // rules with "iif lo" hold in any case; local routes need it
	link(t, "uplink", 1492, "192.0.2.1/24", "2001:db8::1/64")
	link(t, "mesh", 1500, "10.0.0.1/8", "fd00::1/64")
	link(t, "ours", 1420, "10.9.0.1/24", "fd09::1/64")
}

const (
	up4 = "route add default via 192.0.2.2 dev uplink"
	up6 = "-6 route add default via 2001:db8::2 dev uplink"
)

func TestState(t *testing.T) {
	world := "to 193.0.14.129: "
	world6 := "to 2001:7fd::1: "
	const none = "network is unreachable"
	both := State{V4: true, V6: true, Dev4: "uplink", Dev6: "uplink", MTU4: 1492, MTU6: 1492}
	only4 := State{V4: true, Dev4: "uplink", MTU4: 1492, Why6: world6 + none}
	only6 := State{V6: true, Dev6: "uplink", MTU6: 1492, Why4: world + none}
	down := State{Why4: world + none, Why6: world6 + none}
	because := func(s State, why4, why6 string) State {
		s.Why4, s.Why6 = why4, why6
		return s
	}
	for _, tt := range []struct {
		name   string
		ip     string
		mark   uint32
		to     *Destinations
		resolv string // the name server
		want   State
	}{
		{name: "nothing", ip: "rule", mark: 1, want: down},
		{name: "main table without a rule", ip: up4 + "\n" + up6, mark: 1, want: both},
		{name: "no mark", ip: up4 + "\n" + up6, want: both},
		{name: "no mark, a rule for all",
			ip: "rule add pref 100 lookup 100\nroute add default via 192.0.2.2 dev uplink table 100", want: only4},
		{name: "as Gluon: a rule for IPv6 only, the mesh's default in the main table", mark: 1,
			ip: `-6 rule add fwmark 1 lookup 1
			-6 route add default via 2001:db8::2 dev uplink table 1
			-6 route add default via fd00::2 dev mesh
			` + up4, want: both},
		{name: "the selected table is empty: the kernel goes on to the next rule", mark: 1,
			ip: `rule add fwmark 1 lookup 1
			` + up4, want: only4},
		{name: "the selected table ends in unreachable", mark: 1, ip: `rule add fwmark 1 lookup 1
			route add unreachable default table 1
			` + up4, want: because(State{}, world+"no route to host", world6+none)},
		{name: "a rule for another mark", mark: 1, ip: `rule add fwmark 2 lookup 1
			route add default via 10.0.0.2 dev mesh table 1
			` + up4, want: only4},
		{name: "a mask", mark: 0x11, ip: `rule add fwmark 0x10/0xf0 lookup 1
			route add default via 192.0.2.2 dev uplink table 1
			route add default via 10.0.0.2 dev mesh`, want: only4},
		// What netifd (of 2026-07) writes for ip4table and ip6table 100 of an interface: interface-ip.c,
		// set_ip_lo_policy and interface_add_addr_rules; the number of the device is added to 90000.
		{name: "as netifd: iif lo", mark: 1, ip: `rule add pref 90003 iif lo lookup 100
			rule add pref 10000 from 192.0.2.1/32 lookup 100
			rule add pref 20000 to 192.0.2.1/24 lookup 100
			route add default via 192.0.2.2 dev uplink table 100
			-6 rule add pref 90003 iif lo lookup 100
			-6 rule add pref 10000 from 2001:db8::1/128 lookup 100
			-6 rule add pref 20000 to 2001:db8::1/64 lookup 100
			-6 rule add pref 4200000003 iif uplink unreachable
			-6 route add default via 2001:db8::2 dev uplink table 100`, want: both},
		{name: "iif lo and nothing else", ip: `rule add iif lo lookup 100
			route add default via 192.0.2.2 dev uplink table 100`, want: only4},
		{name: "iif of another device", mark: 1, ip: `rule add pref 100 iif mesh lookup 100
			route add default via 10.0.0.2 dev mesh table 100
			` + up4, want: only4},
		// As wg-quick: all but what carries the mark goes into another table.
		{name: "not fwmark, ours", mark: 1, ip: `rule add pref 100 not fwmark 1 lookup 51820
			route add default via 10.0.0.2 dev mesh table 51820
			` + up4, want: only4},
		{name: "not fwmark, another's", mark: 1, ip: `rule add pref 100 not fwmark 0xca6c lookup 51820
			route add default via 192.0.2.2 dev uplink table 51820
			route add default via 10.0.0.2 dev mesh`, want: only4},
		{name: "suppress_prefixlength", mark: 1, ip: `rule add pref 100 lookup main suppress_prefixlength 0
			rule add pref 101 lookup 100
			route add default via 10.0.0.2 dev mesh
			route add default via 192.0.2.2 dev uplink table 100`, want: only4},
		{name: "uidrange: ours", mark: 1, ip: `rule add pref 100 uidrange 0-0 lookup 100
			route add default via 192.0.2.2 dev uplink table 100`, want: only4},
		{name: "uidrange: another's", mark: 1, ip: `rule add pref 100 uidrange 1-2 lookup 100
			route add default via 192.0.2.2 dev uplink table 100`, want: down},
		{name: "goto", mark: 1, ip: `route add default via 192.0.2.2 dev uplink table 100
			rule add pref 300 lookup 100
			rule add pref 200 prohibit
			rule add pref 100 fwmark 1 goto 300`, want: only4},
		{name: "a rule that prohibits", mark: 1, ip: `rule add pref 100 fwmark 1 prohibit
			` + up4, want: because(State{}, world+"permission denied", world6+none)},
		{name: "for the protocol and port of WireGuard", ip: `rule add pref 100 ipproto udp dport 51820 lookup 100
			route add default via 192.0.2.2 dev uplink table 100`, to: &Destinations{Gateways: to("203.0.113.7:51820")},
			want: because(only4, "", "is not used by any gateway")},
		{name: "for the protocol and port of a broker", ip: `rule add pref 100 ipproto tcp dport 443 lookup 100
			route add default via 192.0.2.2 dev uplink table 100`, to: &Destinations{Brokers: to("203.0.113.7:443"), Told: true}, want: only4},
		{name: "several tables, the first throws", mark: 1, ip: `rule add pref 100 fwmark 1 lookup 100
			rule add pref 101 fwmark 1 lookup 101
			route add throw default table 100
			route add default via 192.0.2.2 dev uplink table 101`, want: only4},
		{name: "blackhole", ip: "route add blackhole default",
			want: because(State{}, world+"invalid argument", world6+none)},
		{name: "prohibit", ip: "-6 route add prohibit default",
			want: because(State{}, world+none, world6+"permission denied")},
		{name: "unreachable", ip: "-6 route add unreachable default",
			want: because(State{}, world+none, world6+"no route to host")},
		{name: "lowest metric counts", mark: 1, ip: `route add default via 10.0.0.2 dev mesh metric 20
			route add default via 192.0.2.2 dev uplink metric 10`, want: only4},
		{name: "a rule that is unreachable", mark: 1, ip: `rule add pref 100 fwmark 1 unreachable
			` + up4, want: down},
		{name: "a rule that is a black hole", mark: 1, ip: `rule add pref 100 fwmark 1 blackhole
			` + up4, want: because(State{}, world+"invalid argument", world6+none)},
		{name: "oif of another device", mark: 1, ip: `rule add pref 100 oif mesh lookup 100
			route add default via 10.0.0.2 dev mesh table 100
			` + up4, want: only4},
		{name: "to the destination", mark: 1, ip: `rule add pref 100 to 193.0.0.0/16 lookup 100
			route add default via 192.0.2.2 dev uplink table 100`, want: only4},
		{name: "from another's address", mark: 1, ip: `rule add pref 100 from 10.0.0.0/8 lookup 100
			route add default via 10.0.0.2 dev mesh table 100
			` + up4, want: only4},
		{name: "for another type of service", mark: 1, ip: `rule add pref 100 tos 0x10 lookup 100
			route add default via 10.0.0.2 dev mesh table 100
			` + up4, want: only4},
		{name: "goto, and there is nothing", mark: 1, ip: `rule add pref 100 fwmark 1 goto 40000
			rule add pref 40000 fwmark 2 lookup 100
			` + up4, want: down},
		{name: "suppress_prefixlength, and a longer route", mark: 1, ip: `
			rule add pref 100 lookup main suppress_prefixlength 0
			rule add pref 101 lookup 100
			route add 193.0.0.0/16 via 192.0.2.2 dev uplink
			route add default via 10.0.0.2 dev mesh table 100`, want: only4},
		{name: "a route for one address that throws", mark: 1, ip: up4 + "\nroute add throw 193.0.14.129", want: down},
		{name: "a nexthop object that is a black hole", ip: `nexthop add id 7 blackhole
			route add default nhid 7`, want: because(State{}, world+"invalid argument", world6+none)},
		{name: "a group of nexthop objects", ip: `nexthop add id 7 via 192.0.2.2 dev uplink
			nexthop add id 8 via 192.0.2.3 dev uplink
			nexthop add id 9 group 7/8
			route add default nhid 9`, want: only4},
		{name: "IPv4 by an IPv6 router", ip: "-4 route add default via inet6 2001:db8::2 dev uplink", want: only4},
		{name: "without a router", ip: "route add default dev uplink\n-6 route add default dev uplink", want: both},
		{name: "two halves instead of a default", ip: `route add 0.0.0.0/1 via 192.0.2.2 dev uplink
			route add 128.0.0.0/1 via 192.0.2.2 dev uplink`, want: only4},
		{name: "by a nexthop object", ip: `nexthop add id 7 via 192.0.2.2 dev uplink
			route add default nhid 7`, want: only4},
		{name: "by several hops",
			ip: "route add default nexthop via 192.0.2.2 dev uplink nexthop via 192.0.2.3 dev uplink", want: only4},
		// As odhcp6c has netifd set the default route of a WAN with a delegated prefix.
		{name: "IPv6 for our source only", mark: 1,
			ip: "-6 route add default from 2001:db8::/64 via 2001:db8::2 dev uplink", want: only6},
		{name: "an IPv6 rule for our source only", mark: 1, ip: `-6 rule add from 2001:db8::/64 lookup 100
			-6 route add default via 2001:db8::2 dev uplink table 100`, want: only6},
		{name: "our own tunnel is no way out, though a worse route leads out", mark: 1,
			ip: `route add default via 10.9.0.2 dev ours
			route add default via 192.0.2.2 dev uplink metric 10`,
			want: because(State{Mesh: true}, "to 193.0.14.129 leads into our own mesh, by ours", world6+none)},
		{name: "our own tunnel for one family", mark: 1, ip: "route add default via 10.9.0.2 dev ours\n" + up6,
			want: State{V6: true, Dev6: "uplink", MTU6: 1492, Mesh: true,
				Why4: "to 193.0.14.129 leads into our own mesh, by ours"}},

		{name: "guifi: gateways without any default route",
			to: &Destinations{Gateways: to("172.16.3.4:51820"), Names: true},
			ip: "route add 172.16.0.0/12 via 192.0.2.2 dev uplink", want: only4},
		{name: "a name server without any default route", to: &Destinations{Servers: to("172.16.0.53:53"), Names: true},
			ip: "route add 172.16.0.0/12 via 192.0.2.2 dev uplink", want: only4},
		{name: "a name server on our own link, no gateway known yet",
			to: &Destinations{Servers: to("192.0.2.53:53"), Names: true},
			ip: "rule", want: only4},
		{name: "a name server on our own link, and no way to the gateway",
			to: &Destinations{Gateways: to("203.0.113.7:51820"), Servers: to("192.0.2.53:53"), Names: true},
			ip: "rule", want: because(State{}, "to 203.0.113.7: "+none, world6+none)},
		{name: "no way to the gateway that is known, but others may come",
			to: &Destinations{Gateways: to("203.0.113.7:51820"), Servers: to("198.51.100.53:53"), Names: true},
			ip: up4 + "\nroute add unreachable 203.0.113.7", want: only4},
		{name: "no way to the only gateway, a default route besides",
			to:   &Destinations{Gateways: to("203.0.113.7:51820"), Servers: to("198.51.100.53:53")},
			ip:   up4 + "\n" + up6 + "\nroute add unreachable 203.0.113.7",
			want: because(State{}, "to 203.0.113.7: no route to host", "is not used by any gateway")},
		{name: "no way to the only broker, a default route besides",
			to:   &Destinations{Brokers: to("203.0.113.7:443"), Servers: to("198.51.100.53:53"), Told: true},
			ip:   up4 + "\n" + up6 + "\nroute add unreachable 203.0.113.7",
			want: because(only6, "to 203.0.113.7: no route to host", "")},
		{name: "no way to the gateway of a name, a default route besides",
			to: &Destinations{Gateways: to("203.0.113.7:51820"), Names: true},
			ip: up4 + "\nroute add unreachable 203.0.113.7", want: only4},
		{name: "one of two gateways", to: &Destinations{Gateways: to("203.0.113.7:51820", "203.0.113.8:51820")},
			ip:   "route add 203.0.113.8 via 192.0.2.2 dev uplink",
			want: because(only4, "", "is not used by any gateway")},
		{name: "a gateway that is ourselves", to: &Destinations{Gateways: to("192.0.2.1:51820")},
			ip: up4, want: because(State{}, "to 192.0.2.1: it is an address of this host",
				"is not used by any gateway")},
		{name: "the device that is used, not that of the default route",
			to:   &Destinations{Gateways: to("203.0.113.7:51820", "[2001:db8:7::7]:51820")},
			ip:   up4 + "\n" + up6 + "\nroute add 203.0.113.7 via 10.0.0.2 dev mesh",
			want: State{V4: true, V6: true, Dev4: "mesh", Dev6: "uplink", MTU4: 1500, MTU6: 1492}},
		{name: "no default route, a gateway's name, and a name server behind a router", to: &Destinations{Names: true},
			resolv: "10.2.0.53",
			ip:     "route add 10.2.0.0/16 via 192.0.2.2 dev uplink", want: only4},
		{name: "no default route, a gateway's name, and a name server on our own link", ip: "rule",
			to: &Destinations{Names: true}, resolv: "192.0.2.53",
			want: because(State{}, "to 193.0.14.129: network is unreachable",
				"to 2001:7fd::1: network is unreachable")},
		{name: "no default route, a broker's name, and a name server in our own mesh",
			to: &Destinations{Names: true, Told: true}, resolv: "10.2.0.53",
			ip: "route add 10.2.0.0/16 via 10.9.0.2 dev ours", want: because(State{Mesh: true},
				"to 193.0.14.129: network is unreachable", "to 2001:7fd::1: network is unreachable")},
		{name: "addresses that are no destinations", to: &Destinations{Gateways: to("127.0.0.1:1", "[fe80::1]:1",
			"[::1]:1", "224.0.0.1:1", "0.0.0.0:1"), Names: true},
			ip: up4, want: only4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bed(t)
			ip(t, tt.ip)
			resolv(t, tt.resolv)
			p := Path{Mark: tt.mark, Own: func(name string) bool { return name == "ours" }}
			if tt.to != nil {
				p.To = new(Targets)
				p.To.Set(*tt.to)
			}
			got, err := p.State()
			ok(t, err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !got.Up() && (!strings.HasPrefix(got.String(), "no WAN route: IPv4 "+got.Why4) ||
				!strings.HasSuffix(got.String(), got.Why6)) {
				t.Errorf("says %q", got)
			}
		})
	}
}

// All addresses on our own devices are our own mesh.
func TestOwnMesh(t *testing.T) {
	for name, set := range map[string]string{
		"the device itself":          "link set wg-mesh up",
		"a bridge with it as a port": "link add top type bridge\nlink set wg-mesh master top",
		"a macvlan":                  "link add top link wg-mesh type macvlan",
		"a VXLAN over it":            "link add top type vxlan id 7 dstport 4789 dev wg-mesh",
		"a macvlan on a bridge": "link add name sw type bridge\nlink set wg-mesh master sw\nlink set sw " +
			"up\nlink add top link sw type macvlan",
		"a bridge with a VXLAN as port": "link add vx type vxlan id 7 dstport 4789 dev wg-mesh\nlink add top type " +
			"bridge\nlink set vx master top",
		"a macvlan on a bridge of such": "link add vx type vxlan id 7 dstport 4789 dev wg-mesh\nlink add name sw " +
			"type bridge\nlink set vx master sw\nlink set sw up\nlink add top link sw type macvlan",
		"a veth pair into such a bridge": "link add name sw type bridge\nlink set wg-mesh master sw\nlink add top " +
			"type veth peer name in-sw\nlink set in-sw master sw up\nlink set sw up",
		"a bridge with a macvlan of it": "link add vx link wg-mesh type macvlan\nlink add top type bridge\n" +
			"link set vx up\nlink set vx master top",
		"the mesh interface, by its name": "link add top type bridge\nlink add bat0 type veth peer name " +
			"bat0-far\nlink set bat0-far up\n" +
			"link set bat0 master top up",
	} {
		t.Run(name, func(t *testing.T) {
			pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wg-mesh"}, PeerName: "wg-far"}
			ok(t, netlink.LinkAdd(pair))
			t.Cleanup(func() {
				for _, n := range []string{"top", "sw", "vx", "bat0", "wg-mesh"} {
					if l, err := netlink.LinkByName(n); err == nil {
						netlink.LinkDel(l)
					}
				}
			})
			ip(t, "link set wg-far up\nlink set wg-mesh up\n"+set)
			by := "top"
			if _, err := netlink.LinkByName(by); err != nil {
				by = "wg-mesh"
			}
			link(t, "uplink", 1500, "192.0.2.1/24")
			ip(t, "link set "+by+" up\naddr add 10.0.0.1/8 dev "+by+"\nroute add default via 10.0.0.2 dev "+by+
				" metric 5\n"+up4+" metric 10")
			p := Path{Own: func(name string) bool { return name == "wg-mesh" || name == "bat0" }}
			s, err := p.State()
			ok(t, err)
			if s.Up() || s.Why4 != "to 193.0.14.129 leads into our own mesh, by "+by {
				t.Errorf("%+v", s)
			}
			_, err = p.Way(netip.MustParseAddrPort("203.0.113.7:51820"))
			var no *NoWayError
			if !errors.As(err, &no) || no.Mesh != by {
				t.Errorf("the way to a gateway: %v", err)
			}
			// A host route leads out: that is the way to this gateway.
			ip(t, "route add 203.0.113.7 via 192.0.2.2 dev uplink")
			if w, err := p.Way(netip.MustParseAddrPort("203.0.113.7:51820")); err != nil || w.Device != "uplink" ||
				w.Source.String() != "192.0.2.1" {
				t.Errorf("by its own route: %+v, %v", w, err)
			}
		})
	}
}

// Devices that this kernel does not have, as others tell of them: batman-adv has its hard-interfaces as ports, a VLAN
// lies on its device, and a veth pair's other end may be in another namespace.
func TestStandsOn(t *testing.T) {
	g := graph{
		1: {name: "wg_mesh"}, 2: {name: "mesh-vpn", under: 1, master: 3}, 3: {name: "bat0"},
		4: {name: "bat0.7", lower: 3, master: 5}, 5: {name: "br-client"},
		6: {name: "eth1", master: 5}, 7: {name: "local-node", lower: 5},
		8: {name: "eth0", master: 9}, 9: {name: "br-wan"}, 10: {name: "vx_mesh_wan", under: 9, master: 3},
		11: {name: "eth0.3", lower: 8},
		12: {name: "loop-a", lower: 13}, 13: {name: "loop-b", lower: 12, master: 12},
		14: {name: "veth", lower: 15, peer: true}, 15: {name: "far", lower: 14, peer: true, master: 5},
	}
	for i, d := range g {
		want := false
		switch d.name {
		case "wg_mesh", "mesh-vpn", "bat0", "bat0.7", "br-client", "local-node", "veth", "far":
			want = true
		}
		if got := g.standsOn(i, func(name string) bool { return name == "wg_mesh" }); got != want && d.name != "far" {
			t.Errorf("%s: %v", d.name, got)
		}
	}
	if g.standsOn(1, nil) || g.standsOn(99, func(string) bool { return true }) {
		t.Error("nothing is ours, or there")
	}
}

func TestNoCarrier(t *testing.T) {
	ip(t, "link add uplink type veth peer name far")
	l, err := netlink.LinkByName("uplink")
	ok(t, err)
	t.Cleanup(func() { netlink.LinkDel(l) })
	ip(t, "link set uplink up\naddr add 192.0.2.1/24 dev uplink")
	ok(t, os.WriteFile("/proc/sys/net/ipv4/conf/uplink/ignore_routes_with_linkdown", []byte("0"), 0))
	ip(t, up4)
	s, err := Path{}.State()
	ok(t, err)
	if s.Up() || s.Why4 != "to 193.0.14.129: uplink has no carrier" {
		t.Errorf("%+v", s)
	}
	ip(t, "link set far up")
	if s, err = (Path{}).State(); err != nil || !s.V4 {
		t.Errorf("with a carrier: %+v, %v", s, err)
	}
}

// A kernel with ipv6.disable=1 has no such address family: RTM_GETROUTE says EOPNOTSUPP, a socket EAFNOSUPPORT.
func TestNoIPv6(t *testing.T) {
	bed(t)
	ip(t, up4)
	k, err := openKernel(Path{Mark: 1})
	ok(t, err)
	defer k.close()
	ask := k.send
	for _, refusal := range []unix.Errno{unix.EOPNOTSUPP, unix.EAFNOSUPPORT} {
		k.send = func(req *ours.Request) ([][]byte, error) {
			if req.Data[0] == unix.AF_INET6 {
				return nil, refusal
			}
			return ask(req)
		}
		s, err := k.state(Destinations{Names: true})
		if err != nil || !s.V4 || s.V6 || !strings.Contains(s.Why6, refusal.Error()) {
			t.Errorf("%+v, %v", s, err)
		}
	}
	// Without memory there is no answer, and no state either.
	k.send = func(*ours.Request) ([][]byte, error) { return nil, unix.ENOMEM }
	if s, err := k.state(Destinations{}); !errors.Is(err, unix.ENOMEM) || s != (State{}) {
		t.Errorf("without memory: %+v, %v", s, err)
	}
}

func TestWay(t *testing.T) {
	bed(t)
	ip(t, up4+" mtu 1400\n"+up6)
	ok(t, os.WriteFile("/proc/sys/net/ipv6/conf/uplink/mtu", []byte("1440"), 0))
	for addr, want := range map[string]Way{
		"203.0.113.7:51820": {Device: "uplink", Source: netip.MustParseAddr("192.0.2.1"), MTU: 1400,
			routed: true, link: 1492},
		"[::ffff:203.0.113.7]:51820": {Device: "uplink", Source: netip.MustParseAddr("192.0.2.1"), MTU: 1400,
			routed: true, link: 1492},
		"[2001:db8:7::7]:51820": {Device: "uplink", Source: netip.MustParseAddr("2001:db8::1"), MTU: 1440,
			routed: true, link: 1492},
		"192.0.2.9:51820": {Device: "uplink", Source: netip.MustParseAddr("192.0.2.1"),
			MTU: 1492, link: 1492},
	} {
		if got, err := (Path{Mark: 1}).Way(netip.MustParseAddrPort(addr)); err != nil || got != want {
			t.Errorf("to %s: %+v, %v; want %+v", addr, got, err, want)
		}
	}
}

// A tunnel for IPv4 beside a wide IPv6: the narrow one does not count where it is not used.
func TestStateMTU(t *testing.T) {
	both, no := Preference{V4: true, V6: true}, netip.Addr{}
	lite := State{MTU4: 1280, MTU6: 1500}
	for _, tt := range []struct {
		s    State
		to   netip.Addr
		p    Preference
		want int
	}{
		{lite, far6.Addr(), both, 1500}, {lite, far4.Addr(), both, 1280},
		{lite, netip.AddrFrom16(far4.Addr().As16()), both, 1280},
		{lite, no, both, 1280}, {lite, no, Preference{V6: true}, 1500}, {lite, no, Preference{V4: true}, 1280},
		{State{MTU6: 1500}, no, both, 1500}, {State{MTU4: 1492}, no, both, 1492}, {State{}, no, both, 0},
		{State{MTU6: 1500}, far4.Addr(), both, 0},
	} {
		if got := tt.s.MTU(tt.to, tt.p); got != tt.want {
			t.Errorf("%+v to %v with %+v: %d, want %d", tt.s, tt.to, tt.p, got, tt.want)
		}
	}
}

// watched runs Watch, and gives a function that waits for the next state.
func watched(t *testing.T, p Path) (next func() State) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	states, done := make(chan State), make(chan error, 1)
	go func() { done <- p.Watch(ctx, states) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() State {
		t.Helper()
		select {
		case s := <-states:
			return s
		case err := <-done:
			t.Fatalf("ended: %v", err)
		case <-time.After(20 * time.Second):
			t.Fatal("no news")
		}
		return State{}
	}
}

func TestWatch(t *testing.T) {
	dests := new(Targets)
	dests.Set(Destinations{Names: true})
	next := watched(t, Path{Mark: 1, Own: func(name string) bool { return name == "ours" }, To: dests})
	until := func(what string, want func(State) bool) {
		t.Helper()
		for s := next(); !want(s); s = next() {
			t.Logf("%s: %v", what, s)
		}
	}
	until("first", func(s State) bool { return !s.Up() })
	l := link(t, "late", 1500, "192.0.2.1/24", "2001:db8::1/64")
	add(t, defaultRoute(l, netlink.FAMILY_V4, 254, 0))
	until("after the route came", func(s State) bool { return s.V4 && !s.V6 })
	r := netlink.NewRule()
	r.Family, r.Mark, r.Type, r.Priority = netlink.FAMILY_V4, 1, unix.RTN_UNREACHABLE, 100
	ok(t, netlink.RuleAdd(r))
	until("after a rule came", func(s State) bool { return !s.Up() })
	ok(t, netlink.RuleDel(r))
	until("after it went", func(s State) bool { return s.V4 })
	dests.Set(Destinations{Gateways: to("198.51.100.7:51820", "[2001:db8::7]:51820")})
	until("with a gateway on the link", func(s State) bool { return s.V4 && s.V6 })
	_, all, _ := net.ParseCIDR("198.51.100.0/24")
	block := &netlink.Route{Dst: all, Type: unix.RTN_UNREACHABLE}
	ok(t, netlink.RouteAdd(block))
	until("with the gateway's net blocked", func(s State) bool { return !s.V4 && s.V6 })
	ok(t, netlink.RouteDel(block))
	until("with the gateway's net free", func(s State) bool { return s.V4 })
	mine := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ours"}, PeerName: "far"}
	ok(t, netlink.LinkAdd(mine))
	t.Cleanup(func() { netlink.LinkDel(mine) })
	ok(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port", MasterIndex: l.Attrs().Index},
		PeerName: "port-far"}))
	// a bridge has the carrier of its ports
	ip(t, "link set port up\nlink set port-far up\nlink set ours up\nlink set far up")
	t.Cleanup(func() { ip(t, "link del port") })
	ok(t, netlink.LinkSetMaster(mine, l.(*netlink.Bridge)))
	until("with a port of ours", func(s State) bool { return !s.Up() && strings.Contains(s.Why4, "mesh, by late") })
	ok(t, netlink.LinkSetNoMaster(mine))
	until("without", func(s State) bool { return s.V4 })
	ok(t, netlink.LinkSetMTU(l, 1400))
	until("with another MTU", func(s State) bool { return s.MTU4 == 1400 && s.MTU6 == 1400 })
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	ok(t, err)
	ok(t, netlink.LinkSetDown(l))
	until("after the device went down", func(s State) bool { return !s.Up() })
	ok(t, netlink.LinkSetUp(l))
	ok(t, netlink.AddrDel(l, addr))
	ok(t, netlink.LinkDel(l))
}

// An address that goes takes the routes that have it as their source, and the kernel tells of the address only.
func TestWatchAddress(t *testing.T) {
	bed(t)
	ip(t, "route add default dev uplink src 192.0.2.1 scope link")
	next := watched(t, Path{})
	if s := next(); !s.V4 {
		t.Fatalf("first %v", s)
	}
	ip(t, "addr del 192.0.2.1/24 dev uplink")
	if s := next(); s.Up() {
		t.Errorf("%v", s)
	}
}

// Messages that were lost are a reason to look again at everything.
func TestWatchOverflow(t *testing.T) {
	l, err := listen()
	ok(t, err)
	defer l.Close()
	raw, err := l.SyscallConn()
	ok(t, err)
	ok(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) }))
	ok(t, err)
	k, err := openKernel(Path{Own: func(name string) bool { return name == "ours" }})
	ok(t, err)
	defer k.close()
	bed(t)
	ip(t, up4)
	before := len(k.links)
	ctx, cancel := context.WithCancel(context.Background())
	out, done := make(chan State), make(chan error)
	go func() { done <- k.watch(ctx, l, out) }()
	for s := range out {
		if s.V4 && s.Dev4 == "uplink" {
			break
		}
	}
	cancel()
	ok(t, <-done)
	if now := len(k.links); now != before+3 {
		t.Errorf("%d devices are known, %d before", now, before)
	}
}
