//go:build !nobroker

package broker

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/peerselector"
)

const (
	ownKey  = "NYgkMi8bB5pSoJ4DKBlwXV2TEuCyZ2I1tmjEyjeBoEc="
	gwKey   = "XjwaieDeh0juVAndkNHHDebreMYuuCTQ+oEy91bX5nI="
	ownLink = "fe80::2:3"
)

var addrCmp = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
var prefixCmp = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func key(t testing.TB, s string) peerselector.Key {
	t.Helper()
	k, ok := parseKey(s, true)
	if !ok {
		t.Fatalf("bad test key %q", s)
	}
	return k
}

// endpoint is a v2 answer with some members replaced; an empty value leaves the member out.
func endpoint(replace map[string]string) string {
	members := [][2]string{
		{"Address", `"gw2.example.org"`}, {"AllowedIPs", `["fe80::2"]`}, {"Port", `"40002"`},
		{"PublicKey", `"` + gwKey + `"`},
	}
	var parts []string
	for _, m := range members {
		v, ok := replace[m[0]]
		if !ok {
			v = m[1]
		}
		if v != "" {
			parts = append(parts, `"`+m[0]+`":`+v)
		}
	}
	return `{"Endpoint":{` + strings.Join(parts, ",") + `}}`
}

func gateway(t testing.TB, host, endpoint string) peerselector.Peer {
	return peerselector.Peer{
		Name: host, PublicKey: key(t, gwKey), Endpoints: []string{endpoint},
		LinkAddress: netip.MustParseAddr("fe80::2"),
		AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("fe80::2/128")}, Preferred: true,
	}
}

func TestParseV2(t *testing.T) {
	for _, tt := range []struct{ name, body, host, endpoint string }{
		{"plain", endpoint(nil), "gw2.example.org", "gw2.example.org:40002"},
		{"port as number", endpoint(map[string]string{"Port": "40002"}), "gw2.example.org", "gw2.example.org:40002"},
		{"highest port", endpoint(map[string]string{"Port": `"65535"`}), "gw2.example.org", "gw2.example.org:65535"},
		{"with /128", endpoint(map[string]string{"AllowedIPs": `["fe80::2/128","fe80::9"]`}), "gw2.example.org",
			"gw2.example.org:40002"},
		{"IPv4", endpoint(map[string]string{"Address": `"192.0.2.7"`}), "192.0.2.7", "192.0.2.7:40002"},
		{"private IPv4", endpoint(map[string]string{"Address": `"10.0.0.7"`}), "10.0.0.7", "10.0.0.7:40002"},
		{"mapped IPv4", endpoint(map[string]string{"Address": `"::ffff:192.0.2.7"`}), "192.0.2.7", "192.0.2.7:40002"},
		{"IPv6", endpoint(map[string]string{"Address": `"2001:DB8::7"`}), "2001:db8::7", "[2001:db8::7]:40002"},
		{"IPv6 in brackets", endpoint(map[string]string{"Address": `"[2001:db8::7]"`}), "2001:db8::7",
			"[2001:db8::7]:40002"},
		{"one label", endpoint(map[string]string{"Address": `"gw"`}), "gw", "gw:40002"},
		{"trailing dot", endpoint(map[string]string{"Address": `"gw."`}), "gw.", "gw.:40002"},
		{"unknown keys", `{"Endpoint":{"X":{"Port":1},` + endpoint(nil)[len(`{"Endpoint":{`):len(endpoint(nil))-1] +
			`,"X":[],"x":1}`,
			"gw2.example.org", "gw2.example.org:40002"},
		{"other case is another key", `{"endpoint":7,` + endpoint(nil)[1:], "gw2.example.org", "gw2.example.org:40002"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseV2([]byte(tt.body), key(t, ownKey), netip.MustParseAddr(ownLink), false)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(gateway(t, tt.host, tt.endpoint), got, addrCmp, prefixCmp); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseV2Bad(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"empty", " \n", "the answer is not JSON but empty"},
		{"html", "<html>\n\x1b[2J", `the answer is not JSON, it starts with "<html> ?[2J"`},
		{"trailing garbage", endpoint(nil) + "x", "is not JSON"},
		{"two values", endpoint(nil) + endpoint(nil), "is not JSON"},
		{"array", "[1,2]", "the answer is [1,2], want an object"},
		{"null", "null", "the answer is null, want an object"},
		{"v1's answer", `{"Message":"OK"}`, "Endpoint is missing, want an object"},
		{"endpoint null", `{"Endpoint":null}`, "Endpoint is null, want an object"},
		{"endpoint list", `{"Endpoint":[{}]}`, "Endpoint is [{}], want an object"},
		{"endpoint twice", endpoint(nil)[:len(endpoint(nil))-1] + `,"Endpoint":{}}`,
			"Endpoint is {}, want it once only"},
		{"port twice", endpoint(map[string]string{"Port": `"1","Port":"2"`}),
			`Endpoint.Port is "2", want it once only`},

		{"no port", endpoint(map[string]string{"Port": ""}), "Endpoint.Port is missing"},
		{"port 0", endpoint(map[string]string{"Port": `"0"`}), `Endpoint.Port is "0", want a port from 1 to 65535`},
		{"port 0 number", endpoint(map[string]string{"Port": `0`}), `Endpoint.Port is 0, want`},
		{"port 65536", endpoint(map[string]string{"Port": `"65536"`}), `Endpoint.Port is "65536"`},
		{"port negative", endpoint(map[string]string{"Port": `-1`}), `Endpoint.Port is -1`},
		{"port float", endpoint(map[string]string{"Port": `1.5`}), `Endpoint.Port is 1.5`},
		{"port exponent", endpoint(map[string]string{"Port": `4e4`}), `Endpoint.Port is 4e4`},
		{"port octal", endpoint(map[string]string{"Port": `"0443"`}), `Endpoint.Port is "0443"`},
		{"port sign", endpoint(map[string]string{"Port": `"+443"`}), `Endpoint.Port is "+443"`},
		{"port space", endpoint(map[string]string{"Port": `" 443"`}), `Endpoint.Port is " 443"`},
		{"port empty", endpoint(map[string]string{"Port": `""`}), `Endpoint.Port is ""`},
		{"port null", endpoint(map[string]string{"Port": `null`}), `Endpoint.Port is null`},
		{"port list", endpoint(map[string]string{"Port": `["1"]`}), `Endpoint.Port is ["1"]`},
		{"port true", endpoint(map[string]string{"Port": `true`}), `Endpoint.Port is true`},

		{"no key", endpoint(map[string]string{"PublicKey": ""}), "Endpoint.PublicKey is missing"},
		{"key number", endpoint(map[string]string{"PublicKey": "7"}), "Endpoint.PublicKey is 7, want a WireGuard key"},
		{"key short", endpoint(map[string]string{"PublicKey": `"XjwaieDeh0"`}), `Endpoint.PublicKey is "XjwaieDeh0"`},
		{"key not canonical", endpoint(map[string]string{"PublicKey": `"` + gwKey[:42] + `B="`}), `nB=", want`},
		{"key URL alphabet", endpoint(map[string]string{"PublicKey": `"` + strings.Replace(gwKey, "+", "-", 1) + `"`}),
			`Endpoint.PublicKey is "Xj`},
		{"key newline", endpoint(map[string]string{"PublicKey": `"` + gwKey + `\n"`}), `Endpoint.PublicKey is "Xj`},
		{"key newline inside", endpoint(map[string]string{"PublicKey": `"` + gwKey[:20] + `\n` + gwKey[21:] + `"`}),
			`Endpoint.PublicKey is "Xj`},
		{"key of zeros", endpoint(map[string]string{"PublicKey": `"` + strings.Repeat("A", 43) + `="`}),
			`Endpoint.PublicKey is "AA`},
		{"own key", endpoint(map[string]string{"PublicKey": `"` + ownKey + `"`}), `", want another key than our own`},

		{"no allowed IPs", endpoint(map[string]string{"AllowedIPs": ""}), "Endpoint.AllowedIPs is missing"},
		{"allowed IPs empty", endpoint(map[string]string{"AllowedIPs": "[]"}),
			"Endpoint.AllowedIPs is [], want a list"},
		{"allowed IPs string", endpoint(map[string]string{"AllowedIPs": `"fe80::2"`}),
			`Endpoint.AllowedIPs is "fe80::2", want a list`},
		{"allowed IPs numbers", endpoint(map[string]string{"AllowedIPs": `[1]`}), `Endpoint.AllowedIPs[0] is 1, want`},
		{"everything", endpoint(map[string]string{"AllowedIPs": `["::/0"]`}),
			`Endpoint.AllowedIPs[0] is "::/0", want a link-local`},
		{"everything too", endpoint(map[string]string{"AllowedIPs": `["fe80::2","0.0.0.0/0"]`}),
			`Endpoint.AllowedIPs[1] is "0.0.0.0/0"`},
		{"those of another gateway", endpoint(map[string]string{"AllowedIPs": `["fe80::2","2001:db8::1"]`}),
			`Endpoint.AllowedIPs[1] is "2001:db8::1"`},
		{"broad", endpoint(map[string]string{"AllowedIPs": `["fe80::2/64"]`}),
			`Endpoint.AllowedIPs[0] is "fe80::2/64"`},
		{"broad second", endpoint(map[string]string{"AllowedIPs": `["fe80::2","fe80::/10"]`}),
			`Endpoint.AllowedIPs[1] is "fe80::/10"`},
		{"global", endpoint(map[string]string{"AllowedIPs": `["2001:db8::2"]`}),
			`Endpoint.AllowedIPs[0] is "2001:db8::2"`},
		{"zone", endpoint(map[string]string{"AllowedIPs": `["fe80::2%eth0"]`}),
			`Endpoint.AllowedIPs[0] is "fe80::2%eth0"`},
		{"link-local IPv4", endpoint(map[string]string{"AllowedIPs": `["169.254.0.1"]`}),
			`Endpoint.AllowedIPs[0] is "169.254.0.1"`},
		{"mapped", endpoint(map[string]string{"AllowedIPs": `["::ffff:169.254.0.1"]`}),
			`Endpoint.AllowedIPs[0] is "::ffff:169.254.0.1"`},
		{"multicast", endpoint(map[string]string{"AllowedIPs": `["ff02::1"]`}), `Endpoint.AllowedIPs[0] is "ff02::1"`},
		{"own link address", endpoint(map[string]string{"AllowedIPs": `["` + ownLink + `"]`}),
			`want another address than our own`},

		{"no address", endpoint(map[string]string{"Address": ""}), "Endpoint.Address is missing"},
		{"address number", endpoint(map[string]string{"Address": "7"}), "Endpoint.Address is 7, want a host name"},
		{"address long", endpoint(map[string]string{"Address": `"` + strings.Repeat("a", 1000) + `"`}),
			`Endpoint.Address is "` + strings.Repeat("a", 59) + `…, want a host name`},
		{"address hostile", endpoint(map[string]string{"Address": `"a` + "\u202e\u009b\x7f" + `b"`}),
			`Endpoint.Address is "a???b", want`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseV2([]byte(tt.body), key(t, ownKey), netip.MustParseAddr(ownLink), false)
			if err == nil {
				t.Fatalf("taken as %+v", got)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestParseHost(t *testing.T) {
	for _, s := range []string{
		"", ".", "..", "a..b", ".a", "-a.org", "a-.org", "a b", "a/b", "a:1", "a\x00", "ä.org",
		strings.Repeat("a", 64) + ".org",
		strings.Repeat("a.", 127) + "aa", "localhost", "x.LocalHost.", "1.2.3", "127.1", "1.2.3.4.5", "0x7f.0x1",
		"0x7f000001", "300.1.1.1",
		"127.0.0.1", "::1", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "169.254.1.1", "fe80::1",
		"255.255.255.255",
		"240.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "2001:db8::1%eth0", "[::1]", "[]", "[192.0.2.1]",
		"[gw]", "[2001:db8::1",
	} {
		if got, ok := parseHost(s, true); ok {
			t.Errorf("%q is taken as %q", s, got)
		}
	}
	if _, ok := parseHost("gw", false); ok {
		t.Error("what is no string is taken")
	}
}

func TestParseV1(t *testing.T) {
	for body, want := range map[string]string{
		`{"Message":"OK"}`:                "",
		" {\"x\":1,\"Message\":\"OK\"}\n": "",
		`{"Message":"no"}`:                `Message is "no", want "OK"`,
		`{"Message":true}`:                `Message is true, want "OK"`,
		`{}`:                              `Message is missing, want "OK"`,
		`"OK"`:                            `the answer is "OK", want an object`,
		``:                                "empty",
	} {
		err := parseV1([]byte(body))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}

func TestParseLocations(t *testing.T) {
	got, err := parseLocations([]byte(`{"locations":["MUC","Vienna"]}`))
	if d := cmp.Diff([]string{"MUC", "Vienna"}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for body, want := range map[string]string{
		`{"locations":"MUC"}`:                                    `locations is "MUC", want a list of names`,
		`{"locations":["a",7]}`:                                  `locations[1] is 7`,
		`{"locations":["a\u0007"]}`:                              `locations[0] is "a\u0007"`,
		`{"locations":[""]}`:                                     `locations[0] is ""`,
		`{"locations":[` + strings.Repeat(`"a",`, 256) + `"a"]}`: "locations is [",
		`{}`: "locations is missing",
	} {
		if _, err := parseLocations([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}

func FuzzParseV2(f *testing.F) {
	for _, s := range []string{
		endpoint(nil), endpoint(map[string]string{"Port": "1", "Address": `"[2001:db8::1]"`}), `{"Endpoint":null}`,
		`{"Endpoint":{"Port":"\u0000`,
		endpoint(map[string]string{"AllowedIPs": `["fe80::2/128","fe80::1"]`, "Address": `"192.0.2.1"`}),
		`[[[[`, "\xff", "",
	} {
		f.Add([]byte(s))
	}
	own, link := key(f, ownKey), netip.MustParseAddr(ownLink)
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parseV2(body, own, link, false)
		if err != nil {
			if n := len([]rune(err.Error())); n > 250 {
				t.Errorf("message of %d characters", n)
			}
			checkLine(t, err)
			return
		}
		host, port, err := net.SplitHostPort(p.Endpoints[0])
		if n, e := strconv.Atoi(port); err != nil || e != nil || n < 1 || n > 65535 ||
			len(p.Endpoints) != 1 || host != p.Name {
			t.Errorf("endpoint %q, name %q", p.Endpoints, p.Name)
		}
		if a, err := netip.ParseAddr(host); err == nil && (!a.IsGlobalUnicast() || a.Zone() != "" || a.Is4In6()) {
			t.Errorf("address %v", a)
		}
		if l := p.LinkAddress; !netip.MustParsePrefix("fe80::/10").Contains(l) || l == link {
			t.Errorf("link address %v", l)
		}
		if len(p.AllowedIPs) != 1 || p.AllowedIPs[0] != netip.PrefixFrom(p.LinkAddress, 128) {
			t.Errorf("allowed IPs %v", p.AllowedIPs)
		}
		if p.PublicKey == own || p.PublicKey == (peerselector.Key{}) {
			t.Errorf("key %v", p.PublicKey)
		}
	})
}
