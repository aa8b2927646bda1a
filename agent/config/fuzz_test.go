package config

import (
	"errors"
	"net"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"wguplink/peerselector"
)

// FuzzLoad lets nothing through that the rest of the agent could not use, and says of everything else where it is.
func FuzzLoad(f *testing.F) {
	f.Add("")
	f.Add(minimal)
	f.Add(with("option enabled 0", "option mtu 1400", "option vxlan_mtu auto", "list dns ::1",
		"option domain_seed "+seed))
	f.Add(with("option mode layer3", "list broker http://b/x", "option broker_pin "+keyA,
		"option key_import a.@b[0].c"))
	f.Add(minimal +
		"config uplink 'b'\n\toption protocol wgkex\n\toption broker [::1]:1\n\toption domain d\nconfig what\nconfig " +
		"global 'global'\n\toption log_level debug")
	f.Add(strings.ReplaceAll(minimal, "fe80::1", "fe80::1%x") +
		"\tlist allowed_ips 10.0.0.0/8\nconfig gateway cfg0\n\toption uplink mesh")
	f.Fuzz(func(t *testing.T, text string) {
		tree := fake(text)
		cfg, err := Load(tree)
		if again, err2 := Load(tree); !reflect.DeepEqual(cfg, again) || !reflect.DeepEqual(err, err2) {
			t.Errorf("twice the same gives %v, %v and %v, %v", cfg, err, again, err2)
		}
		if err != nil {
			var problems Problems
			if cfg != nil || !errors.As(err, &problems) || strings.Count(err.Error(), "\n") != len(problems)-1 {
				t.Fatalf("%v, %v", cfg, err)
			}
			for _, p := range problems {
				if p.Reason == "" || p.Allowed == "" {
					t.Errorf("incomplete: %+v", p)
				}
			}
			return
		}
		links := make(map[string]bool)
		for _, u := range cfg.Uplinks {
			checkUsable(t, u)
			for _, name := range []string{u.Interface, u.VXLAN.Name} {
				if name != "" && (links[name] || !isLink(name)) {
					t.Errorf("link name %q", name)
				}
				links[name] = true
			}
		}
	})
}

func checkUsable(t *testing.T, u Uplink) {
	if u.Protocol == Static && u.Enabled && len(u.Gateways) == 0 || u.Protocol == WGKex &&
		(len(u.Brokers) == 0 || u.Domain == "" || !BrokerSupport) {
		t.Errorf("no gateway to connect to: %+v", u)
	}
	if u.Mode == ModeVXLAN && (u.VXLAN.ID < 1 || u.VXLAN.ID > 1<<24-1 || u.VXLAN.Port == 0) || u.Mode == ModeLayer3 &&
		u.VXLAN != (VXLAN{}) {
		t.Errorf("VXLAN %+v", u.VXLAN)
	}
	if u.MTU != 0 && u.VXLAN.MTU > u.MTU-VXLANOverhead {
		t.Errorf("MTUs %d and %d", u.MTU, u.VXLAN.MTU)
	}
	for _, b := range u.Brokers {
		again, err := url.Parse(b.String())
		if err != nil || !reflect.DeepEqual(again, b) || b.Host == "" || b.User != nil ||
			strings.HasSuffix(b.Path, "/") {
			t.Errorf("broker %#v", b)
		}
	}
	keys := make(map[peerselector.Key]bool)
	for _, g := range u.Gateways {
		if keys[g.PublicKey] || g.Name == "" || len(g.Endpoints) == 0 || !isUnicast(g.LinkAddress) ||
			!covers(g.AllowedIPs, g.LinkAddress) {
			t.Errorf("gateway %+v", g)
		}
		if u.Mode == ModeVXLAN && !g.LinkAddress.IsLinkLocalUnicast() {
			t.Errorf("link address %v", g.LinkAddress)
		}
		keys[g.PublicKey] = true
		for _, e := range g.Endpoints {
			if host, port, err := net.SplitHostPort(e); err != nil || host == "" || port == "" || port == "0" {
				t.Errorf("endpoint %q", e)
			}
		}
	}
}

// FuzzValues tries one text as the value of every option at once, and so every parser.
func FuzzValues(f *testing.F) {
	for _, v := range values {
		for _, s := range append(v.good, v.bad...) {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, typ := range []string{typeGlobal, typeUplink, typeGateway} {
			d := new(draft)
			for _, o := range table(typ) {
				if o.set != nil && v != "" {
					o.set(d, v)
				}
			}
			if d.uplink.VXLAN.ID > 1<<24-1 || len(d.gateway.Endpoints) > 0 && strings.ContainsAny(v, " \n/@") {
				t.Errorf("%q: %+v", v, d)
			}
			for _, b := range d.uplink.Brokers {
				if again, err := url.Parse(b.String()); err != nil || !reflect.DeepEqual(again, b) {
					t.Errorf("broker %q: %#v", v, b)
				}
			}
		}
	})
}
