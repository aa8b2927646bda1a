package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"wguplink/peerselector"
)

// twoUplinks is a good configuration with as many options as go together.
func twoUplinks() string {
	a := `config global 'global'
	option log_level 'warn'
	option gogc '25'
	option firewall '0'
config uplink 'a'
	option enabled '1'
	option protocol 'static'
	list ntp_server 'ntp.example.org'
	option ntp_grace '20'
	list dns '192.0.2.53'
	option wan_device 'wan0'
	option limit_ingress '1000'
	option limit_egress '1000'
	option interface 'wg_a'
	option backend 'kernel'
	option fwmark '7'
	option listen_port '4000'
	option keepalive '20'
	option mtu '1400'
	option link_local 'key'
	option link_prefix '128'
	option route_allowed_ips '0'
	option address_family 'only6'
	option probe_interval '4'
	option rebalance 'daily'
	option mode 'vxlan'
	option vxlan_interface 'vx_a'
	option vxlan_id '1906606'
	option vxlan_port '4789'
	option vxlan_checksum '0'
	option vxlan_mtu '1330'
	option batman 'bat0'
	option key_file '/etc/wguplink/a.key'
	list key_import 'fastd.mesh_vpn.secret'
config gateway 'a1'
	option enabled '1'
	option uplink 'a'
	option public_key '` + keyA + `'
	list endpoint 'a1.example.org:51820'
	option link_address 'fe80::1'
	list allowed_ips 'fe80::1/128'
config gateway 'a2'
	option uplink 'a'
	option public_key '` + keyB + `'
	list endpoint 'a2.example.org:51820'
	option link_address 'fe80::2'
	list allowed_ips 'fe80::2/128'
`
	if !BrokerSupport {
		return a + `config uplink 'b'
	option vxlan_id '5'
	option interface 'wg_b'
	option vxlan_interface 'vx_b'
	option private_key 'the key'
config gateway 'b1'
	option uplink 'b'
	option public_key '` + keyA + `'
	list endpoint 'b1.example.org:51820'
	option link_address 'fe80::3'
`
	}
	return a + `config uplink 'b'
	option protocol 'wgkex'
	list broker 'https://one.example.org'
	list broker 'https://two.example.org'
	option broker_ca '/etc/ssl/ca.pem'
	list broker_pin 'sha256/` + keyA + `'
	option broker_timeout '5'
	option broker_choice '0'
	option domain 'ffxx_city'
	option location 'here'
	option interface 'wg_b'
	option vxlan_interface 'vx_b'
	option domain_seed '` + seed + `'
	option vxlan_seed_key 'gluon-mesh-vxlan'
	option private_key 'the key'
`
}

// slips gives what a word becomes by one slip of a finger, each.
func slips(word string) []string {
	all := []string{strings.ToUpper(word[:1]) + word[1:], word + "s", word + "_"}
	for i := range word {
		all = append(all, word[:i]+word[i+1:], word[:i]+word[i:i+1]+word[i:], word[:i]+"x"+word[i+1:])
		if i > 0 {
			all = append(all, word[:i-1]+word[i:i+1]+word[i-1:i]+word[i+1:])
		}
	}
	return all
}

// Each single mistake, in each option: the other uplink runs as it was, so do the other gateways; no restriction is
// weaker; no key is lost.
func TestEveryMistake(t *testing.T) {
	good := twoUplinks()
	file := filepath.Join(t.TempDir(), "none")
	cfg, err := LoadFile(fake(good), file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(good, "\n"), "\n")
	section, tried := "", 0
	for i, line := range lines {
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		var wrong []string
		if words[0] == "config" {
			section = strings.Trim(words[2], "'")
			for _, typ := range slips(words[1]) {
				wrong = append(wrong, "config "+typ+" "+words[2])
			}
		} else {
			for _, v := range []string{"''x''", "-", "0x", "/", "99999999999999999999", "\x01\xff", "a b"} {
				wrong = append(wrong, "\t"+words[0]+" "+words[1]+" '"+v+"'")
			}
			for _, name := range slips(words[1]) {
				wrong = append(wrong, "\t"+words[0]+" "+name+" "+words[2])
			}
			wrong = append(wrong, "\tlist "+words[1]+" "+words[2]+"\n\tlist "+words[1]+" 'another'")
		}
		for _, w := range wrong {
			text := strings.Join(slices.Concat(lines[:i], []string{w}, lines[i+1:]), "\n")
			run, err := LoadToRun(fake(text), file)
			if err != nil {
				t.Fatalf("%s: %v", w, err)
			}
			tried++
			if len(run.Mistakes) == 0 {
				continue // another good value
			}
			compareMistake(t, section+": "+strings.TrimSpace(w), section, words[1], cfg, run)
		}
	}
	if tried < 2000 {
		t.Errorf("%d mistakes tried", tried)
	}
}

func compareMistake(t *testing.T, what, section, option string, good *Config, run *Run) {
	t.Helper()
	for i := range good.Uplinks {
		want := good.Uplinks[i]
		at := slices.IndexFunc(run.Uplinks, func(u Uplink) bool { return u.Name == want.Name })
		owner := section == want.Name || strings.HasPrefix(section, want.Name) && len(section) == 2
		if at < 0 {
			if section != want.Name || option != "uplink" {
				t.Errorf("%s: uplink %s is gone", what, want.Name)
			}
			continue
		}
		got := run.Uplinks[at]
		if !owner {
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: uplink %s changes: %s", what, want.Name, diff(want, got))
			}
			continue
		}
		if section != want.Name { // in a gateway
			for _, g := range want.Gateways {
				found := slices.ContainsFunc(got.Gateways,
					func(h peerselector.Peer) bool { return reflect.DeepEqual(g, h) })
				if g.Name != section && !found {
					t.Errorf("%s: gateway %s does not run", what, g.Name)
				}
			}
			for _, g := range got.Gateways {
				w := slices.IndexFunc(want.Gateways, func(h peerselector.Peer) bool { return h.Name == g.Name })
				if w < 0 || !reflect.DeepEqual(g.AllowedIPs, want.Gateways[w].AllowedIPs) {
					t.Errorf("%s: gateway %s with %v", what, g.Name, g.AllowedIPs)
				}
			}
			if len(want.Gateways) > 1 && !got.Enabled {
				t.Errorf("%s: not run: %s", what, got.Fault)
			}
			if got.KeyDoubt != "" && got.Enabled {
				t.Errorf("%s: %s", what, got.KeyDoubt)
			}
			continue
		}
		if !got.Enabled {
			if got.Fault == "" && option != "enabled" || got.KeyDoubt == "" && got.Fault != "" {
				t.Errorf("%s: fault %q, doubt %q", what, got.Fault, got.KeyDoubt)
			}
			continue
		}
		type guard struct {
			Pins   [][32]byte
			CA     string
			Key    any
			Family Family
			Mark   uint32
			WAN    string
			Routes bool
			Key1   string
		}
		guards := func(u Uplink) guard {
			return guard{u.BrokerPins, u.BrokerCA, u.ConfigKey, u.AddressFamily, u.FwMark, u.WANDevice,
				u.Unrouted, u.KeyFile}
		}
		if !reflect.DeepEqual(guards(got), guards(want)) {
			t.Errorf("%s: runs with %+v", what, guards(got))
		}
		if (option == "private_key" || option == "key_import") && got.KeyDoubt == "" {
			t.Errorf("%s: a new key would be made", what)
		}
		if got.VXLAN.ID != want.VXLAN.ID {
			t.Errorf("%s: VXLAN %d, not %d", what, got.VXLAN.ID, want.VXLAN.ID)
		}
		if !reflect.DeepEqual(got.Gateways, want.Gateways) {
			t.Errorf("%s: gateways %+v", what, got.Gateways)
		}
	}
}

// FuzzToRun: from any file, each uplink can run, or says why it cannot.
func FuzzToRun(f *testing.F) {
	f.Add(minimal)
	f.Add(twoUplinks())
	f.Add(strings.ReplaceAll(twoUplinks(), "option", "list"))
	f.Add(minimal + "config uplnik 'b'\n\toption key_flie x\nconfig global\n\toption enabled 0\n")
	file := filepath.Join(f.TempDir(), "none")
	f.Fuzz(func(t *testing.T, text string) {
		run, err := LoadToRun(fake(text), file)
		if err != nil {
			t.Fatal(err)
		}
		strict, err := LoadFile(fake(text), file)
		if (err == nil) != (len(run.Mistakes) == 0) || err == nil && !reflect.DeepEqual(*strict, run.Config) {
			t.Fatalf("strict %v, to run %v", err, run.Mistakes)
		}
		links := make(map[string]bool)
		for _, u := range run.Uplinks {
			if u.Fault != "" && (u.Enabled || u.KeyDoubt == "") {
				t.Errorf("%+v", u)
			}
			if !u.Enabled {
				continue
			}
			checkUsable(t, u)
			for _, name := range []string{u.Interface, u.VXLAN.Name} {
				if name != "" && (links[name] || !isLink(name)) {
					t.Errorf("link name %q", name)
				}
				links[name] = true
			}
		}
		if public, err := Public(fake(text), file); err == nil &&
			strings.Contains(string(public), "option private_key ") {
			t.Errorf("%s", public)
		}
	})
}
