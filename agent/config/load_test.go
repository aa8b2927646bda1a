package config

import (
	"errors"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"wguplink/agent/slog"
	"wguplink/peerselector"
)

const (
	keyA = "o52Ge+Rpj4CUSitVag9mS7pSXUesNM0ESnvj/wwehkg="
	keyB = "TszFS3oFRdhsJP3K0VOlklGMGYZy+oFCtlaghXJqW2g="
	seed = "e9608c4ff338b920992d629190e9ff11049de1dfc3f299eac07792dfbcda341c"

	gatewayA = `
config gateway 'gw1'
	option public_key '` + keyA + `'
	list endpoint 'gw1.example.org:51820'
	option link_address 'fe80::1'
`
	minimal = `
config uplink 'mesh'
	option vxlan_id '1906606'
` + gatewayA
)

func key(s string) peerselector.Key {
	var k peerselector.Key
	if !parseKey(s, &k) {
		panic(s)
	}
	return k
}

func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{}))
}

// defaults is what the options of minimal leave untouched.
func defaults() *Config {
	return &Config{
		LogLevel: slog.LevelInfo,
		Uplinks: []Uplink{{
			Name:          "mesh",
			Enabled:       true,
			Protocol:      Static,
			BrokerTimeout: 10 * time.Second,
			NTPGrace:      15 * time.Second,
			Interface:     "wg_mesh",
			Backend:       Auto,
			FwMark:        1,
			Keepalive:     25 * time.Second,
			LinkLocal:     KeyNewline,
			LinkPrefix:    64,
			Mode:          ModeVXLAN,
			VXLAN:         VXLAN{Name: "mesh-vpn", ID: 1906606, Port: 8472, Checksum: true},
			AddressFamily: Auto,
			ProbeInterval: 2 * time.Second,
			Gateways: []peerselector.Peer{{
				Name:        "gw1",
				PublicKey:   key(keyA),
				Endpoints:   []string{"gw1.example.org:51820"},
				LinkAddress: netip.MustParseAddr("fe80::1"),
				AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("fe80::1/128")},
			}},
		}},
	}
}

func TestDefaults(t *testing.T) {
	got, err := Load(fake(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(defaults(), got); d != "" {
		t.Error(d)
	}
}

func TestEveryOption(t *testing.T) {
	if !BrokerSupport {
		return // refused by this build, as TestNoBrokerSupport shows
	}
	tree := fake(`
config global 'global'
	option log_level 'debug'
config uplink 'l3'
	option enabled 'off'
	option protocol 'wgkex'
	option mode 'layer3'
	option interface 'wg_l3'
	list broker 'https://user-less.example.org:8443/prefix/api/v2/wg/key/exchange'
	list broker '[2001:db8::1]:8443/'
	list broker 'HTTPS://Broker.Example.org//'
	option broker_ca '/etc/ssl/own.pem'
	option broker_pin '` + strings.Repeat("ab", 32) + `'
	option broker_timeout '2.5'
	option domain 'ffxx_city'
	option location 'München'
	list ntp_server 'ntp.example.org'
	list ntp_server '[2001:db8::2]'
	list ntp_server '[2001:db8::3]:1123'
	list ntp_server '2001:db8::4'
	option ntp_grace '0'
	list dns '127.0.0.1:54'
	list dns '[::1]'
	list dns '192.0.2.1'
	option backend 'userspace'
	option fwmark '0xFF00'
	option listen_port '40011'
	option keepalive '5'
	option mtu '1406'
	option link_local 'key'
	option link_prefix '128'
	option route_allowed_ips '0'
	option address_family 'prefer6'
	option key_file '/etc/wguplink/key'
	option key_import 'fastd.mesh_vpn.secret'
	option private_key 'anything'
config uplink 'mesh'
	option domain_seed '` + strings.ToUpper(seed) + `'
	option vxlan_seed_key 'gluon-mesh-vxlan'
	option vxlan_port '4789'
	option vxlan_checksum 'no'
	option mtu '1420'
	option vxlan_mtu '1350'
	option batman 'bat0'
config gateway
	option uplink 'l3'
	option public_key '` + keyA + `'
	list endpoint '[2001:db8::5]:51820'
	list endpoint '192.0.2.5:51820'
	option link_address '10.0.0.1'
config gateway 'gw2'
	option uplink 'mesh'
	option public_key '` + keyA + `'
	option endpoint 'gw2.example.org:51820'
	option link_address 'fe80::2'
	list allowed_ips 'fe80::2'
	list allowed_ips '10.1.2.3/8'
config gateway 'gw3'
	option uplink 'mesh'
	option enabled '0'
	option public_key '` + keyB + `'
	list endpoint 'gw3.example.org:51820'
	option link_address 'fe80::3'
`)
	got, err := Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		LogLevel: slog.LevelDebug,
		Uplinks: []Uplink{{
			Name:     "l3",
			Protocol: WGKex,
			Brokers: []*url.URL{
				{Scheme: "https", Host: "user-less.example.org:8443", Path: "/prefix"},
				{Scheme: "https", Host: "[2001:db8::1]:8443"},
				{Scheme: "https", Host: "broker.example.org"},
			},
			BrokerCA:      "/etc/ssl/own.pem",
			BrokerPins:    [][32]byte{[32]byte([]byte(strings.Repeat("\xab", 32)))},
			BrokerTimeout: 2500 * time.Millisecond,
			Domain:        "ffxx_city",
			Location:      "München",
			NTPServers:    []string{"ntp.example.org", "2001:db8::2", "[2001:db8::3]:1123", "2001:db8::4"},
			DNSServers: []netip.AddrPort{
				netip.MustParseAddrPort("127.0.0.1:54"), netip.MustParseAddrPort("[::1]:53"),
				netip.MustParseAddrPort("192.0.2.1:53"),
			},
			Interface:     "wg_l3",
			Backend:       Userspace,
			FwMark:        0xff00,
			ListenPort:    40011,
			Keepalive:     5 * time.Second,
			MTU:           1406,
			LinkLocal:     KeyOnly,
			LinkPrefix:    128,
			Unrouted:      true,
			Mode:          ModeLayer3,
			AddressFamily: Prefer6,
			ProbeInterval: 2 * time.Second,
			KeyFile:       "/etc/wguplink/key",
			KeyImport:     []string{"fastd.mesh_vpn.secret"},
			Gateways: []peerselector.Peer{{
				Name:        "2001:db8::5",
				PublicKey:   key(keyA),
				Endpoints:   []string{"[2001:db8::5]:51820", "192.0.2.5:51820"},
				LinkAddress: netip.MustParseAddr("10.0.0.1"),
				AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")},
			}},
		}, defaults().Uplinks[0]},
	}
	mesh := &want.Uplinks[1]
	mesh.VXLAN = VXLAN{Name: "mesh-vpn", ID: 9407995, Port: 4789, MTU: 1350}
	mesh.MTU, mesh.Batman = 1420, "bat0"
	mesh.Gateways = []peerselector.Peer{{
		Name:        "gw2",
		PublicKey:   key(keyA),
		Endpoints:   []string{"gw2.example.org:51820"},
		LinkAddress: netip.MustParseAddr("fe80::2"),
		AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("fe80::2/128"), netip.MustParsePrefix("10.0.0.0/8")},
	}}
	if d := diff(want, got); d != "" {
		t.Error(d)
	}
	if slices.ContainsFunc(tree.read, func(s string) bool { return strings.Contains(s, "private_key") }) {
		t.Errorf("the private key was read: %q", tree.read)
	}
}

// An empty value is no value, and the defaults hold.
func TestEmptyValues(t *testing.T) {
	text := strings.Replace(minimal, "config uplink 'mesh'\n", "config uplink 'mesh'\n"+
		"\toption enabled ''\n\toption location ''\n\toption mtu ''\n\tlist broker ''\n\toption private_key "+
		"''\n\toption batman ''\n", 1)
	got, err := Load(fake(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(defaults(), got); d != "" {
		t.Error(d)
	}
}

// A tree that names an option twice does not double a list.
func TestOptionNamedTwice(t *testing.T) {
	tree := fake(minimal)
	gw := tree.packages[Package].sections["gw1"]
	gw.options = append(gw.options, gw.options...)
	got, err := Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(defaults(), got); d != "" {
		t.Error(d)
	}
}

func TestNothingConfigured(t *testing.T) {
	got, err := Load(fake(""))
	if err != nil || len(got.Uplinks) != 0 || got.LogLevel != slog.LevelInfo {
		t.Errorf("%+v, %v, want no uplink", got, err)
	}
}

func TestNoFile(t *testing.T) {
	_, err := Load(&fakeTree{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v, want os.ErrNotExist", err)
	}
	for _, want := range []string{"/etc/config/wguplink", "install the package wguplink", "config uplink"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	var problems Problems
	if errors.As(err, &problems) {
		t.Error("a missing file is no Problem")
	}
}

func TestUnreadableFile(t *testing.T) {
	broken := errors.New("line 3: no closing quote")
	tree := fake(minimal)
	tree.err = broken
	_, err := LoadFile(tree, "/tmp/other")
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "/tmp/other") {
		t.Errorf("%v, want the tree's error and the file's name", err)
	}
}

func TestSystemNTP(t *testing.T) {
	const system = `
config system
	option hostname 'node'
config timeserver 'ntp'
	option enabled '1'
	list server '0.example.pool.ntp.org'
	list server 'not a server'
	list server '192.0.2.9'
`
	for _, tt := range []struct {
		name, system, ours string
		want               []string
	}{
		{"of the system", system, "", []string{"0.example.pool.ntp.org", "192.0.2.9"}},
		{"ours come instead", system, "\tlist ntp_server 'ntp.example.org'\n", []string{"ntp.example.org"}},
		{"another type of section", strings.Replace(system, "timeserver", "other", 1), "", nil},
		{"no list", "config timeserver 'ntp'", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := fake(strings.Replace(minimal, "'mesh'\n", "'mesh'\n"+tt.ours, 1))
			tree.add("system", tt.system)
			cfg, err := Load(tree)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Uplinks[0].NTPServers; !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestLogLevels(t *testing.T) {
	for word, want := range map[string]slog.Level{
		"error": slog.LevelError, "warn": slog.LevelWarn, "info": slog.LevelInfo, "debug": slog.LevelDebug,
	} {
		cfg, err := Load(fake("config global\n\toption log_level " + word))
		if err != nil || cfg.LogLevel != want {
			t.Errorf("%s: %+v, %v", word, cfg, err)
		}
	}
}

// A broker known by the pin of its own key needs no authority; without a pin no authority would vouch for it.
func TestNoCA(t *testing.T) {
	if !BrokerSupport {
		return // refused by this build, as TestNoBrokerSupport shows
	}
	pinned := strings.Replace(minimal, "config gateway",
		"\toption protocol wgkex\n\toption domain d\n\toption broker b.example.org\n\toption broker_ca "+
			"'none'\n\toption broker_pin '"+strings.Repeat("ab", 32)+"'\nconfig gateway", 1)
	got, err := Load(fake(pinned))
	if err != nil {
		t.Fatal(err)
	}
	if u := got.Uplinks[0]; u.BrokerCA != "none" || len(u.BrokerPins) != 1 {
		t.Errorf("got %q with %d pins", u.BrokerCA, len(u.BrokerPins))
	}

	for drop, want := range map[string]string{
		"\toption broker_pin '" + strings.Repeat("ab", 32) +
			"'\n": "mesh.broker_ca=none: leaves nothing to know the broker by",
		"broker b.": "mesh.broker=http://b.example.org: cannot be checked against broker_pin without encryption",
	} {
		to := ""
		if drop == "broker b." {
			to = "broker http://b."
		}
		if got := brief(problemsOf(t, strings.Replace(pinned, drop, to, 1))); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}
