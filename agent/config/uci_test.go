package config

import (
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wguplink/agent/slog"
	"wguplink/agent/uci"
	"wguplink/peerselector"
)

var _ Reader = (*uci.Tree)(nil)

// TestFile reads what a router has, with a change staged over it, through the real UCI reader.
func TestFile(t *testing.T) {
	if !BrokerSupport {
		return // refused by this build, as TestNoBrokerSupport shows
	}
	got, err := Load(uci.NewTree("testdata/etc", "testdata/staged"))
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.LogLevel = slog.LevelWarn
	u := &want.Uplinks[0]
	u.Protocol = WGKex
	u.Brokers = []*url.URL{{Scheme: "https", Host: "broker.example.org"},
		{Scheme: "https", Host: "broker2.example.org:8443"}}
	u.Domain = "ffxx_city"
	u.NTPServers = []string{"0.openwrt.pool.ntp.org", "1.openwrt.pool.ntp.org"}
	u.DNSServers = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:54")}
	u.MTU, u.ListenPort = 1420, 40012
	u.Gateways = []peerselector.Peer{{
		Name:        "gw1.example.org",
		PublicKey:   key(keyA),
		Endpoints:   []string{"gw1.example.org:40011", "[2001:db8::1]:40011"},
		LinkAddress: netip.MustParseAddr("fe80::2a6:8fff:fe21:5465"),
		AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("fe80::2a6:8fff:fe21:5465/128")},
	}, {
		Name:        "gw2",
		PublicKey:   key(keyB),
		Endpoints:   []string{"gw2.example.org:40011"},
		LinkAddress: netip.MustParseAddr("fe80::27c:16ff:fec0:6c74"),
		AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("fe80::27c:16ff:fec0:6c74/128")},
	}}
	if d := diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestFileWithMistakes compares all that is said about a file with testdata/bad.expected.
func TestFileWithMistakes(t *testing.T) {
	want, err := os.ReadFile("testdata/bad.expected")
	if err != nil {
		t.Fatal(err)
	}
	_, err = LoadFile(uci.NewTree("testdata/bad", t.TempDir()), "testdata/bad/wguplink")
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("%v, want problems", err)
	}
	if d := diff(strings.Split(strings.TrimSpace(string(want)), "\n"), strings.Split(problems.Error(), "\n")); d != "" {
		t.Error(d)
	}
}

func TestFileMissingOrBroken(t *testing.T) {
	if _, err := Load(uci.NewTree(t.TempDir(), t.TempDir())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want os.ErrNotExist", err)
	}
	file := filepath.Join("testdata", "broken", Package)
	_, err := LoadFile(uci.NewTree(filepath.Dir(file), t.TempDir()), file)
	var broken *uci.ParseError
	if !errors.As(err, &broken) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "line") {
		t.Errorf("%v, want a ParseError that names the file and the line", err)
	}
}
