package nodetest

import (
	"strings"
	"testing"
)

func TestNetcheckTable(t *testing.T) {
	const used = `{"name":"gw1.example.org","in_use":true,"handshake":"answered","received":10,"mtu":1350}`
	const beside = `{"name":"gw2","family":"IPv4","in_use":false,"handshake":"answered","received":9,"mtu":1350}`
	const noRoute = `{"name":"gw2","family":"IPv6","handshake":"skipped","reason":"no route"}`
	const dead = `{"name":"gw2","family":"IPv4","handshake":"no_answer"}`
	for name, tt := range map[string]struct {
		rows string
		ok   bool
	}{
		"all":              {used + "," + beside + "," + noRoute, true},
		"one only":         {used, false},
		"none in use":      {beside + "," + strings.Replace(used, `"in_use":true`, `"in_use":false`, 1), false},
		"one dead":         {used + "," + dead, false},
		"nothing measured": {used + "," + strings.Replace(beside, "1350", "0", 1), false},
	} {
		note, err := checkTable(`{"uplinks":{"mesh":{"gateways":[`+tt.rows+`]}}}`, "gw1")
		if (err == nil) != tt.ok || tt.ok != strings.Contains(note, "gw2 IPv4 MTU 1350") {
			t.Errorf("%s: %q, %v", name, note, err)
		}
	}
	if _, err := checkTable("usage", "gw1"); err == nil {
		t.Error("what is no JSON is taken")
	}
}
