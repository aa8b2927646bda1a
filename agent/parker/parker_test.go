package parker

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/wan"
)

func TestMTU(t *testing.T) {
	four, six, mapped := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"),
		netip.MustParseAddr("::ffff:192.0.2.1")
	for _, tt := range []struct {
		name            string
		configured, wan int
		endpoint        netip.Addr
		want            int
	}{
		{"Ethernet, IPv4", 1440, 1500, four, 1440},
		{"Ethernet, IPv6", 1440, 1500, six, 1420},
		{"PPPoE, IPv4", 1440, 1492, four, 1432},
		{"PPPoE, mapped", 1440, 1492, mapped, 1432},
		{"PPPoE, IPv6", 1440, 1492, six, 1412},
		{"a large line", 1375, 9000, six, 1375},
		{"a small line", 1375, 1280, six, 1280},
		{"no line", 1375, 0, six, 1375},
		{"no endpoint", 1375, 1400, netip.Addr{}, 1375},
		{"too small", 1000, 1500, four, 1280},
	} {
		if got := MTU(tt.configured, tt.endpoint, tt.wan); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestClientMTU(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tunnels []Tunnel
		want    int
	}{
		{"none", nil, 0},
		{"one", []Tunnel{{1375, 0}}, 1375},
		{"the smallest", []Tunnel{{1375, time.Second}, {1300, time.Minute}, {1412, 0}}, 1300},
		{"no session counts for nothing", []Tunnel{{1375, time.Second}, {1300, -1}}, 1375},
		{"nor does a void one", []Tunnel{{1375, 179 * time.Second}, {1300, 180 * time.Second}}, 1375},
	} {
		if got := ClientMTU(tt.tunnels); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	n := &broker.Network{
		Address4: netip.MustParseAddr("192.168.178.20"), Range4: netip.MustParsePrefix("192.168.178.0/24"),
		Address6: netip.MustParseAddr("2001:db8:5::1"), Range6: netip.MustParsePrefix("2001:db8:5::/64"),
	}
	lan := netip.MustParsePrefix("192.168.178.20/24")
	for _, tt := range []struct {
		name     string
		local    wan.Local
		warnings int
		err      string
	}{
		{"nothing known", wan.Local{}, 0, ""},
		{"another network", wan.Local{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/8")}, Shared4: true}, 0,
			""},
		{"the WAN's address and network", wan.Local{Addresses: []netip.Prefix{lan}}, 2, ""},
		{"the network, in one table", wan.Local{Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.178.77/28")},
			Shared4: true}, 0,
			"range4 192.168.178.0/24 overlaps the network 192.168.178.64/28 of the WAN"},
		{"IPv6 in one table does not matter to IPv4", wan.Local{Addresses: []netip.Prefix{lan}, Shared6: true}, 2, ""},
		{"IPv6 in one table", wan.Local{Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8:5::77/64")},
			Shared6: true}, 0, "range6"},
		{"link-local", wan.Local{Addresses: []netip.Prefix{netip.MustParsePrefix("fe80::1/64")}, Shared6: true}, 0, ""},
		{"the gateway's address", wan.Local{Gateways: []netip.Addr{netip.MustParseAddr("192.168.178.20")}}, 0,
			"our own address 192.168.178.20 is that of the WAN's gateway"},
	} {
		warnings, err := Check(n, tt.local)
		if len(warnings) != tt.warnings || (err == nil) != (tt.err == "") || err != nil &&
			!strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v, want %d warnings and %q", tt.name, warnings, err, tt.warnings, tt.err)
		}
		if slices.Contains(warnings, "") {
			t.Errorf("%s: an empty warning", tt.name)
		}
	}
}
