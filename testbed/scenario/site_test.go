package scenario

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"wguplink/agent/derive"
	"wguplink/testbed/topology"
)

// The example site's, which all forms have.
const siteSeed = "e9608c4ff338b920992d629190e9ff11049de1dfc3f299eac07792dfbcda341c"

// siteForm is a way to write a site. Its text is the example's with names and keys of the topology in it.
type siteForm struct {
	name    string
	options topology.Options
	vpn     func(*topology.Topology) string // mesh_vpn.wireguard of the site; "" keeps the example's
	peers   func(*topology.Topology) string // mesh_vpn.wireguard.peers of the domain
	told    bool                            // the operators have told the gateways the node's key
}

var siteForms = []siteForm{
	{name: "example", peers: siteMunich},
	{name: "broker-alone", vpn: func(*topology.Topology) string {
		return "mtu = 1330, broker = '" +
			topology.BrokerName + "'"
	}},
	{name: "munich-static", peers: siteMunich, told: true, vpn: func(*topology.Topology) string {
		return "mtu = 1330, protocol = 'static', link_local = 'key_newline', link_prefix = 64, vxlan_port = 8472,\n" +
			"vxlan_checksum = true, vxlan_seed_key = 'gluon-mesh-vpn-vxlan'"
	}},
	{name: "gluon", options: topology.Options{Gluon: true}, peers: siteGluon, told: true,
		vpn: func(*topology.Topology) string { return "mtu = 1330" }},
	{name: "gluon-mtu-auto", options: topology.Options{Gluon: true}, peers: siteGluon, told: true,
		vpn: func(*topology.Topology) string { return "mtu = 'auto'" }},
	{name: "aachen", options: topology.Options{Gluon: true, FFAC: true}, peers: siteGluon,
		vpn: func(*topology.Topology) string {
			return "mtu = 1330, broker = '" + topology.RegisterURL + "', node_name = 'example'"
		}},
}

// siteMunich are peers in the dialect of Munich's sites.
func siteMunich(topo *topology.Topology) string {
	var b strings.Builder
	for _, g := range topo.Gateways {
		fmt.Fprintf(&b, "{ publickey = '%s', endpoint = '%s:51820', link_address = '%s' },\n",
			g.PublicKey(), g.DNS, g.Link)
	}
	return b.String()
}

// siteGluon are peers in the dialect of Gluon's own WireGuard.
func siteGluon(topo *topology.Topology) string {
	var b strings.Builder
	for _, g := range topo.Gateways {
		fmt.Fprintf(&b, "%s = { public_key = '%s', endpoint = '%s:51820' },\n", g.Name, g.PublicKey(), g.DNS)
	}
	return b.String()
}

// siteScene makes a topology, runs the upgrade scripts with the site, and gives the node what netifd and Gluon give it.
func siteScene(t *testing.T, o topology.Options, site func(*topology.Topology) (site, domain string)) *scene {
	t.Helper()
	o.NoRoute = true
	s := newScene(t, o, func(*topology.Topology) string { return "" })
	conf, domain := site(s.Topology)
	etc := filepath.Join(s.dir, "etc")
	for name, text := range map[string]string{"site.conf": conf, "domain.conf": domain} {
		s.must(os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
	}
	cmd := exec.CommandContext(s.ctx, "../../package/test/site", os.Getenv(toolsEnv), filepath.Join(s.dir, "site.conf"),
		filepath.Join(s.dir, "domain.conf"), etc)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("site.conf to UCI: %v: %s\n%s", err, out, conf)
	}
	files, err := os.ReadDir(filepath.Join(etc, "config"))
	s.must(err)
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(etc, "config", f.Name()))
		s.must(err)
		s.must(os.WriteFile(filepath.Join(s.agent.Dir, f.Name()), text, 0o600))
	}
	key, err := os.ReadFile(filepath.Join(etc, "parker/wg-privkey"))
	if err == nil {
		s.must(s.Node.WriteFile("/etc/parker/wg-privkey", string(key)))
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(s.CAFile)
	s.must(err)
	certs := filepath.Join(s.dir, "certs")
	s.must(os.MkdirAll(certs, 0o755))
	s.must(os.WriteFile(filepath.Join(certs, "ca-certificates.crt"), ca, 0o644))
	s.must(s.Node.Bind(certs, "/etc/ssl/certs"))
	s.wanDNS()
	s.netifd(s.agent.Dir)
	return s
}

// wanDNS is gluon-wan-dnsmasq: a name server on the node itself that asks by the WAN. Here it knows the topology's
// names.
func (s *scene) wanDNS() {
	s.t.Helper()
	const address = "127.0.0.1:54"
	pc, err := s.Node.ListenPacket(s.ctx, "udp", address)
	s.must(err)
	var ln net.Listener
	ln, err = s.Node.Listen(s.ctx, "tcp", address)
	s.must(err)
	done := make(chan error, 1)
	go func() { done <- s.DNS.Serve(s.ctx, pc, ln) }()
	s.t.Cleanup(func() {
		pc.Close()
		ln.Close()
		<-done
	})
}

// Each form of a site, from site.conf to frames in the mesh: what the upgrade scripts write is what the agent runs,
// below rules and routes as netifd writes them.
func TestSiteForms(t *testing.T) {
	t.Parallel()
	for _, form := range siteForms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			o := form.options
			o.Gateways = 2
			seedKey := "gluon-mesh-vpn-vxlan"
			if o.Gluon {
				seedKey = "gluon-mesh-vxlan"
			}
			var err error
			if o.VXLANID, err = derive.VXLANID(siteSeed, seedKey); err != nil {
				t.Fatal(err)
			}
			s := siteScene(t, o, form.text(t))
			key, ok := s.agent.Key(s.ctx)
			if !ok {
				t.Fatal("the upgrade scripts have made no key")
			}
			if form.told {
				for _, g := range s.Gateways {
					s.must(g.AddKey(key))
				}
			}
			l2 := s.frames()
			s.reply(l2, s.start())
			if st := nodeConnected(s); len(st.Warnings) > 0 {
				t.Errorf("warnings: %q", st.Warnings)
			}
			// The gateway dies, and the other one is found by the same rules.
			s.must(s.Named(s.gatewayOf(s.status())).Kill())
			s.reply(l2, time.Now())
			nodeStop(s)
		})
	}
}

// gatewayOf gives the topology's name of the gateway in use, whose name in the configuration may be another.
func (s *scene) gatewayOf(st topology.Status) string {
	s.t.Helper()
	for _, g := range s.Gateways {
		if strings.HasPrefix(st.Gateway.Endpoint, g.V4.String()+":") ||
			strings.HasPrefix(st.Gateway.Endpoint, "["+g.V6.String()+"]") {
			return g.Name
		}
	}
	s.t.Fatalf("no gateway is at %s", st.Gateway.Endpoint)
	return ""
}

// siteFile reads a file of the example site.
func siteFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../site-example/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replaceTable puts another Lua table in the place of the first one that is assigned to a name.
func replaceTable(t *testing.T, text, name, table string) string {
	t.Helper()
	at := regexp.MustCompile(`(?m)^\s*` + name + ` = \{`).FindStringIndex(text)
	if at == nil {
		t.Fatalf("the example has no %s", name)
	}
	depth := 0
	for i := at[1] - 1; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return text[:at[1]-1] + table + text[i+1:]
			}
		}
	}
	t.Fatalf("the example's %s has no end", name)
	return ""
}

func (f *siteForm) text(t *testing.T) func(*topology.Topology) (string, string) {
	return func(topo *topology.Topology) (site, domain string) {
		site, domain = siteFile(t, "site.conf"), siteFile(t, "domains/ffxx_city.conf")
		if f.vpn != nil {
			site = replaceTable(t, site, "wireguard", "{ "+f.vpn(topo)+" }")
		}
		if f.peers == nil {
			// an empty table would replace the site's on the node
			return site, replaceTable(t, domain, "mesh_vpn", "nil")
		}
		return site, replaceTable(t, domain, "wireguard", "{ peers = { "+f.peers(topo)+" } }")
	}
}

// The same with Parker: the WAN's IPv4 routes are in a table, too, and the default routes come by the tunnels.
func TestSiteParker(t *testing.T) {
	t.Parallel()
	n := &parkerNode{}
	n.scene = siteScene(t, topology.Options{Parker: &topology.ParkerOptions{}},
		func(topo *topology.Topology) (site, domain string) {
			site = replaceTable(t, siteFile(t, "site.conf"), "wireguard", "nil,\nparker = { mtu = 1375 }")
			at := strings.LastIndex(site, "}")
			site = site[:at] + fmt.Sprintf("parker = { config_server = { '%s', '%s' }, config_pubkey = '%s' },\n}\n",
				topology.ConfigName, topology.ConfigName2, topo.Parker.Key.Public())
			return site, replaceTable(t, siteFile(t, "domains/ffxx_city.conf"), "mesh_vpn", "nil")
		})
	// The topology's own rule for the mark: netifd's is there now.
	n.must(n.Node.DelRule(1, 1))
	n.ping()
	n.online(n.start())
	st := n.ready()
	if st.Network.Exit == "" || len(st.Warnings) > 0 {
		t.Errorf("status %+v", st)
	}
	n.must(n.Parker.Named(st.Gateway.Name).Kill())
	n.online(time.Now())
}
