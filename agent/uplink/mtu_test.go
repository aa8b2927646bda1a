package uplink

import (
	"testing"

	"wguplink/agent/config"
	"wguplink/agent/wan"
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
		u := &Uplink{cfg: config.Uplink{MTU: tt.configured}, wan: wan.State{MTU: tt.wan}, line: tt.line}
		if got := u.mtu(); got != tt.want {
			t.Errorf("%s: MTU %d, want %d", tt.what, got, tt.want)
		}
		if got := u.line.warning(tt.configured); got != tt.warning {
			t.Errorf("%s: warning %q, want %q", tt.what, got, tt.warning)
		}
	}
}
