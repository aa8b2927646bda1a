package uplink

import (
	"net/netip"
	"testing"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

func TestMTU(t *testing.T) {
	for _, tt := range []struct {
		what       string
		configured int
		wan        int // MTU of its device; 0: no way out
		line       pathMTU
		want       int
		warning    string
	}{
		{"nothing known", 0, 0, pathMTU{}, 1420, ""},
		{"Ethernet", 0, 1500, pathMTU{known: 1500}, 1420, ""},
		{"jumbo frames end somewhere", 0, 9000, pathMTU{known: 9000}, 1420, ""},
		{"PPPoE", 0, 1492, pathMTU{}, 1412, ""},
		{"a router advertised less", 0, 1500, pathMTU{known: 1440}, 1360, ""},
		{"measured less than known", 0, 1500, pathMTU{known: 1500, largest: 1324, at: 1420}, 1324, ""},
		{"too narrow for IPv6", 0, 1300, pathMTU{known: 1300}, 1280, ""},
		{"configured", 1406, 1492, pathMTU{known: 1400}, 1406, ""},
		{"configured, and does not pass", 1406, 1500, pathMTU{largest: 1372, at: 1406, gateway: "gw1"}, 1406,
			"mtu 1406 is too big: of the packets to gw1 the largest that passes has 1372 bytes; set option mtu '1372', or 'auto'"},
		{"configured, and nothing passes", 1406, 1500, pathMTU{largest: 1280, none: true, at: 1406, gateway: "gw1"}, 1406,
			"mtu 1406 is too big: not even packets of 1280 bytes pass to gw1"},
		{"configured otherwise since it was measured", 1380, 1500, pathMTU{largest: 1372, at: 1406, gateway: "gw1"}, 1380, ""},
	} {
		u := &Uplink{cfg: config.Uplink{MTU: tt.configured}, wan: wan.State{MTU4: tt.wan}, line: tt.line}
		if got := u.mtu(); got != tt.want {
			t.Errorf("%s: MTU %d, want %d", tt.what, got, tt.want)
		}
		if got := u.line.warning(tt.configured); got != tt.warning {
			t.Errorf("%s: warning %q, want %q", tt.what, got, tt.warning)
		}
	}
}

// A tunnel for IPv4 beside a wide IPv6 (DS-Lite): the path that is used counts.
func TestMTUOfThePath(t *testing.T) {
	lite := wan.State{V4: true, V6: true, Dev4: "dslite", Dev6: "wan", MTU4: 1280, MTU6: 1500}
	four, six := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("[2001:db8::1]:51820")
	for _, tt := range []struct {
		what     string
		family   config.Family
		endpoint netip.AddrPort
		line     pathMTU
		want     int
	}{
		{"no gateway yet", config.Auto, netip.AddrPort{}, pathMTU{}, 1280},
		{"no gateway yet, IPv6 only", config.Only6, netip.AddrPort{}, pathMTU{}, 1420},
		{"a gateway by IPv6", config.Auto, six, pathMTU{}, 1420},
		{"a gateway by IPv6 whose path is known", config.Auto, six, pathMTU{known: 1400, to: six.Addr()}, 1320},
		{"a gateway by IPv6, known is that of another", config.Auto, six, pathMTU{known: 1280, to: four.Addr()}, 1420},
		{"a gateway by IPv4", config.Auto, four, pathMTU{}, 1280},
		{"a gateway by IPv4 of a device of its own", config.Auto, four, pathMTU{known: 1500, to: four.Addr()}, 1420},
	} {
		key := peerselector.Key{1}
		gw := peerselector.Peer{Name: "gw1", PublicKey: key, Endpoints: []string{"gw.example.org:51820"}}
		u := &Uplink{cfg: config.Uplink{AddressFamily: tt.family}, wan: lite, line: tt.line, peers: map[peerselector.Key]*installed{}}
		u.engine = peerselector.New(peerselector.Config{Timing: peerselector.Default(), Intn: intn})
		if tt.endpoint.IsValid() {
			u.peers[key] = &installed{peer: gw, endpoint: tt.endpoint}
			now := time.Now()
			u.engine.Handle(peerselector.Static{Peers: []peerselector.Peer{gw}}, now)
			u.engine.Handle(peerselector.WANUp{}, now)
			u.engine.Handle(peerselector.Handshake{Key: key}, now.Add(time.Second))
		}
		if got := u.mtu(); got != tt.want {
			t.Errorf("%s: MTU %d, want %d", tt.what, got, tt.want)
		}
	}
}
