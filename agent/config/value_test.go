package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/agent/derive"
	"wguplink/peerselector"
)

const hexPin = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"

const signingKey = "RWRp8EhHzFU3OyNuDM1ZDIstxX/SRH7HeUiNH8kVWC1qeO6XD0/qD2T7" // as signify makes it

// slashPin is a digest whose base64 begins with slashes.
const slashPin = "//////////////////////////////////////////8="

// values are single values of every option: good ones up to the edge, and bad ones from just over it.
var values = []struct {
	typ, option string
	good, bad   []string
}{
	{"global", "log_level", []string{"error", "warn", "info", "debug"}, []string{"Info", "1", "warning"}},
	{"global", "gomemlimit", []string{"8MiB", "24MiB", "4096MiB", "off"},
		[]string{"7MiB", "4097MiB", "24", "24M", "24 MiB", "1GiB", "MiB", "-8MiB", "0"}},
	{"global", "gogc", []string{"10", "100", "1000", "off"}, []string{"9", "1001", "50%", "-1", "on"}},
	{"global", "firewall", []string{"0", "1", "off"}, []string{"2", "maybe"}},

	{"uplink", "enabled", []string{"0", "1", "true", "false", "on", "off", "yes", "no", "enabled", "disabled"},
		[]string{"2", "True", "ja", " 1", "1 ", "01"}},
	{"uplink", "protocol", []string{"static", "wgkex", "ffac"}, []string{"Parker", "STATIC", "wgpeerselector"}},
	{"uplink", "broker",
		[]string{"a", "a.b", "a.b:1", "http://a", "https://a:65535/x/y-z_~.w/", "192.0.2.1", "[::1]", "[::1]:80",
			"a/api/v1/wg/key/exchange"},
		[]string{"://", "https://", "ftp://a", "a:", "a:0", "a:65536", "a:b", "a:+1", "a b", "a/?x", "a#x", "a?", "a#",
			"u@a", "https://u:p@a", "//a", "a//b",
			"a/../b", "a/./b", "a/%41", "a/b c", "::1", "[::1", "[::1]x", "[1.2.3.4]", "[fe80::1%eth0]", "[ff02::1]",
			"0.0.0.0", "a\n", "a\\b", "http:a", "http:/a", "a/x://y", "-a", "a-.b", "1.2.3", "a..b", ".", "ä.org"}},
	{"uplink", "broker_ca", []string{"/a", "/etc/ssl/a b.pem"},
		[]string{"a", "None", "./a", "/", "/a/", "/a\nb", "/a\x00"}},
	{"uplink", "broker_pin",
		[]string{keyA, "sha256/" + keyA, "sha256//" + keyA, hexPin, strings.ToUpper(hexPin), slashPin,
			"sha256/" + slashPin, "sha256//" + slashPin},
		[]string{keyA[:43], keyA + "=", "sha1/" + keyA, "sha256:" + keyA, hexPin[1:], hexPin + "00", "g" + hexPin[1:],
			keyA[:42] + "h=", keyA[:20] + "\n" + keyA[21:], "sha256/", "sha256//", "sha256/" + hexPin}},
	{"uplink", "broker_timeout", []string{"0.1", "10", "300", "2.5", "0.123456789", "007"},
		[]string{"0", "0.09", "301", "300.1", "-1", "+1", "1e1", "inf", "NaN", "10s", ".5", "5.", "1.2.3", "1,5",
			"0.1234567890", "0x10", "99999999999999999999"}},
	{"uplink", "domain", []string{"a", "ffxx_city-1.north", strings.Repeat("a", 64)},
		[]string{"a b", "a/b", "a#", "+", "ü", strings.Repeat("a", 65), "a\n"}},
	{"uplink", "config_pubkey", []string{signingKey}, []string{signingKey[1:], signingKey + "=", "X" + signingKey[1:],
		"untrusted comment: x\n" + signingKey, signingKey[:20] + "\n" + signingKey[21:]}},
	{"uplink", "node_name", []string{"ffxx-node 1"}, []string{"a\nb", strings.Repeat("a", 65)}},
	{"uplink", "location", []string{"Vienna", "Frankfurt am Main", "Zürich"},
		[]string{"a\nb", "\x7f", "\xff", strings.Repeat("a", 65)}},
	{"uplink", "ntp_server", []string{"ntp.example.org", "ntp.example.org:1123", "192.0.2.1", "192.0.2.1:1123", "::1",
		"[::1]", "[::1]:1123"}, []string{"a b", "a:0", "fe80::1%eth0", "0.0.0.0", "::", "::ffff:192.0.2.1",
		"256.1.1.1", "https://a"}},
	{"uplink", "ntp_grace", []string{"0", "3600", "0.5"}, []string{"3601", "-1", "x"}},
	{"uplink", "dns", []string{"127.0.0.1", "127.0.0.1:54", "::1", "[::1]", "[::1]:54"},
		[]string{"dns.example.org", "127.0.0.1#54", "127.0.0.1:0", "224.0.0.251", "ff02::fb", "fe80::1%br-wan"}},
	{"uplink", "wan_device", []string{"br-wan", "eth0.2"}, []string{"br wan", "1234567890123456"}},
	{"uplink", "limit_ingress", []string{"0", "1", "34359738"}, []string{"-1", "34359739", "5mbit", "auto"}},
	{"uplink", "limit_egress", []string{"0", "5000"}, []string{"-1", "34359739"}},
	{"uplink", "interface", []string{"a", "wg0", "wg-mesh.1", "123456789012345"},
		[]string{"1234567890123456", "a/b", "a b", "a\tb", ".", "..", "a:b", "wg%d", "wü"}},
	{"uplink", "backend", []string{"auto", "kernel", "userspace"}, []string{"go", "Kernel"}},
	{"uplink", "fwmark", []string{"0", "1", "0x1", "0XfF", "4294967295", "0xffffffff"},
		[]string{"4294967296", "0x100000000", "0x", "x1", "-1", "1_0", "0x1_0", "ff", "1/1"}},
	{"uplink", "listen_port", []string{"0", "65535"}, []string{"65536", "-1", "a"}},
	{"uplink", "keepalive", []string{"1", "65535", "25.0"}, []string{"0", "65536", "1.5", "off"}},
	{"uplink", "mtu", []string{"auto", "1280", "65535"}, []string{"0", "1279", "65536", "Auto", "1280.0"}},
	{"uplink", "link_local", []string{"key", "key_newline"}, []string{"newline", "0"}},
	{"uplink", "link_prefix", []string{"64", "128"}, []string{"65", "127", "/64", "0"}},
	{"uplink", "route_allowed_ips", []string{"0", "1", "off"}, []string{"2", "none"}},
	{"uplink", "address_family", []string{"auto", "prefer6", "only6", "only4"}, []string{"prefer4", "ipv6"}},
	{"uplink", "probe_interval", []string{"2", "2.5", "120"}, []string{"0", "1.9", "121", "off"}},
	{"uplink", "update_watchdog", []string{"0", "24", "8760"}, []string{"8761", "-1", "1.5", "off"}},
	{"uplink", "fleet", []string{"0", "1", "10000", "1000000"}, []string{"-1", "1000001", "many", "1e4"}},
	{"uplink", "rebalance", []string{"off", "daily"}, []string{"1", "0", "hourly", "Daily"}},
	{"uplink", "mode", []string{"vxlan", "layer3"}, []string{"layer2", "VXLAN"}},
	{"uplink", "vxlan_interface", []string{"vx", "mesh-vpn"}, []string{"mesh vpn", "1234567890123456"}},
	{"uplink", "vxlan_id", []string{"1", "16777215"}, []string{"0", "16777216", "0x1", "-1"}},
	{"uplink", "domain_seed", []string{seed}, []string{seed[1:], seed + "0", "g" + seed[1:]}},
	{"uplink", "vxlan_seed_key", []string{"gluon-mesh-vxlan"}, []string{"a\nb"}},
	{"uplink", "vxlan_port", []string{"1", "65535"}, []string{"0", "65536"}},
	{"uplink", "broker_choice", []string{"0", "off", "1"}, []string{"v1"}},
	{"uplink", "vxlan_checksum", []string{"0", "off", "1"}, []string{"rx"}},
	{"uplink", "vxlan_mtu", []string{"auto", "576", "65465"}, []string{"0", "575", "65466"}},
	{"uplink", "batman", []string{"bat0"}, []string{"bat 0", "."}},
	{"uplink", "batman_throughput", []string{"auto", "100", "10000", "4294967295"},
		[]string{"99", "4294967296", "-1", "10mbit"}},
	{"uplink", "batman_hop_penalty", []string{"0", "15", "255"}, []string{"256", "-1", "auto"}},
	{"uplink", "key_file", []string{"/etc/wguplink.key"}, []string{"wguplink.key", "/etc/"}},
	{"uplink", "key_import", []string{"fastd.mesh_vpn.secret", "network.wg_mesh.private_key",
		"gluon-core.@x-y[0].k", "a.@b[-1].c"},
		[]string{"a", "a.b", "a.b.c.d", "..", "a..c", "a.@b.c", "a.@b[x].c", "a.@[0].c", "a.@b[--1].c", "a.@b[0.c",
			"a.b-c.d", "a.b.c-d", "/etc/a.b.c", "a.@b[-].c"}},

	{"gateway", "enabled", []string{"1", "yes"}, []string{"y"}},
	{"gateway", "uplink", []string{"mesh"}, []string{"me sh"}},
	{"gateway", "public_key", []string{keyA, keyB}, []string{keyA[:43], keyA[:42] + "h=", keyA[:43] + "A", keyA + "\n",
		" " + keyA[1:], "-" + keyA[1:], keyA[:20] + "\r\n" + keyA[22:]}},
	{"gateway", "endpoint",
		[]string{"a:1", "gw1.example.org:65535", "gw_1.example.org.:1", "192.0.2.1:51820", "[2001:db8::1]:51820",
			"xn--mnchen-3ya.de:1"},
		[]string{"a", "a:0", "a:65536", ":1", "a:", "a:1:2", "2001:db8::1:51820", "[2001:db8::1]", "[2001:db8::1]51820",
			"[192.0.2.1]:1", "[a]:1", "a b:1", "a/b:1", "-a:1",
			"1.2.3.256:1", "1.2.3:1", "999:1", "0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "[::]:1", "[ff02::1]:1",
			"[::ffff:192.0.2.1]:1", "[fe80::1%eth0]:1",
			strings.Repeat("a", 64) + ".org:1", strings.Repeat("a.", 127) + "a:1", "a:http", "a:١"}},
	{"gateway", "link_address", []string{"fe80::1", "FE80::abcd", "febf::1"},
		[]string{"fe80", "fe80::1/128", "[fe80::1]", "::", "fec0::1"}},
	{"gateway", "allowed_ips", []string{"fe80::/10", "fe80::1", "::/0"}, []string{"fe80::/129", "fe80::%eth0/64",
		"fe80::1%eth0", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "x", "::ffff:10.0.0.0/104", "/", "0/0"}},
}

func TestValues(t *testing.T) {
	for _, tt := range values {
		for _, v := range append(slices.Clone(tt.good), tt.bad...) {
			text := valueIn(tt.typ, tt.option)
			tree := fake(text)
			section := map[string]string{"global": "g", "uplink": "mesh", "gateway": "gw1"}[tt.typ]
			s := tree.packages[Package].sections[section]
			if _, ok := s.values[tt.option]; !ok {
				s.options = append(s.options, tt.option)
			}
			s.values[tt.option] = []string{v}
			_, err := Load(tree)
			want := slices.Contains(tt.good, v)
			if !BrokerSupport && (v == "wgkex" || v == "ffac") {
				want = false
			}
			if (err == nil) != want {
				t.Errorf("%s.%s %q: %v, want it %s", tt.typ, tt.option, v, err,
					map[bool]string{true: "accepted", false: "refused"}[want])
				continue
			}
			shown := err == nil || strings.Contains(err.Error(),
				fmt.Sprintf("section %q, option %q, value", section, tt.option))
			if !shown {
				t.Errorf("%s.%s %q: the message is about something else: %v", tt.typ, tt.option, v, err)
			}
		}
	}
}

// valueIn is a good configuration to put a value of the option into.
func valueIn(typ, option string) string {
	text := minimal + "config global 'g'\n"
	switch option {
	case "domain_seed":
		text = strings.Replace(text, "\toption vxlan_id '1906606'\n", "", 1)
	case "protocol":
		text = with("list broker a", "option domain d") + "config global 'g'\n"
	case "enabled":
		if typ == "gateway" { // another one keeps the uplink busy
			text += strings.Replace(strings.Replace(gatewayA, keyA, keyB, 1), "'gw1'", "'gw2'", 1)
		}
	}
	return text
}

func TestValuesOfEveryOption(t *testing.T) {
	for _, typ := range []string{typeGlobal, typeUplink, typeGateway} {
		for _, o := range table(typ) {
			tried := false
			for _, v := range values {
				tried = tried || v.typ == typ && v.option == o.name && len(v.good) > 0 && len(v.bad) > 0
			}
			if !tried && o.set != nil {
				t.Errorf("%s.%s is not in the table of values", typ, o.name)
			}
		}
	}
}

func TestBrokerForms(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"broker.example.org", "https://broker.example.org"},
		{"https://broker.example.org/", "https://broker.example.org"},
		{"http://broker.example.org:8080", "http://broker.example.org:8080"},
		{"broker.example.org:8080", "https://broker.example.org:8080"},
		{"broker.example.org/api/v1/wg/key/exchange", "https://broker.example.org"},
		{"http://broker.example.org/api/v1/wg/key/exchange/", "http://broker.example.org"},
		{"https://broker.example.org/wgkex/api/v2/wg/key/exchange", "https://broker.example.org/wgkex"},
		{"https://broker.example.org/wgkex//", "https://broker.example.org/wgkex"},
		{"HTTP://BROKER.example.org/Pre", "http://broker.example.org/Pre"},
		{"[2001:db8::1]:5000/x", "https://[2001:db8::1]:5000/x"},
		{"broker.example.org/xapi/v1/wg/key/exchange", "https://broker.example.org/xapi/v1/wg/key/exchange"},
	} {
		var u *url.URL
		if !parseBroker(tt.in, &u) || brokerURL(WGKex, u).String() != tt.want {
			t.Errorf("%s: %v, want %s", tt.in, u, tt.want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "fe80::1": "fe80::1/128",
		"fe80::1/64": "fe80::/64", "::/0": "::/0",
		"::ffff:10.0.0.0": "", "::ffff:10.0.0.0/104": "", "fe80::1%eth0": "", "10.0.0.0/-1": "", "": "",
	} {
		var got netip.Prefix
		if ok := parsePrefix(in, &got); ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %v, %v, want %q", in, got, ok, want)
		}
	}
}

func TestHostnameLength(t *testing.T) {
	longest := strings.Repeat("a.", 126) + "a"
	if len(longest) != 253 || !isHostname(longest) || !isHostname(longest+".") || isHostname(longest+"a") {
		t.Error("the limit is not 253")
	}
}

func TestSeconds(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, "1.5": 1500 * time.Millisecond, "0.000000001": 1, "59.999999999": time.Minute - 1,
		"1.05": 1050 * time.Millisecond,
	} {
		var got time.Duration
		if !parseSeconds(in, 0, time.Minute, &got) || got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for want, s := range map[string]fmt.Stringer{
		"static": Static, "wgkex": WGKex,
		"auto": Backend(Auto), "kernel": Kernel, "userspace": Userspace,
		"prefer6": Prefer6, "only6": Only6, "only4": Only4,
		"key_newline": KeyNewline, "key": KeyOnly,
		"vxlan": ModeVXLAN, "layer3": ModeLayer3,
		"unknown": Mode(200),
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Family(Auto).String(); got != "auto" {
		t.Errorf("%q, want auto", got)
	}
}

// A node derives its link address as its gateways do: docs/configuration.md, option link_local.
func TestLinkLocal(t *testing.T) {
	key := peerselector.Key{1, 2, 3}
	for way, newline := range map[LinkLocal]bool{KeyNewline: true, KeyOnly: false} {
		if got, want := way.Of(key), derive.LinkLocal(key, newline); got != want {
			t.Errorf("%v: %v, want %v", way, got, want)
		}
		if other := way.Other(); other == way || other.Other() != way || other.Of(key) == way.Of(key) {
			t.Errorf("%v: the other way is %v", way, other)
		}
	}
}
