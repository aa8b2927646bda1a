//go:build nobroker

package config

import (
	"strings"
	"testing"
)

func TestNoBrokerSupport(t *testing.T) {
	ps := problemsOf(t,
		"config uplink mesh\n\toption vxlan_id 1\n\toption protocol wgkex\n\toption broker "+
			"broker.example.org\n\toption domain ffxx")
	if len(ps) != 1 || ps[0].Option != "protocol" || ps[0].Value != "wgkex" ||
		!strings.Contains(ps[0].Reason, "nobroker") {
		t.Errorf("%v, want one problem that names the build tag", ps)
	}
}

// The other options of a broker do no harm.
func TestBrokerLeftOver(t *testing.T) {
	if _, err := Load(fake(with("list broker broker.example.org", "option domain ffxx"))); err != nil {
		t.Error(err)
	}
}
