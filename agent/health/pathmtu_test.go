package health

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"wguplink/agent/mtu"
	"wguplink/agent/slog"
)

func TestPathMTU(t *testing.T) {
	for _, tt := range []struct {
		what       string
		fixed, wan int // wan is the MTU of the WAN's device; 0: there is none
		path       PathMTU
		want       int
		warning    string
	}{
		{"nothing known", 0, 0, PathMTU{}, 1420, ""},
		{"Ethernet", 0, 1500, PathMTU{known: 1500}, 1420, ""},
		{"jumbo frames end somewhere", 0, 9000, PathMTU{known: 9000}, 1420, ""},
		{"PPPoE", 0, 1492, PathMTU{}, 1412, ""},
		{"a router advertised less", 0, 1500, PathMTU{known: 1440}, 1360, ""},
		{"measured less than known", 0, 1500, PathMTU{known: 1500, found: finding{largest: 1324, at: 1420}}, 1324, ""},
		{"too narrow for IPv6", 0, 1300, PathMTU{known: 1300}, 1280, ""},
		{"fixed", 1406, 1492, PathMTU{known: 1400}, 1406, ""},
		{"fixed, and does not pass", 1406, 1500, PathMTU{found: finding{largest: 1372, at: 1406, gateway: "gw1"}}, 1406,
			"mtu 1406 is too big: of the packets to gw1 the largest that passes has 1372 bytes; set option mtu " +
				"'1372', or 'auto'"},
		{"fixed, and nothing passes", 1406, 1500, PathMTU{found: finding{largest: 1280, none: true, at: 1406,
			gateway: "gw1"}}, 1406,
			"mtu 1406 is too big: not even packets of 1280 bytes pass to gw1"},
		{"fixed otherwise since it was measured", 1380, 1500, PathMTU{found: finding{largest: 1372, at: 1406,
			gateway: "gw1"}}, 1380, ""},
	} {
		if got := tt.path.MTU(tt.fixed, tt.wan, netip.Addr{}); got != tt.want {
			t.Errorf("%s: MTU %d, want %d", tt.what, got, tt.want)
		}
		if got := tt.path.Warning(tt.fixed); got != tt.warning {
			t.Errorf("%s: warning %q, want %q", tt.what, got, tt.warning)
		}
	}
}

func TestMeasurements(t *testing.T) {
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	gw := Gateway{"gw1", "wg0", netip.MustParseAddr("fe80::1")}
	var p PathMTU
	if _, ok := p.Measurement(gw, 1420); ok || !p.Due() {
		t.Error("measured without being asked for")
	}
	p.Begin(1480, netip.Addr{})
	first, ok := p.Measurement(gw, 1400)
	if again, _ := p.Measurement(gw, 1400); !ok || again != first || first.MTU != 1400 || p.Due() {
		t.Errorf("%+v, then %+v", first, again)
	}
	p.Measured(1332, nil, true, 0, 1400, l)
	if _, ok := p.Measurement(gw, 1332); ok || p.MTU(0, 1500, netip.Addr{}) != 1332 || p.Due() {
		t.Errorf("MTU %d", p.MTU(0, 1500, netip.Addr{}))
	}

	for _, tt := range []struct {
		what    string
		spoil   func()
		n       int
		err     error
		valid   bool
		mtu     int
		due     bool
		largest int
	}{
		{what: "the gateway is silent meanwhile", spoil: p.Spoil, n: 1300, valid: true, mtu: 1400, due: true},
		{what: "another path", spoil: p.Renew, n: 1300, valid: true, mtu: 1400, due: true},
		{what: "another gateway", n: 1300, mtu: 1400, due: true},
		{what: "another MTU", n: 1300, valid: true, mtu: 1390, due: true},
		{what: "not even the least", err: ErrSilent, valid: true, mtu: 1400, largest: 1280},
		{what: "no socket", err: errors.New("no socket"), valid: true, mtu: 1400},
		{what: "all passes", n: 1400, valid: true, mtu: 1400},
		{what: "less passes", n: 1350, valid: true, mtu: 1400, largest: 1350},
	} {
		p.Forget()
		p.Begin(0, netip.Addr{})
		m, ok := p.Measurement(gw, 1400)
		if !ok || m == first {
			t.Fatalf("%s: %+v", tt.what, m)
		}
		if tt.spoil != nil {
			tt.spoil()
		}
		p.Measured(tt.n, tt.err, tt.valid, 1400, tt.mtu, l)
		if p.Due() != tt.due || p.found.largest != tt.largest {
			t.Errorf("%s: due %v, %+v", tt.what, p.Due(), p.found)
		}
	}
	if !strings.Contains(log.String(), "packets of the present MTU do not pass") {
		t.Errorf("log %s", &log)
	}

	// The least MTU leaves nothing to measure; with a new gateway the measurement of the old one ends.
	p.Forget()
	p.Begin(0, netip.Addr{})
	if _, ok := p.Measurement(gw, mtu.Least); ok {
		t.Error("the least MTU is measured")
	}
	p.Forget()
	p.Begin(0, netip.Addr{})
	if _, ok := p.Measurement(gw, 1400); !ok {
		t.Error("not measured")
	}
	p.Promoted()
	if _, ok := p.Measurement(gw, 1400); ok || !p.Due() {
		t.Error("the gateway before is still measured")
	}
}

// The device of the very way to the gateway may be another one than that of its family.
func TestPathMTUOfTheGateway(t *testing.T) {
	gw, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		what string
		path PathMTU
		wan  int
		to   netip.Addr
		want int
	}{
		{"known", PathMTU{known: 1400, to: gw}, 1500, gw, 1320},
		{"known, of a wider device", PathMTU{known: 1500, to: gw}, 1280, gw, 1420},
		{"known of another", PathMTU{known: 1280, to: other}, 1500, gw, 1420},
		{"known of another, and no more than that", PathMTU{known: 1480, to: other}, 0, gw, 1400},
	} {
		if got := tt.path.MTU(0, tt.wan, tt.to); got != tt.want {
			t.Errorf("%s: MTU %d, want %d", tt.what, got, tt.want)
		}
	}
}
