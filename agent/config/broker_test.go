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
	if u.Protocol != WGKex || len(u.Brokers) != 1 || u.Brokers[0].String() != "https://broker.example.org" || u.Domain != "ffxx_city" || len(u.Gateways) != 0 {
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
		{wgkex + "\toption broker ftp://broker.example.org\n\toption domain 'a b'", "mesh.broker=ftp://broker.example.org: not valid\nmesh.domain=a b: not valid"},
	} {
		if got := brief(problemsOf(t, tt.text)); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}
