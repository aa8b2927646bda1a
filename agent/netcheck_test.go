//go:build !nobroker

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/doctor"
)

// A line tells how a gateway was reached: by a handshake of the moment, by the agent's session, or not at all.
func TestPrintReach(t *testing.T) {
	var b strings.Builder
	printReach(&b, "mesh", []doctor.Reach{
		{Name: "gw1", Address: "192.0.2.1:51820", Family: "IPv4", InUse: true, Handshake: "answered", Sent: 10,
			Received: 9, RTT: 12300, MTU: 1420},
		{Name: "a-longer-name", Address: "[2001:db8::2]:51820", Family: "IPv6", Handshake: "answered", Took: 4200,
			Sent: 10},
		{Name: "gw3", Address: "192.0.2.3:51820", Family: "IPv4", Handshake: "answered"},
		{Name: "gw4", Address: "gw4.example.org:51820", Handshake: "skipped", Reason: "no address"},
	})
	want := []string{
		"mesh:",
		"  gateway        address                family  handshake     round trip  loss    MTU",
		"* gw1            192.0.2.1:51820        IPv4    in use        12 ms       10 %    1420",
		"  a-longer-name  [2001:db8::2]:51820    IPv6    4.2 ms        -           100 %   -",
		"  gw3            192.0.2.3:51820        IPv4    standing by   -           -       -",
		"  gw4            gw4.example.org:51820          skipped       -           -       -      no address",
	}
	var got []string
	for _, l := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		got = append(got, strings.TrimRight(l, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
}
