package wgpeerselector

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"wguplink/agent/config"
	"wguplink/agent/uci"
	"wguplink/peerselector"
)

const (
	keyA = "mIDOdscl2R3Dq+YthxdTvvtH4D53VhawzEnmet+E7W0="
	keyB = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
	keyC = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI="
)

func key(t *testing.T, s string) peerselector.Key {
	t.Helper()
	var p peerselector.Peer
	if _, ok := config.SetGateway(&p, "public_key", s); !ok {
		t.Fatalf("bad key %q in the test", s)
	}
	return p.PublicKey
}

// load reads files in a folder of their own, for interface wg_mesh. Errors and problems have the folder as "DIR".
func load(t *testing.T, files map[string]string) (u config.Uplink, warnings string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := defaults()
	a.Config = dir
	u, problems, err := Load(uci.NewTree(dir, ""), a)
	return u, strings.ReplaceAll(problems.Error(), dir, "DIR"), err
}

// peer is a good peer section but for the lines at its end: what is given last counts, and no endpoint but the last.
func peer(name, key string, more ...string) string {
	s := "config peer " + name + "\n\toption enabled '1'\n\toption ifname 'wg_mesh'\n\toption public_key '" + key +
		"'\n\toption endpoint 'gw.example.org:51820'\n\tlist allowed_ips 'fe80::1/128'\n"
	for _, m := range more {
		s += "\t" + m + "\n"
	}
	return s
}

var compare = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})}

// TestLoad reads what a Gluon node has.
func TestLoad(t *testing.T) {
	u, warnings, err := load(t, map[string]string{
		Package: `
config peer 'gw1'
	option enabled '1'
	option public_key '` + keyA + `'
	option endpoint 'gw1.example.org:51820'
	list allowed_ips 'fe80::1/128'
	option ifname 'wg_mesh'
	option persistent_keepalive '10'
	option group 'wireguard'

config peer
	option enabled 'true'
	list endpoint '[2001:db8::1]:51820'
	list endpoint ''
	list endpoint '192.0.2.1:51820'
	option public_key '` + keyB + `'
	list allowed_ips '2001:db8:1::17/48'
	list allowed_ips 'fe80::1/128'
	list allowed_ips '10.0.0.1/32'
	option ifname 'wg_mesh'
	option persistent_keepalive '0'

config peer 'off'
	option enabled '0'
	option public_key 'nonsense'
	option ifname 'wg_mesh'

config peer 'silent_about_enabled'
	option public_key '` + keyC + `'
	option endpoint 'gw3.example.org:51820'
	list allowed_ips 'fe80::1/128'
	option ifname 'wg_mesh'

config peer 'foreign'
	option enabled '1'
	option public_key 'nonsense'
	option ifname 'wg_other'

config peer 'stranger'
	option enabled '1'

config other 'thing'
	option enabled '1'
	option ifname 'wg_mesh'
	option public_key '` + keyC + `'
`,
		"network": "config interface wg_mesh\n\toption proto wireguard\n\toption fwmark 0x2a\n\toption " +
			"private_key secret\n",
		"system": "config timeserver ntp\n\tlist server 0.example.org\n\tlist server 'not a host'\n\tlist server " +
			"2001:db8::123\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if warnings != "" {
		t.Error(warnings)
	}
	want := config.Uplink{
		Name: "wgpeerselector.wg_mesh", Enabled: true, Protocol: config.Static,
		NTPServers: []string{"0.example.org", "2001:db8::123"}, NTPGrace: 2 * time.Second,
		Interface: "wg_mesh", Borrowed: true, FwMark: 42, Keepalive: 25 * time.Second,
		LinkLocal: config.KeyOnly, LinkPrefix: 128, Mode: config.ModeLayer3,
		Gateways: []peerselector.Peer{{
			Name: "gw1", PublicKey: key(t, keyA), Endpoints: []string{"gw1.example.org:51820"},
			LinkAddress: netip.MustParseAddr("fe80::1"),
			AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("fe80::1/128")}, Keepalive: 10 * time.Second,
		}, {
			// The second section of all; 3511 is libuci's hash of "peer".
			Name: "cfg023511", PublicKey: key(t, keyB), Endpoints: []string{"[2001:db8::1]:51820", "192.0.2.1:51820"},
			LinkAddress: netip.MustParseAddr("fe80::1"),
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("fe80::1/128"),
				netip.MustParsePrefix("10.0.0.1/32")},
		}},
	}
	if d := cmp.Diff(want, u, compare); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestLoadLeavesOut has a good peer beside one that makes no sense: that one is named, and the good one works.
func TestLoadLeavesOut(t *testing.T) {
	const bad = `DIR/wgpeerselector: section "bad", option `
	section := func(key string, rest ...string) string {
		s := "config peer bad\n\toption enabled 1\n\toption ifname wg_mesh\n"
		if key != "" {
			s += "\toption public_key '" + key + "'\n"
		}
		return s + "\t" + strings.Join(rest, "\n\t") + "\n"
	}
	const endpoint, allowed = "option endpoint gw.example.org:51820", "list allowed_ips fe80::1/128"
	for name, tt := range map[string]struct {
		section string
		want    []string
	}{
		"enabled": {peer("bad", keyB, "option enabled maybe"),
			[]string{bad + `"enabled", value "maybe": not valid; allowed: 1, true`}},
		"enabled twice": {peer("bad", keyB, "list enabled 0"),
			[]string{bad + `"enabled", value "0": a second value`}},
		"key": {peer("bad", "nonsense"),
			[]string{bad + `"public_key", value "nonsense": not valid; allowed: a WireGuard key`}},
		"key's last bits": {peer("bad", strings.Replace(keyB, "E=", "F=", 1)),
			[]string{`not valid; allowed: a WireGuard key`}},
		"key twice": {peer("bad", keyB, "list public_key "+keyC),
			[]string{bad + `"public_key", value "` + keyC + `": a second value`}},
		"key missing": {section("", endpoint, allowed),
			[]string{bad + `"public_key": missing; allowed: a WireGuard key`}},

		"endpoint missing": {section(keyB, allowed), []string{bad + `"endpoint": missing; allowed: host:port`}},
		"endpoint without port": {section(keyB, "option endpoint gw.example.org", allowed),
			[]string{bad + `"endpoint", value "gw.example.org": not valid; allowed: host:port`}},
		"endpoint port 0": {section(keyB, "option endpoint 192.0.2.1:0", allowed),
			[]string{`value "192.0.2.1:0": not valid`}},
		"endpoint port too big": {section(keyB, "option endpoint [2001:db8::1]:65536", allowed),
			[]string{`value "[2001:db8::1]:65536": not valid`}},
		"endpoint bare IPv6": {section(keyB, "option endpoint 2001:db8::1:51820", allowed),
			[]string{`value "2001:db8::1:51820": not valid`}},
		"endpoint for the shell": {section(keyB, `option endpoint "gw';reboot:1"`, allowed),
			[]string{`value "gw';reboot:1": not valid`}},
		"one endpoint of two": {section(keyB, endpoint, "list endpoint gw:x", allowed),
			[]string{bad + `"endpoint", value "gw:x": not valid`}},

		"allowed IPs missing": {section(keyB, endpoint),
			[]string{bad + `"allowed_ips": missing; allowed: prefixes`}},
		"allowed IPs": {section(keyB, endpoint, "list allowed_ips fe80::1/129"),
			[]string{bad + `"allowed_ips", value "fe80::1/129": not valid; allowed: prefixes`}},
		"one allowed IP of three": {section(keyB, endpoint, allowed, "list allowed_ips all", "list allowed_ips ::/0"),
			[]string{bad + `"allowed_ips", value "all": not valid`}},

		"keepalive": {peer("bad", keyB, "option persistent_keepalive 65536"),
			[]string{bad +
				`"persistent_keepalive", value "65536": not valid; allowed: whole seconds from 1 to 65535; 0 or off`}},
		"keepalive a word": {peer("bad", keyB, "option persistent_keepalive often"),
			[]string{`value "often": not valid`}},
		"keepalive below 0": {peer("bad", keyB, "option persistent_keepalive -1"), []string{`value "-1": not valid`}},
		"keepalive twice": {peer("bad", keyB, "list persistent_keepalive 1", "list persistent_keepalive 2"),
			[]string{`value "2": a second value`}},

		"anonymous": {"config peer\n\toption enabled 1\n\toption ifname wg_mesh\n\t" + endpoint + "\n\t" + allowed +
			"\n", []string{`section "@peer[1]", option "public_key": missing`}},
		"several wrong": {section("x", "option endpoint y", "list allowed_ips z"),
			[]string{`"public_key", value "x"`, `"endpoint", value "y"`, `"allowed_ips", value "z"`}},
		"two lines": {peer("bad", keyB, "option persistent_keepalive '1\n2'"), []string{`value "1\n2": not valid`}},
	} {
		t.Run(name, func(t *testing.T) {
			u, warnings, err := load(t, map[string]string{Package: peer("good", keyA) + tt.section})
			if err != nil {
				t.Fatal(err)
			}
			if len(u.Gateways) != 1 || u.Gateways[0].Name != "good" {
				t.Errorf("gateways %+v", u.Gateways)
			}
			lines := strings.Split(warnings, "\n")
			if len(lines) != len(tt.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(tt.want), warnings)
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) || !strings.HasPrefix(lines[i], "DIR/wgpeerselector: section ") {
					t.Errorf("%s\nwant %s", lines[i], want)
				}
			}
		})
	}
}

func TestLoadOneKeyTwice(t *testing.T) {
	u, warnings, err := load(t, map[string]string{Package: peer("four", keyA, "option endpoint 192.0.2.1:1") +
		peer("six", keyA, "option endpoint [2001:db8::1]:1") + peer("again", keyA, "option endpoint 192.0.2.1:1")})
	if err != nil {
		t.Fatal(err)
	}
	if len(u.Gateways) != 1 || u.Gateways[0].Name != "four" {
		t.Fatalf("gateways %+v", u.Gateways)
	}
	if d := cmp.Diff([]string{"192.0.2.1:1", "[2001:db8::1]:1"}, u.Gateways[0].Endpoints); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if n := strings.Count(warnings, `also the key of section "four"`); n != 2 {
		t.Errorf("warnings:\n%s", warnings)
	}
}

func TestLoadNoPeer(t *testing.T) {
	for name, tt := range map[string]struct {
		text, want string
		warnings   int
	}{
		"empty file": {"",
			`: no peer for interface "wg_mesh" (sections of type peer: there is none at all): add one with option ifname 'wg_mesh' and option enabled '1'`, 0},
		"none of them": {peer("a", keyA, "option ifname wg0") + peer("b", keyB, "option enabled off") +
			peer("c", keyC, "option endpoint x", "option enabled 1"),
			`(sections of type peer: 1 of another ifname, 1 not enabled, 1 with mistakes)`, 1},
		"enabled how": {peer("a", keyA, "option enabled maybe"), `(sections of type peer: 1 with mistakes)`, 1},
		"twice wrong": {peer("a", "x", "option endpoint x"), `(sections of type peer: 1 with mistakes)`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			u, warnings, err := load(t, map[string]string{Package: tt.text})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line with %s", err, tt.want)
			}
			if d := cmp.Diff(config.Uplink{}, u, compare); d != "" {
				t.Errorf("an uplink beside an error: %s", d)
			}
			if n := strings.Count(warnings, "DIR/"); n != tt.warnings {
				t.Errorf("%d warnings:\n%s", n, warnings)
			}
		})
	}
}

func TestLoadUnreadable(t *testing.T) {
	if _, _, err := load(t, nil); !errors.Is(err, os.ErrNotExist) ||
		!strings.Contains(err.Error(), "/wgpeerselector: make the file") {
		t.Errorf("no file: %v", err)
	}
	_, _, err := load(t, map[string]string{Package: peer("a", keyA) + "option 'unterminated\n"})
	var broken *uci.ParseError
	if !errors.As(err, &broken) || !strings.Contains(err.Error(), "/wgpeerselector:") {
		t.Errorf("broken file: %v", err)
	}
}

// TestLoadMark has all that netifd's configuration may say about the mark.
func TestLoadMark(t *testing.T) {
	const iface = "config interface wg_mesh\n"
	for _, tt := range []struct {
		network string
		want    uint32
		warning string
	}{
		{"", 1, ""},
		{iface, 1, ""},
		{iface + "option fwmark 7", 7, ""},
		{iface + "option fwmark 0xFF", 255, ""},
		{iface + "option fwmark 0", 0, ""},
		{iface + "option fwmark off", 0, ""},
		{"config interface other\noption fwmark 7", 1, ""},
		{"not UCI", 1, ""},
		{iface + "option fwmark red", 1,
			`DIR/network: section "wg_mesh", option "fwmark", value "red": not valid, so 1 is used; allowed: 0 to 4294967295`},
		{iface + "option fwmark 0x100000000", 1, `value "0x100000000": not valid`},
	} {
		files := map[string]string{Package: peer("a", keyA), "network": tt.network + "\n"}
		u, warnings, err := load(t, files)
		if err != nil {
			t.Fatal(err)
		}
		if u.FwMark != tt.want || !strings.Contains(warnings, tt.warning) || (tt.warning == "") != (warnings == "") {
			t.Errorf("%q: mark %d, want %d; warnings %q, want %q", tt.network, u.FwMark, tt.want, warnings, tt.warning)
		}
	}
	u, _, err := load(t, map[string]string{Package: peer("a", keyA)})
	if err != nil || u.FwMark != 1 || u.NTPServers != nil {
		t.Errorf("without network and system: %+v, %v", u, err)
	}
}

// TestLoadLinkAddress takes the first allowed IP that can be a host's.
func TestLoadLinkAddress(t *testing.T) {
	for _, tt := range []struct {
		allowed []string
		want    netip.Addr
	}{
		{[]string{"fe80::1/128"}, netip.MustParseAddr("fe80::1")},
		{[]string{"fe80::1"}, netip.MustParseAddr("fe80::1")},
		{[]string{"10.0.0.0/8", "10.0.0.1/32", "fe80::1/128"}, netip.MustParseAddr("10.0.0.1")},
		{[]string{"ff02::1/128", "::/128", "fe80::2/128"}, netip.MustParseAddr("fe80::2")},
		{[]string{"0.0.0.0/0", "::/0"}, netip.Addr{}},
	} {
		text := strings.Replace(peer("a", keyA), "\tlist allowed_ips 'fe80::1/128'\n", "", 1)
		for _, a := range tt.allowed {
			text += "\tlist allowed_ips '" + a + "'\n"
		}
		u, warnings, err := load(t, map[string]string{Package: text})
		if err != nil || warnings != "" {
			t.Fatal(err, warnings)
		}
		if p := u.Gateways[0]; p.LinkAddress != tt.want || len(p.AllowedIPs) != len(tt.allowed) {
			t.Errorf("%q: %v, %v", tt.allowed, p.LinkAddress, p.AllowedIPs)
		}
	}
}

// FuzzLoad holds what any file gives to what the engine needs.
func FuzzLoad(f *testing.F) {
	f.Add(peer("a", keyA)+peer("b", keyB, "option persistent_keepalive 7"),
		"config interface wg_mesh\n\toption fwmark 1\n")
	f.Add(peer("a", keyA)+peer("", keyA, "list allowed_ips ::/0"), "")
	f.Add("config peer\n\tlist enabled 1\n\tlist ifname wg_mesh\n\tlist ifname x\n", "config")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, peers, network string) {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, Package), []byte(peers), 0o644),
			os.WriteFile(filepath.Join(dir, "network"), []byte(network), 0o644)); err != nil {
			t.Fatal(err)
		}
		a := defaults()
		a.Config = dir
		u, problems, err := Load(uci.NewTree(dir, ""), a)
		if (err == nil) != (len(u.Gateways) > 0) || err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%d peers, %v", len(u.Gateways), err)
		}
		for _, p := range problems {
			if strings.Contains(p.Error(), "\n") {
				t.Errorf("two lines: %q", p.Error())
			}
		}
		keys := map[peerselector.Key]bool{}
		for _, p := range u.Gateways {
			if keys[p.PublicKey] || p.Name == "" || len(p.Endpoints) == 0 || len(p.AllowedIPs) == 0 ||
				p.Keepalive%time.Second != 0 || p.Keepalive < 0 {
				t.Errorf("%+v", p)
			}
			keys[p.PublicKey] = true
		}
	})
}
