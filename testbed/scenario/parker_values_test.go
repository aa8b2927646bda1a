package scenario

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/topology"
)

// Signed values that are strange are taken with their bounds, and the status says so. The tunnels' MTU is what the WAN
// carries, by the family of their endpoints.
func TestParkerStrangeValues(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.must(n.Parker.Network.SetDefault(n.ctx, "mtu", 65535))
	n.online(n.start())
	st := n.ready()
	if !slices.Contains(st.Warnings, "mtu 65535 of the signed configuration is out of bounds: 1440 is taken") {
		t.Errorf("warnings %q", st.Warnings)
	}
	families := map[string]int{}
	for _, tunnel := range st.Network.Tunnels {
		endpoint, err := netip.ParseAddrPort(tunnel.Endpoint)
		n.must(err)
		family, want := "IPv6", 1420
		if endpoint.Addr().Is4() {
			family, want = "IPv4", 1440
		}
		families[family]++
		if got := nodeMTU(n.scene, tunnel.Interface); got != want {
			t.Errorf("%s to %s: MTU %d, want %d", tunnel.Interface, endpoint, got, want)
		}
	}
	t.Logf("endpoints: %v", families)
	n.online(time.Now())
}

// An own address that is the WAN's gateway would cut the node off: such a configuration is refused, and what was
// running stays.
func TestParkerRefusesToCutTheWAN(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.online(n.start())
	before := n.ready()
	routes, err := n.Node.Netlink().RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: 0},
		netlink.RT_FILTER_TABLE)
	n.must(err)
	gateway := ""
	for _, r := range routes {
		if r.Gw != nil && r.Protocol != 23 && (r.Dst == nil || r.Dst.IP.IsUnspecified()) {
			gateway = r.Gw.String()
		}
	}
	if gateway == "" {
		t.Fatalf("the WAN has no gateway: %v", routes)
	}
	key, err := wgtypes.ParseKey(before.PublicKey)
	n.must(err)
	n.must(n.Parker.Network.SetNode(n.ctx, peerselector.Key(key), "address4", gateway))
	n.hangup()
	n.line("registration failed")
	st := nodeAwait(n.scene, "refusing", func(st topology.Status) bool {
		return strings.Contains(st.Broker,
			"the WAN's gateway")
	})
	if st.State != "connected" || st.Network.Address4 != before.Network.Address4 {
		t.Errorf("before %+v, after %+v, %+v", before.Network, st, st.Network)
	}
	n.online(time.Now())
}

// With 464XLAT tunnels carry IPv6 only, and the IPv4 route says how much smaller its packets have to be.
func TestParkerXLAT(t *testing.T) {
	t.Parallel()
	n := newParker(t, topology.ParkerOptions{}, nil)
	n.online(n.start())
	st := n.ready()
	n.must(n.Parker.Network.SetDefault(n.ctx, "xlat_range6", "2001:db8:9::/96"))
	n.hangup()
	await := func(what string, mtu int, want ...string) {
		t.Helper()
		nodeAwait(n.scene, what, func(now topology.Status) bool {
			routes, err := n.Node.Netlink().RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: 23},
				netlink.RT_FILTER_PROTOCOL)
			return err == nil && len(routes) == 1 && routes[0].MTU == mtu
		})
		for _, tunnel := range st.Network.Tunnels {
			if got := n.allowed(tunnel.Interface); !slices.Equal(got, want) {
				t.Errorf("%s: %s carries %v, want %v", what, tunnel.Interface, got, want)
			}
		}
	}
	await("with 464XLAT", 1375-28, "::/0")
	_, err := n.v6.Await(n.ctx, time.Now(), nil)
	n.must(err)
	n.must(n.Parker.Network.SetDefault(n.ctx, "xlat_range6", nil))
	n.hangup()
	await("without it", 0, "0.0.0.0/0", "::/0")
	n.online(time.Now())
}

// allowed are the allowed IPs on a device.
func (n *parkerNode) allowed(device string) (out []string) {
	n.t.Helper()
	n.must(n.Node.Inside(func() error {
		client, err := wgctrl.New()
		if err != nil {
			return err
		}
		defer client.Close()
		d, err := client.Device(device)
		if err != nil {
			return err
		}
		for _, p := range d.Peers {
			for _, a := range p.AllowedIPs {
				out = append(out, a.String())
			}
		}
		return nil
	}))
	slices.Sort(out)
	return out
}
