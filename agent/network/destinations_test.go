package network

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/config"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

func TestDestinations(t *testing.T) {
	at := func(s ...string) (all []netip.AddrPort) {
		for _, a := range s {
			all = append(all, netip.MustParseAddrPort(a))
		}
		return all
	}
	link := func(s ...string) (all []*url.URL) {
		for _, b := range s {
			u, err := url.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, u)
		}
		return all
	}
	gateways := []peerselector.Peer{{PublicKey: peerselector.Key{1},
		Endpoints: []string{"192.0.2.1:51820", "[2001:db8::1]:51820"}}}
	names := []peerselector.Peer{{PublicKey: peerselector.Key{2}, Endpoints: []string{"gw.example.org:51820"}}}
	of := func(cfg config.Uplink, found ...netip.AddrPort) wan.Destinations {
		return Destinations(cfg, cfg.Gateways, found)
	}
	for _, tt := range []struct {
		what string
		got  wan.Destinations
		want wan.Destinations
	}{
		{"literal gateways", of(config.Uplink{Protocol: config.Static, Gateways: gateways,
			Brokers: link("https://b.example.org")}),
			wan.Destinations{Gateways: at("192.0.2.1:51820", "[2001:db8::1]:51820")}},
		{"names", of(config.Uplink{Protocol: config.Static, Gateways: append(names, gateways...),
			DNSServers: at("192.0.2.53:53"),
			NTPServers: []string{"ntp.example.org", "192.0.2.3", "192.0.2.4:124", "2001:db8::3", "[2001:db8::4]:123"}}),
			wan.Destinations{Gateways: at("192.0.2.1:51820", "[2001:db8::1]:51820"), Names: true,
				Servers: at("192.0.2.53:53", "192.0.2.3:123", "192.0.2.4:124", "[2001:db8::3]:123",
					"[2001:db8::4]:123")}},
		{"brokers", of(config.Uplink{Protocol: config.WGKex,
			Brokers: link("https://192.0.2.5", "http://[2001:db8::5]/a", "https://192.0.2.6:8443")}),
			wan.Destinations{Brokers: at("192.0.2.5:443", "[2001:db8::5]:80", "192.0.2.6:8443"), Told: true}},
		{"a broker's name", of(config.Uplink{Protocol: config.WGKex, Brokers: link("https://b.example.org")}),
			wan.Destinations{Names: true, Told: true}},
		{"resolved", of(config.Uplink{Protocol: config.Static, Gateways: names},
			at("192.0.2.9:51820", "192.0.2.8:51820")...),
			wan.Destinations{Gateways: at("192.0.2.9:51820", "192.0.2.8:51820"), Names: true}},
		{"found where it is said to be", of(config.Uplink{Gateways: gateways}, at("[2001:db8::1]:51820")...),
			wan.Destinations{Gateways: at("[2001:db8::1]:51820", "192.0.2.1:51820")}},
	} {
		if diff := cmp.Diff(tt.want, tt.got,
			cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.what, diff)
		}
	}
}
