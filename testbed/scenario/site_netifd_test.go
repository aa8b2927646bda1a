package scenario

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"wguplink/agent/uci"
	"wguplink/testbed/topology"
)

// netifdNode makes what netifd makes of the node's /etc/config/network, as far as it decides which way packets go: the
// WAN as a bridge, its rules, and the routes and rules of their own sections.
//
// Priorities and the table of an interface are those of netifd of 2026-07 (iprule.h, interface-ip.c): 10000 for what
// comes from an address, 20000 for what goes to its network, 90000 and the device's index for the router's own packets.
// A rule without a priority gets 1, 2, … in the order of the file, one count for each family (iprule.c).
type netifdNode struct {
	*scene
	tree  *uci.Tree
	index int
	lines []string
}

func (s *scene) netifd(config string) {
	s.t.Helper()
	n := &netifdNode{scene: s, tree: uci.NewTree(config, "")}
	n.bridge()
	for _, wan := range []struct {
		section, table   string
		address, gateway netip.Prefix
	}{{"wan", "ip4table", topology.NodeV4, topology.RouterV4},
		{"wan6", "ip6table", topology.NodeV6, topology.RouterV6}} {
		n.wan(wan.section, wan.table, wan.address, wan.gateway.Addr())
	}
	n.rules()
	n.routes()
	for _, line := range n.lines {
		n.run(line)
	}
}

func (n *netifdNode) get(section, option string) string {
	v, _ := n.tree.GetLast("network", section, option)
	return v
}

// run runs a command of iproute2 on the node. It sees the node's network, because it is started from a thread in there.
func (n *netifdNode) run(line string) string {
	n.t.Helper()
	var out []byte
	n.must(n.Node.Inside(func() (err error) {
		out, err = exec.Command("ip", strings.Fields(line)...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
		return err
	}))
	return string(out)
}

func (n *netifdNode) add(format string, args ...any) {
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// bridge puts the WAN's port into a bridge, which takes over its addresses.
func (n *netifdNode) bridge() {
	n.t.Helper()
	n.must(n.Node.DelAddr("wan", topology.NodeV4))
	n.must(n.Node.DelAddr("wan", topology.NodeV6))
	n.run("link add br-wan type bridge")
	n.run("link set wan master br-wan")
	n.run("link set br-wan up")
	n.must(n.Node.Addr("br-wan", topology.NodeV4))
	n.must(n.Node.Addr("br-wan", topology.NodeV6))
	link := n.NodeLink("br-wan")
	n.index = link.Attrs().Index
	n.await("the router answers", func() bool {
		return n.answers(topology.RouterV4.Addr()) &&
			n.answers(topology.RouterV6.Addr())
	})
}

func (n *netifdNode) answers(router netip.Addr) bool {
	ok := false
	n.must(n.Node.Inside(func() error {
		ok = exec.Command("busybox", "ping", "-c", "1", "-W", "1", router.String()).Run() == nil
		return nil
	}))
	return ok
}

// await asks until it is so, or the scenario's time is over.
func (n *netifdNode) await(what string, ok func() bool) {
	n.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			n.t.Fatalf("never: %s", what)
		}
	}
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "-4"
	}
	return "-6"
}

// wan gives an interface of the WAN its default route, in a table of its own where it has one.
func (n *netifdNode) wan(section, option string, address netip.Prefix, gateway netip.Addr) {
	n.t.Helper()
	if _, ok := n.tree.SectionType("network", section); !ok {
		n.t.Fatalf("the site's network has no interface %s", section)
	}
	ip, net, table := family(gateway), address.Masked(), n.get(section, option)
	if table == "" {
		n.add("%s route add default via %s dev br-wan", ip, gateway)
		return
	}
	n.add("%s route del %s dev br-wan proto kernel", ip, net)
	n.add("%s route add %s dev br-wan table %s", ip, net, table)
	n.add("%s route add default via %s dev br-wan table %s", ip, gateway, table)
	n.add("%s rule add pref 10000 from %s lookup %s", ip, address.Addr(), table)
	n.add("%s rule add pref 20000 to %s lookup %s", ip, net, table)
	n.add("%s rule add pref %d iif lo lookup %s", ip, 90000+n.index, table)
}

func (n *netifdNode) rules() {
	for stype, ip := range map[string]string{"rule": "-4", "rule6": "-6"} {
		sections, _ := n.tree.GetSections("network", stype)
		for i, section := range sections {
			line := ip + " rule add lookup " + n.get(section, "lookup")
			pref := n.get(section, "priority")
			if pref == "" {
				pref = fmt.Sprint(i + 1)
			}
			line += " pref " + pref
			if mark := n.get(section, "mark"); mark != "" {
				line += " fwmark " + mark
			}
			n.add("%s", line)
		}
	}
}

func (n *netifdNode) routes() {
	for stype, ip := range map[string]string{"route": "-4", "route6": "-6"} {
		sections, _ := n.tree.GetSections("network", stype)
		for _, section := range sections {
			table := n.get(section, "table")
			if table == "" {
				table = "main"
			}
			n.add("%s route add %s default table %s metric %s", ip, n.get(section, "type"), table,
				n.get(section, "metric"))
		}
	}
}
