package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func toRun(t *testing.T, text string) *Run {
	t.Helper()
	run, err := LoadToRun(fake(text), filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// Each optional value that is wrong is one warning, and has its default.
func TestToRunDefaults(t *testing.T) {
	for _, line := range []string{
		"option keepalive '0'", "option mtu 'big'", "option vxlan_mtu '1'", "option listen_port '-1'",
		"option log_levle 'debug'",
		"option backend 'magic'", "option rebalance 'hourly'", "option ntp_server '-x-'", "list dns '::::'",
		"option ntp_grace 'x'",
		"option broker_timeout '0'", "option link_local 'x'", "option link_prefix '63'", "option vxlan_port '0'",
		"option mode 'layer2'",
		"option broker_path '/api/v9'", "option limit_ingress 'lots'", "option location ''\n\toption interface 'a/b'",
		"option batman_hop_penalty '256'", "list mtu '1400'\n\tlist mtu '1401'", "option protocol 'statik'",
		"option broker_trace '1'",
	} {
		run := toRun(t, strings.Replace(minimal, "'1906606'", "'1906606'\n\t"+line, 1))
		if d := diff(defaults(), &run.Config); d != "" {
			t.Errorf("%s: %s", line, d)
		}
		if len(run.Mistakes) != 1 {
			t.Errorf("%s: %v", line, run.Mistakes)
		}
	}
}

func TestToRunKeepsWhatIsGood(t *testing.T) {
	run := toRun(t, strings.Replace(minimal, "'1906606'", `'1906606'
	option limit_ingress '40000000'
	option limit_egress '99999999999999999999999'
	list ntp_server 'ntp.example.org'
	list ntp_server '-x-'`, 1)+"\tlist endpoint '300.1.2.3:1'\n")
	u := run.Uplinks[0]
	if u.LimitIngress != MaxLimit || u.LimitEgress != MaxLimit ||
		!slices.Equal(u.NTPServers, []string{"ntp.example.org"}) {
		t.Errorf("%+v", u)
	}
	if len(u.Gateways) != 1 || len(u.Gateways[0].Endpoints) != 1 || len(run.Mistakes) != 4 {
		t.Errorf("%+v: %v", u.Gateways, run.Mistakes)
	}
}

// An option that restricts fails closed, and so does a name that is near one.
func TestToRunFailsClosed(t *testing.T) {
	for _, line := range []string{
		"option enabled 'nope'", "option broker_pin 'abc='", "option broker_ca 'ca.pem'", "option config_pubkey 'x'",
		"option address_family 'only5'", "option fwmark 'x'", "option wan_device 'a/b'", "option route_allowed_ips 'x'",
		"option enable '0'", "option disabled '1'", "option broker_pins 'x'", "option brokerca '/x'",
		"option config_pubky 'x'",
		"option adress_famliy 'only6'", "option fwmrak '2'", "option FwMark '2'", "option wan_devcie 'x'",
		"option route_allowed_ip '0'",
		"list fwmark '1'\n\tlist fwmark '2'",
	} {
		run := toRun(t, strings.Replace(minimal, "'1906606'", "'1906606'\n\t"+line, 1))
		if u := run.Uplinks[0]; u.Enabled || u.Fault == "" || !u.Closed {
			t.Errorf("%s: %+v", line, u)
		}
	}
	for _, line := range []string{"option enabled 'x'", "option enabld '0'", "list allowed_ips 'x'",
		"list allowed_ip 'fe80::1'", "list allowed_ips 'fe80::9'"} {
		run := toRun(t, minimal+"\t"+line+"\n"+strings.NewReplacer("gw1", "gw2", keyA, keyB, "fe80::1",
			"fe80::2").Replace(gatewayA))
		if u := run.Uplinks[0]; !u.Enabled || len(u.Gateways) != 1 || u.Gateways[0].Name != "gw2" {
			t.Errorf("%s: %+v", line, u)
		}
	}
}

// A mistake in one gateway or uplink costs that one.
func TestToRunLeavesOut(t *testing.T) {
	second := strings.NewReplacer("gw1", "gw2", keyA, keyB, "fe80::1", "fe80::2").Replace(gatewayA)
	for _, old := range []string{"option public_key '" + keyA + "'", "list endpoint 'gw1.example.org:51820'",
		"option link_address 'fe80::1'"} {
		for _, bad := range []string{"", strings.Fields(old)[0] + " " + strings.Fields(old)[1] + " 'x'"} {
			run := toRun(t, strings.Replace(minimal, old, bad, 1)+second)
			if u := run.Uplinks[0]; !u.Enabled || len(u.Gateways) != 1 || u.Gateways[0].Name != "gw2" {
				t.Errorf("%q for %q: %+v", bad, old, u)
			}
		}
	}
	run := toRun(t, strings.Replace(minimal, "fe80::1", "x", 1)) // the only one
	if u := run.Uplinks[0]; u.Enabled || !strings.Contains(u.Fault, "no enabled gateway") || u.Closed {
		t.Errorf("%+v", u)
	}
	if len(run.Mistakes) != 2 {
		t.Error(run.Mistakes)
	}

	// A gateway of an uplink that is left out goes to no other, nor does one that names none.
	run = toRun(t, minimal+"\toption uplink 'mesh'\n"+`
config uplink 'other'
	option vxlan_id '0'
	option interface 'wg1'
	option vxlan_interface 'vx1'
`+second)
	if u := run.Uplinks; !u[0].Enabled || len(u[0].Gateways) != 1 || u[1].Enabled || u[1].Fault == "" {
		t.Errorf("%+v", u)
	}
	// A disabled uplink takes no name from one that is enabled.
	run = toRun(t, "config uplink 'off'\n\toption enabled '0'\n"+minimal+"\toption uplink 'mesh'\n")
	if u := run.Uplinks; u[0].Enabled || u[0].Fault != "" || !u[1].Enabled {
		t.Errorf("%+v", u)
	}
	// Two with one name: the second is left out.
	run = toRun(t, minimal+"\toption uplink 'mesh'\nconfig uplink 'b'\n\toption vxlan_id '1'\n"+second+
		"\toption uplink 'b'\n")
	if u := run.Uplinks; !u[0].Enabled || u[1].Enabled || !strings.Contains(u[1].Fault, "already") {
		t.Errorf("%+v", u)
	}
}

// Parker never becomes a network of unsigned gateways.
func TestToRunParkerWithGateways(t *testing.T) {
	run := toRun(t, strings.Replace(minimal, "option vxlan_id '1906606'",
		"option protocol 'parker'\n\tlist broker 'https://b.example.org'", 1))
	if u := run.Uplinks[0]; u.Enabled || u.Protocol != Parker || len(u.Gateways) != 0 {
		t.Errorf("%+v", u)
	}
}

// A mistake that may hide the private key is told of, and an uplink whose key_file cannot be known is left out.
func TestToRunDoubtsKeys(t *testing.T) {
	const private = "4Jd6i0aXQ1Zr0H5Jt0lH2d9l8sXvJ0cJrV2oJ7sF7W0="
	for line, want := range map[string]struct{ out, doubt bool }{
		"option privat_key '" + private + "'":      {false, true},
		"option privatekey '" + private + "'":      {false, true},
		"option PrivateKey '" + private + "'":      {false, true},
		"option privkey 'x'":                       {false, true},
		"option wg_key '" + private + "'":          {false, true},
		"option pk '" + private + "'":              {false, true},
		"option pk '" + seed + "'":                 {false, true},
		"option key_flie '/etc/wguplink/key'":      {true, true},
		"option keyfile '/etc/wguplink/key'":       {true, true},
		"option key_file 'key'":                    {true, true},
		"list key_file '/a'\n\tlist key_file '/b'": {true, true},
		"option key_improt 'a.b.c'":                {false, true},
		"list key_import 'a.b'":                    {false, true},
		"option vxlan_seedkey 'x'":                 {false, false},
		"option domain_sed '" + seed + "'":         {false, false},
		"option mtu 'big'":                         {false, false},
		"option fwmark 'x'":                        {true, true},
	} {
		run := toRun(t, strings.Replace(minimal, "'1906606'", "'1906606'\n\t"+line, 1))
		if u := run.Uplinks[0]; (u.Fault != "") != want.out || u.Enabled == want.out ||
			(u.KeyDoubt != "") != want.doubt {
			t.Errorf("%s: enabled %v, fault %q, doubt %q", line, u.Enabled, u.Fault, u.KeyDoubt)
		} else if strings.Contains(u.KeyDoubt, private) {
			t.Errorf("%s: the key is shown: %s", line, u.KeyDoubt)
		}
	}
	// In the wrong section.
	for _, section := range []string{"config global\n", "config gateway 'gw2'\n"} {
		run := toRun(t, minimal+section+"\toption private_key '"+private+"'\n")
		if u := run.Uplinks[0]; !u.Enabled || u.KeyDoubt == "" {
			t.Errorf("%s: %+v", section, u)
		}
	}
	run := toRun(t, minimal+strings.NewReplacer("gw1", "gw2", "public_key", "pubic_key").Replace(gatewayA))
	if u := run.Uplinks[0]; !u.Enabled || u.KeyDoubt != "" || len(u.Gateways) != 1 {
		t.Errorf("%+v", u)
	}
	// Parker's own place of the key counts, also beside other mistakes.
	run = toRun(t, "config uplink 'mesh'\n\toption protocol 'parker'\n\toption fwmark 'x'\n")
	if u := run.Uplinks[0]; u.KeyFile != parkerKeyFile || u.Enabled {
		t.Errorf("%+v", u)
	}
}

// A restriction outside all uplinks' sections applies to each uplink. The key of a signed configuration guards its
// uplink also when the protocol has a mistake.
func TestToRunFailsClosedElsewhere(t *testing.T) {
	for _, line := range []string{"option enabled '0'", "option fwmark '2'", "option disabled '1'"} {
		run := toRun(t, "config global\n\t"+line+"\n"+minimal)
		if u := run.Uplinks[0]; u.Enabled || !u.Closed {
			t.Errorf("%s: %+v", line, u)
		}
	}
	for _, line := range []string{"option protocol 'praker'", "option protcol 'parker'"} {
		run := toRun(t, strings.Replace(minimal, "'1906606'", "'1906606'\n\t"+line+"\n\toption config_pubkey 'x'", 1))
		if u := run.Uplinks[0]; u.Enabled || !u.Closed {
			t.Errorf("%s: %+v", line, u)
		}
	}
}

// An uplink without a mistake keeps its names, wherever it stands, and a misspelt type of section is an uplink left
// out.
func TestToRunInnocentUplink(t *testing.T) {
	second := "config uplink 'b'\n\toption vxlan_id '1'\n\toption interface 'a/b'\n\toption vxlan_interface 'vx'\n" +
		strings.NewReplacer("gw1", "gw2", keyA, keyB, "fe80::1", "fe80::2").Replace(gatewayA) + "\toption uplink 'b'\n"
	for _, text := range []string{second + minimal + "\toption uplink 'mesh'\n",
		minimal + "\toption uplink 'mesh'\n" + second} {
		run := toRun(t, text)
		for _, u := range run.Uplinks {
			if u.Enabled != (u.Name == "mesh") {
				t.Errorf("%s: enabled %v, %s", u.Name, u.Enabled, u.Fault)
			}
		}
	}
	run := toRun(t, minimal+"\toption uplink 'mesh'\n"+strings.NewReplacer("uplink 'b'", "uplnik 'b'", "a/b",
		"wg1").Replace(second))
	if u := run.Uplinks; len(u) != 2 || !u[0].Enabled || len(u[0].Gateways) != 1 || u[1].Name != "b" ||
		u[1].Enabled || u[1].Fault == "" {
		t.Errorf("%+v", u)
	}
}

func TestDamagedFile(t *testing.T) {
	for content, want := range map[string]string{
		"": "nothing in it", "\n \n": "nothing in it", strings.Repeat("\x00", 4096): "NUL bytes in it, from byte 0 on",
		minimal + "\x00\x00": "NUL bytes in it",
	} {
		file := filepath.Join(t.TempDir(), Package)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, tree := range []*fakeTree{fake(""), fake(minimal), {err: errors.New("no UCI")}} {
			for name, load := range map[string]func() error{
				"LoadToRun": func() error { _, err := LoadToRun(tree, file); return err },
				"LoadFile":  func() error { _, err := LoadFile(tree, file); return err },
				"Public":    func() error { _, err := Public(tree, file); return err },
			} {
				var damage *Damage
				if err := load(); !errors.As(err, &damage) || !strings.Contains(err.Error(), "empty or damaged") ||
					!strings.Contains(err.Error(), want) {
					t.Errorf("%s of %.9q: %v", name, content, err)
				}
			}
		}
	}
}
