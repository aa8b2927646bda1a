//go:build !nobroker

package config

import "testing"

const wgkex = `
config uplink 'mesh'
	option protocol 'wgkex'
	option vxlan_id '1906606'
`

func TestWGKex(t *testing.T) {
	cfg, err := Load(fake(wgkex + "\tlist broker broker.example.org\n\toption domain ffxx_city"))
	if err != nil {
		t.Fatal(err)
	}
	u := cfg.Uplinks[0]
	if u.Protocol != WGKex || len(u.Brokers) != 1 || u.Brokers[0].String() != "https://broker.example.org" ||
		u.Domain != "ffxx_city" || len(u.Gateways) != 0 {
		t.Errorf("%+v", u)
	}
}

// The static gateways remain as a fallback.
func TestWGKexWithGateways(t *testing.T) {
	cfg, err := Load(fake(wgkex + "\tlist broker broker.example.org\n\toption domain ffxx_city" + gatewayA))
	if err != nil || len(cfg.Uplinks[0].Gateways) != 1 {
		t.Errorf("%+v, %v, want one gateway", cfg, err)
	}
}

func TestWGKexProblems(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{wgkex, "mesh.broker: missing, but protocol wgkex needs it\nmesh.domain: missing, but protocol wgkex needs it"},
		{wgkex + "\toption broker ''\n\toption domain ffxx", "mesh.broker: missing, but protocol wgkex needs it"},
		{wgkex + "\toption broker ftp://broker.example.org\n\toption domain 'a b'",
			"mesh.broker=ftp://broker.example.org: not valid\nmesh.domain=a b: not valid"},
	} {
		if got := brief(problemsOf(t, tt.text)); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}

const parker = `
config uplink 'mesh'
	option protocol 'parker'
	option config_pubkey '` + signingKey + `'
`

func TestParker(t *testing.T) {
	cfg, err := Load(fake(parker +
		"\tlist broker config.example.org\n\tlist broker 'https://b.example.org/api/v3/config'\n\toption " +
		"limit_egress 5000"))
	if err != nil {
		t.Fatal(err)
	}
	u := cfg.Uplinks[0]
	if u.Protocol != Parker || u.Brokers[0].String() != "http://config.example.org/config" ||
		u.Brokers[1].String() != "https://b.example.org/api/v3/config" {
		t.Errorf("%v", u.Brokers)
	}
	if u.Interface != "wg_c" || u.KeyFile != "/etc/parker/wg-privkey" || u.Mode != ModeLayer3 || u.VXLAN != (VXLAN{}) ||
		u.ConfigKey.String() != signingKey || u.LimitEgress != 5000 {
		t.Errorf("%+v", u)
	}
}

func TestParkerProblems(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"config uplink 'mesh'\n\toption protocol 'parker'",
			"mesh.broker: missing, but protocol parker needs it\nmesh.config_pubkey: missing, but protocol " +
				"parker needs it"},
		{parker + "\toption broker c.example.org\n\toption interface wg_parker",
			"mesh.interface=wg_parker: too long: the gateway's number is appended with protocol parker"},
		{parker + "\toption broker c.example.org\n\toption vxlan_id 1\n\toption batman bat0",
			"mesh.vxlan_id=1: has no meaning with protocol parker and is not used\n" +
				"mesh.batman=bat0: has no meaning with protocol parker and is not used"},
		{parker + "\toption broker c.example.org" + gatewayA,
			"mesh.protocol=parker: there are sections of type gateway for it, but the signed configuration names " +
				"all gateways"},
		{"config uplink 'mesh'\n\toption protocol 'parker'\n\toption broker c.example.org\n\toption " +
			"config_pubkey 'abc'", "mesh.config_pubkey=abc: not valid"},
	} {
		if got := brief(problemsOf(t, tt.text)); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}

func TestFFAC(t *testing.T) {
	ffac := "config uplink 'mesh'\n\toption protocol 'ffac'\n\toption vxlan_id 1\n\toption broker " +
		"'register.example.org/wg/'"
	cfg, err := Load(fake(ffac + gatewayA))
	if err != nil {
		t.Fatal(err)
	}
	if u := cfg.Uplinks[0]; u.Protocol != FFAC || u.Brokers[0].String() != "https://register.example.org/wg/" ||
		len(u.Gateways) != 1 {
		t.Errorf("%+v", u)
	}
	if got, want := brief(problemsOf(t, ffac)), "mesh.protocol=ffac: there is no enabled gateway for it"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
