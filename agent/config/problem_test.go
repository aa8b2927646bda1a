package config

import (
	"errors"
	"strings"
	"testing"
)

// problemsOf loads a configuration that must be wrong, or have options without a use.
func problemsOf(t *testing.T, text string) Problems {
	t.Helper()
	cfg, err := Load(fake(text))
	var problems Problems
	if err == nil && len(cfg.Unused)+len(cfg.Doubts) > 0 {
		problems = append(cfg.Unused, cfg.Doubts...)
	} else if cfg != nil || !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("%+v, %v, want problems", cfg, err)
	}
	for _, p := range problems {
		if p.File != "/etc/config/wguplink" || p.Section == "" || p.Reason == "" || p.Allowed == "" {
			t.Errorf("incomplete: %+v", p)
		}
		if strings.Contains(p.Error(), "\n") {
			t.Errorf("more than one line: %q", p.Error())
		}
	}
	return problems
}

// brief writes problems as "section.option=value: reason", one a line, for tables.
func brief(ps Problems) string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Section
		if p.Option != "" {
			lines[i] += "." + p.Option
		}
		if p.Value != "" {
			lines[i] += "=" + p.Value
		}
		lines[i] += ": " + p.Reason
	}
	return strings.Join(lines, "\n")
}

// with puts more options into the uplink of minimal.
func with(lines ...string) string {
	return strings.Replace(minimal, "config uplink 'mesh'\n", "config uplink 'mesh'\n"+strings.Join(lines, "\n")+"\n",
		1)
}

func TestProblems(t *testing.T) {
	const zeroSeed = "000000000000000000000000000000000000000000000000000000000054fd72"
	const plain = "config uplink 'mesh'\n"
	const second = `
config uplink 'other'
	option vxlan_id '5'
	option interface 'wg_other'
	option vxlan_interface 'vx_other'
config gateway 'gw9'
	option uplink 'other'
	option public_key '` + keyA + `'
	list endpoint 'gw9.example.org:51820'
	option link_address 'fe80::9'
`
	first := strings.Replace(minimal, "'gw1'\n", "'gw1'\n\toption uplink mesh\n", 1)
	gw := func(old, new string) string { return strings.Replace(minimal, old, new, 1) }

	for _, tt := range []struct{ name, text, want string }{
		{"unknown type", minimal + "config uplnk 'x'\n\toption mtu 1\nconfig uplnk",
			"x=uplnk: unknown type of section\n@uplnk[1]=uplnk: unknown type of section"},
		{"an MTU that fits no usual line", with("option mtu 9000"),
			"mesh.mtu=9000: larger than a line of 1500 bytes carries in one packet"},
		{"unknown option", with("option vxlan_prot 4789"), "mesh.vxlan_prot: unknown option"},
		{"unknown option of a gateway", minimal + "\toption mtu 1400", "gw1.mtu: unknown option"},
		{"unknown option of global", minimal + "config global g\n\toption level debug", "g.level: unknown option"},
		{"a value of a misspelt key stays hidden", with("option private_kee SECRET"),
			"mesh.private_kee: unknown option"},
		{"two globals", minimal + "config global a\nconfig global b", "b=global: a second section of its type"},
		{"log level", "config global g\n\toption log_level trace", "g.log_level=trace: not valid"},
		{"two values", with("list mtu 1400", "list mtu 1500"), "mesh.mtu=1500: a second value, but only one can be"},
		{"name", strings.Replace(minimal, "'mesh'", "'me-sh'", 1), "me-sh=me-sh: not valid as a name"},
		{"every problem at once, in the order of sections",
			gatewayA + "\toption enabled maybe\nconfig uplink u\n\toption mtu 1\n\toption mode l2\nconfig what w\n",
			"gw1.enabled=maybe: not valid\nu.mtu=1: not valid\nu.mode=l2: not valid\nw=what: unknown type of section"},

		{"static without gateways", minimal + "\toption enabled 0",
			"mesh.protocol=static: there is no enabled gateway for it"},
		{"static and nothing", plain + "\toption vxlan_id 1",
			"mesh.protocol=static: there is no enabled gateway for it"},
		{"disabled, and validated all the same", with("option enabled 0", "option mtu x"), "mesh.mtu=x: not valid"},
		{"no id", plain + gatewayA, "mesh.vxlan_id: missing, as is domain_seed"},
		{"id and seed differ", with("option domain_seed " + strings.Repeat("0", 64)),
			"mesh.vxlan_id=1906606: domain_seed with vxlan_seed_key \"gluon-mesh-vpn-vxlan\" gives 13306706"},
		{"bad seed and no id", plain + "\toption domain_seed x" + gatewayA, "mesh.domain_seed=x: not valid"},
		{"seed that gives nothing", plain + "\toption domain_seed " + zeroSeed + gatewayA,
			"mesh.domain_seed=" + zeroSeed + ": gives the number 0"},
		{"vxlan_mtu over mtu", with("option mtu 1400", "option vxlan_mtu 1331"),
			"mesh.vxlan_mtu=1331: too large for mtu 1400"},
		{"batman in layer3", with("option mode layer3", "option batman bat0"),
			"mesh.batman=bat0: has no meaning with mode layer3 and is not used\n" +
				"mesh.vxlan_id=1906606: has no meaning with mode layer3 and is not used"},
		{"a broker for nothing", with("option broker b.example.org", "option location x"),
			"mesh.broker=b.example.org: has no meaning with protocol static and is not used\nmesh.location=x: has no " +
				"meaning with protocol static and is not used"},
		{"batman is the device", with("option batman mesh-vpn"),
			"mesh.batman=mesh-vpn: already vxlan_interface of section \"mesh\""},
		{"one name for both", with("option vxlan_interface wg_mesh"),
			"mesh.vxlan_interface=wg_mesh: already interface of section \"mesh\""},

		{"same interfaces", first + strings.Replace(second, "\toption interface 'wg_other'\n", "", 1),
			"other.interface=wg_mesh: already interface of section \"mesh\""},
		{"a bad name is not the default", first + strings.Replace(strings.Replace(second, "wg_other", "wg/other", 1),
			"vx_other", "vx/other", 1),
			"other.interface=wg/other: not valid\nother.vxlan_interface=vx/other: not valid"},
		{"same vxlan_interface", first + strings.Replace(second, "vx_other", "mesh-vpn", 1),
			"other.vxlan_interface=mesh-vpn: already vxlan_interface of section \"mesh\""},
		{"same port", strings.Replace(first, "'mesh'\n", "'mesh'\n\toption listen_port 7\n", 1) +
			strings.Replace(second, "'other'\n", "'other'\n\toption listen_port 7\n", 1),
			"other.listen_port=7: already listen_port of section \"mesh\""},
		{"unknown uplink", first + strings.Replace(second, "uplink 'other'\n\toption pub",
			"uplink 'othr'\n\toption pub", 1),
			"other.protocol=static: there is no enabled gateway for it\ngw9.uplink=othr: there is no such uplink"},
		{"no uplink where there are two", minimal + second,
			"mesh.protocol=static: there is no enabled gateway for it\ngw1.uplink: missing, as there are " +
				"several uplinks"},
		{"bad uplink", minimal + "\toption uplink 'me sh'",
			"mesh.protocol=static: there is no enabled gateway for it\ngw1.uplink=me sh: not valid"},
		{"bad mode says nothing of addresses", strings.Replace(with("option mode l2"), "'fe80::1'", "10.0.0.1", 1),
			"mesh.mode=l2: not valid"},
		{"a gateway alone", gatewayA, "gw1.uplink: there is no uplink in this file"},

		{"same key", minimal + strings.Replace(gatewayA, "'gw1'", "'gw2'", 1),
			"gw2.public_key=" + keyA + ": also the key of section \"gw1\""},
		{"bad key", gw(keyA, keyA[:43]), "gw1.public_key=" + keyA[:43] + ": not valid"},
		{"nothing in a gateway", minimal + "config gateway",
			"@gateway[1].public_key: missing\n@gateway[1].endpoint: missing\n@gateway[1].link_address: missing"},
		{"a name like a made-up one", minimal + "config gateway gwx0123ab",
			"gwx0123ab.public_key: missing\ngwx0123ab.endpoint: missing\ngwx0123ab.link_address: missing"},
		{"one bad endpoint", minimal + "\tlist endpoint 2001:db8::1:51820",
			"gw1.endpoint=2001:db8::1:51820: not valid"},
		{"link address of another kind", gw("'fe80::1'", "2001:DB8::1"),
			"gw1.link_address=2001:DB8::1: not valid for an uplink in mode vxlan"},
		{"link address IPv4", gw("'fe80::1'", "10.0.0.1"),
			"gw1.link_address=10.0.0.1: not valid for an uplink in mode vxlan"},
		{"link address with prefix", gw("'fe80::1'", "fe80::1/64"), "gw1.link_address=fe80::1/64: not valid"},
		{"link address with zone", gw("'fe80::1'", "fe80::1%eth0"), "gw1.link_address=fe80::1%eth0: not valid"},
		{"link address multicast", gw("'fe80::1'", "ff02::1"), "gw1.link_address=ff02::1: not valid"},
		{"link address multicast in layer3", strings.Replace(with("option mode layer3"), "'fe80::1'", "224.0.0.1", 1),
			"mesh.vxlan_id=1906606: has no meaning with mode layer3 and is not " +
				"used\ngw1.link_address=224.0.0.1: not valid"},
		{"allowed_ips elsewhere", minimal + "\tlist allowed_ips 10.0.0.0/8\n\tlist allowed_ips fe80::2",
			"gw1.allowed_ips=10.0.0.0/8 fe80::2: do not cover the link_address fe80::1"},
		{"allowed_ips", minimal + "\tlist allowed_ips fe80::/129", "gw1.allowed_ips=fe80::/129: not valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := brief(problemsOf(t, tt.text)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestProblemText(t *testing.T) {
	for _, tt := range []struct {
		p    Problem
		want string
	}{
		{Problem{"/f", "mesh", "mtu", "12", "not valid", "auto"},
			`/f: section "mesh", option "mtu", value "12": not valid; allowed: auto`},
		{Problem{"/f", "@uplnk[0]", "", "uplnk", "unknown", "x"},
			`/f: section "@uplnk[0]", value "uplnk": unknown; allowed: x`},
		{Problem{"/f", "mesh", "domain", "", "missing", "y"},
			`/f: section "mesh", option "domain": missing; allowed: y`},
		{Problem{"/f", "s", "o", "a\nb\x00\"", "not valid", ""},
			`/f: section "s", option "o", value "a\nb\x00\"": not valid`},
		{Problem{"/f", "s", "o", strings.Repeat("x", 199) + "äöü", "not valid", ""},
			`/f: section "s", option "o", value "` + strings.Repeat("x", 199) + `"...: not valid`},
		{Problem{"/f", "s", "o", strings.Repeat("\x80", 300), "r", ""},
			`/f: section "s", option "o", value "` + strings.Repeat(`\x80`, 196) + `"...: r`},
	} {
		if got := tt.p.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
	both := Problems{{File: "/f", Section: "a", Reason: "r"}, {File: "/f", Section: "b", Reason: "r"}}
	if got, want := both.Error(), "/f: section \"a\": r\n/f: section \"b\": r"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMessageSaysWhatIsAllowed(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{with("option enabled si"), "1, true, on, yes, enabled, or 0, false, off, no, disabled"},
		{with("option backend kernal"), "auto, kernel, userspace"},
		{with("option privat_key x"), "private_key"},
		{minimal + "config peer", "global, uplink, gateway"},
		{minimal + "\toption uplink x", "mesh"},
		{with("option mtu 1400", "option vxlan_mtu 1400"), "at most 1330"},
	} {
		ps := problemsOf(t, tt.text)
		if !strings.Contains(ps[0].Allowed, tt.want) {
			t.Errorf("%s: does not name %q", ps[0], tt.want)
		}
	}
}

func TestSecretsStayOut(t *testing.T) {
	for _, text := range []string{
		with("option private_kee SECRET"),
		with("option broker 'https://user:SECRET@broker.example.org'"),
		with("option broker 'user:SECRET@broker.example.org'"),
		with("option broker 'https://user:SEC@RET:SECRET@broker.example.org/x'"),
		minimal + "\toption private_key SECRET",
	} {
		if msg := problemsOf(t, text).Error(); strings.Contains(msg, "SECRET") {
			t.Errorf("shown: %s", msg)
		}
	}
}
