package wgdevice

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wguplink/peerselector"
)

func TestParseStats(t *testing.T) {
	k1, k2 := peerselector.Key{1}, peerselector.Key{2}
	text := "private_key=00\nlisten_port=1\nfwmark=1\n" +
		"public_key=" + hex.EncodeToString(k1[:]) + "\nprotocol_version=1\nendpoint=[2001:db8::1]:7\n" +
		"last_handshake_time_sec=5\nlast_handshake_time_nsec=6\ntx_bytes=8\nrx_bytes=9\nallowed_ip=fe80::/64\n" +
		"public_key=" + hex.EncodeToString(k2[:]) +
		"\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n\n"
	want := map[peerselector.Key]PeerStats{
		k1: {Endpoint: netip.MustParseAddrPort("[2001:db8::1]:7"), LastHandshake: time.Unix(5, 6), TX: 8, RX: 9,
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("fe80::/64")}},
		k2: {},
	}
	got, err := parseStats(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"public_key=0a", "public_key=" + strings.Repeat("x", 64), "endpoint=x", "rx_bytes=x",
		"allowed_ip=1.2.3.4", "tx_bytes=", "last_handshake_time_sec=x"} {
		if _, err := parseStats(bad); err == nil {
			t.Errorf("parseStats(%q) gave no error", bad)
		}
	}
}
