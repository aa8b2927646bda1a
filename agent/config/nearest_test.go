package config

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	var options []string
	for _, o := range uplinkOptions {
		options = append(options, o.name)
	}
	for word, want := range map[string]string{
		"vxlan_prot": "vxlan_port", "keepaliv": "keepalive", "fmwark": "fwmark", "brokers": "broker",
		"colour": "", "": "",
		"private_kee": "private_key", "limit-egress": "limit_egress", "m": "", "mut": "mtu", "MTU": "",
		strings.Repeat("x", 1000): "", "dommain_seed": "domain_seed", "batman_if": "batman",
	} {
		if got := Nearest(word, options); got != want {
			t.Errorf("%.20q: %q, want %q", word, got, want)
		}
	}
}

// An unknown option is told with the nearest one, and without a list of all.
func TestUnknownOptionNamesTheNearest(t *testing.T) {
	for text, want := range map[string]string{
		with(
			"option vxlan_prot 4789"): `unknown option; allowed: "vxlan_port", the nearest of the options in`,
		with(
			"option colour red"): `unknown option; allowed: the options in docs/configuration.md`,
		minimal + "config global g\n\toption log_levl info": `"log_level", the nearest`,
	} {
		err := problemsOf(t, text)
		if !strings.Contains(err.Error(), want) || len(err.Error()) > 250 {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
