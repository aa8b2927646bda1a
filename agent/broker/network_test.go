//go:build !nobroker

package broker

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wguplink/peerselector"

	"wguplink/agent/printable"
)

const (
	testNonce = "0123456789abcdef0123456789abcdef" // of the recorded answers
	concKey   = "oSza7z3KlA9Ft+g61Ix8BsEq6oWBc1MP0ctvXhoU6Xo="
)

// object writes the members, some replaced, and some more; an empty value leaves the member out.
func object(members [][2]string, replace ...string) string {
	r := make(map[string]string)
	for i := 0; i < len(replace); i += 2 {
		r[replace[i]] = replace[i+1]
	}
	var parts []string
	for _, m := range members {
		v, ok := r[m[0]]
		delete(r, m[0])
		if !ok {
			v = m[1]
		}
		if v != "" {
			parts = append(parts, fmt.Sprintf("%q: %s", m[0], v))
		}
	}
	for k, v := range r {
		parts = append(parts, fmt.Sprintf("%q: %s", k, v))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func conc(replace ...string) string {
	return object([][2]string{
		{"id", "1"}, {"pubkey", `"` + concKey + `"`}, {"endpoint", `"192.0.2.1:10001"`},
		{"address4", `"10.0.0.1"`}, {"address6", `"2001:bf7:381::1"`},
	}, replace...)
}

// network is a configuration of one concentrator.
func network(replace ...string) string {
	return object([][2]string{
		{"concentrators", "[" + conc() + "]"}, {"mtu", "1375"}, {"wg_keepalive", "15"}, {"retry", "600"}, {"id", "5"},
		{"address4", `"10.0.20.1"`}, {"range4", `"10.0.20.0/22"`}, {"address6", `"2001:bf7:381:5::1"`},
		{"range6", `"2001:bf7:381:5::/64"`},
		{"nonce", `"` + testNonce + `"`}, {"time", "1795170747"},
	}, replace...) + "\n"
}

var everything = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func concentrator(t testing.TB, id int, k, endpoint, address4, address6 string, keepalive time.Duration) Concentrator {
	return Concentrator{
		ID: id, Address4: netip.MustParseAddr(address4), Address6: netip.MustParseAddr(address6),
		Peer: peerselector.Peer{
			Name: fmt.Sprintf("c%d", id), PublicKey: key(t, k), Endpoints: []string{endpoint},
			LinkAddress: netip.MustParseAddr(address6),
			AllowedIPs:  everything, Keepalive: keepalive,
		},
	}
}

// parsed is what network() means.
func parsed(t testing.TB) *Network {
	return &Network{
		ID: "5", Retry: 10 * time.Minute, Time: time.Unix(1795170747, 0), Keepalive: 15 * time.Second, MTU: 1375,
		Address4: netip.MustParseAddr("10.0.20.1"), Address6: netip.MustParseAddr("2001:bf7:381:5::1"),
		Range4: netip.MustParsePrefix("10.0.20.0/22"), Range6: netip.MustParsePrefix("2001:bf7:381:5::/64"),
		Concentrators: []Concentrator{concentrator(t, 1, concKey, "192.0.2.1:10001", "10.0.0.1",
			"2001:bf7:381::1", 15*time.Second)},
	}
}

func recorded(t testing.TB, name string) *Network {
	n := parsed(t)
	if name == "response-ffbs" {
		n.Concentrators = append(n.Concentrators, concentrator(t, 2, gwKey, "192.0.2.2:10002", "10.0.0.2",
			"2001:bf7:381::2", 15*time.Second))
		return n
	}
	six := &Network{
		ID: concKey, Retry: 2 * time.Minute, Time: n.Time, Keepalive: 25 * time.Second, MTU: 1375,
		Address4: netip.MustParseAddr("10.80.96.1"), Address6: netip.MustParseAddr("2001:db8:ed0:2::1"),
		Range4: netip.MustParsePrefix("10.80.96.0/22"), Range6: netip.MustParsePrefix("2001:db8:ed0:2::/64"),
		XLATRange6: netip.MustParsePrefix("2001:db8:ed0:3::/64"),
		Concentrators: []Concentrator{
			concentrator(t, 1, concKey, "127.0.0.1:40001", "10.0.0.1", "fe80::1", 25*time.Second),
			concentrator(t, 2, gwKey, "127.0.0.2:40002", "10.0.0.1", "fe80::2", 25*time.Second),
		},
	}
	for i := range six.Concentrators {
		six.Concentrators[i].Peer.AllowedIPs = everything[1:] // it has xlat_range6
	}
	return six
}

func TestParseNetwork(t *testing.T) {
	change := func(f func(n *Network)) *Network {
		n := parsed(t)
		f(n)
		return n
	}
	var many, parsedMany []string
	for i := range maxConcentrators {
		k := peerselector.Key{byte(i + 1)}
		many = append(many, conc("id", fmt.Sprint(i), "pubkey", `"`+k.String()+`"`))
		parsedMany = append(parsedMany, k.String())
	}
	for _, tt := range []struct {
		name, text string
		want       *Network
	}{
		{"plain", network(), parsed(t)},
		{"numbers as strings", network("mtu", `"1375"`, "wg_keepalive", `"15"`, "retry", `"600"`, "id", `"5"`,
			"time", `"1795170747"`,
			"concentrators", "["+conc("id", `"1"`)+"]"), parsed(t)},
		{"numbers of another spelling", network("mtu", "1375.0", "retry", "6e2", "wg_keepalive", `"1.5E+1"`, "id",
			"5.0"), parsed(t)},
		{"unknown members", network("ntp", `["x"]`, "xlat_range4", "7", "ID", "6", "concentrators",
			"["+conc("port", "[[]]", "Id", "2")+"]"), parsed(t)},
		{"spaces and lines", "\r\n\t" + strings.ReplaceAll(network(), ",", " \n,"), parsed(t)},
		{"null is absent", network("xlat_range6", "null", "time", "null", "retry", "null", "wg_keepalive", "null"),
			change(func(n *Network) {
				n.Time, n.Retry, n.Keepalive = time.Time{}, 2*time.Minute, 25*time.Second
				n.Concentrators[0].Peer.Keepalive = n.Keepalive
			})},
		{"defaults", network("time", "", "retry", "", "wg_keepalive", ""), change(func(n *Network) {
			n.Time, n.Retry, n.Keepalive = time.Time{}, 2*time.Minute, 25*time.Second
			n.Concentrators[0].Peer.Keepalive = n.Keepalive
		})},
		{"lowest", network("mtu", "1280", "wg_keepalive", "0", "retry", "10", "id", "0", "time", "0", "concentrators",
			"["+conc("id", "0")+"]"), change(func(n *Network) {
			n.ID, n.MTU, n.Keepalive, n.Retry, n.Time = "0", 1280, 0, 10*time.Second, time.Unix(0, 0)
			n.Concentrators[0].ID, n.Concentrators[0].Peer.Name, n.Concentrators[0].Peer.Keepalive = 0, "c0", 0
		})},
		{"highest", network("mtu", "1440", "wg_keepalive", "65535", "retry", "86400", "id", "9007199254740991",
			"time", "253402300799",
			"concentrators", "["+conc("id", "99999999")+"]"), change(func(n *Network) {
			n.ID, n.MTU, n.Keepalive, n.Retry, n.Time = "9007199254740991", 1440, 65535*time.Second, 24*time.Hour,
				time.Unix(maxTime, 0)
			n.Concentrators[0].ID, n.Concentrators[0].Peer.Name, n.Concentrators[0].Peer.Keepalive = 99999999,
				"c99999999", n.Keepalive
		})},
		{"below all bounds", network("mtu", "-5", "wg_keepalive", "-1", "retry", "1"), change(func(n *Network) {
			n.MTU, n.Keepalive, n.Retry, n.Concentrators[0].Peer.Keepalive = 1280, 0, 10*time.Second, 0
			n.Warnings = []string{
				"retry 1 of the signed configuration is out of bounds: 10 is taken",
				"wg_keepalive -1 of the signed configuration is out of bounds: 0 is taken",
				"mtu -5 of the signed configuration is out of bounds: 1280 is taken",
			}
		})},
		{"above all bounds", network("mtu", `"65535"`, "wg_keepalive", "65536", "retry", "86401"),
			change(func(n *Network) {
				n.MTU, n.Keepalive, n.Retry = 1440, 65535*time.Second, 24*time.Hour
				n.Concentrators[0].Peer.Keepalive = n.Keepalive
				n.Warnings = []string{
					"retry 86401 of the signed configuration is out of bounds: 86400 is taken",
					"wg_keepalive 65536 of the signed configuration is out of bounds: 65535 is taken",
					"mtu 65535 of the signed configuration is out of bounds: 1440 is taken",
				}
			})},
		{"not registered, retry out of bounds", network("id", "", "retry", "0"), &Network{
			Retry:    10 * time.Second,
			Warnings: []string{"retry 0 of the signed configuration is out of bounds: 10 is taken"},
		}},
		{"464XLAT", network("xlat_range6", `"2001:db8:9::/96"`), change(func(n *Network) {
			n.XLATRange6 = netip.MustParsePrefix("2001:db8:9::/96")
			n.Concentrators[0].Peer.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("::/0")}
		})},
		{"text as id", network("id", `"`+strings.Repeat("x", 64)+`"`),
			change(func(n *Network) { n.ID = strings.Repeat("x", 64) })},
		{"no concentrators", network("concentrators", "[]"), change(func(n *Network) { n.Concentrators = nil })},
		{"bits of a host in a range", network("range4", `"10.0.20.1/22"`, "range6", `"2001:bf7:381:5::1/64"`),
			parsed(t)},
		{"name as endpoint", network("concentrators", "["+conc("endpoint", `"c1.example.org:10001"`)+"]"),
			change(func(n *Network) {
				n.Concentrators[0].Peer.Endpoints = []string{"c1.example.org:10001"}
			})},
		{"IPv6 as endpoint", network("concentrators", "["+conc("endpoint", `"[2001:DB8:0::1]:1"`)+"]"),
			change(func(n *Network) {
				n.Concentrators[0].Peer.Endpoints = []string{"[2001:db8::1]:1"}
			})},
		{"mapped IPv4 as endpoint", network("concentrators", "["+conc("endpoint", `"[::ffff:192.0.2.1]:10001"`)+"]"),
			parsed(t)},
		{"not registered", network("id", ""), &Network{Retry: 10 * time.Minute}},
		{"id null", network("id", "null"), &Network{Retry: 10 * time.Minute}},
		{"not registered and nothing else", `{"nonce": "` + testNonce + `"}`, &Network{Retry: 2 * time.Minute}},
		{"not registered, the rest odd", network("id", "", "mtu", "[]", "concentrators", "7"),
			&Network{Retry: 10 * time.Minute}},
		{"many", network("concentrators", "["+strings.Join(many, ",")+"]"), change(func(n *Network) {
			n.Concentrators = nil
			for i, k := range parsedMany {
				n.Concentrators = append(n.Concentrators,
					concentrator(t, i, k, "192.0.2.1:10001", "10.0.0.1", "2001:bf7:381::1", 15*time.Second))
			}
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseNetwork([]byte(tt.text), testNonce, key(t, ownKey))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, addrCmp, prefixCmp); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseNetworkBad(t *testing.T) {
	type bad struct{ value, want string }
	whole := func(field, limits string, values ...string) (list []bad) {
		for _, v := range values {
			list = append(list, bad{v, field + " is " + printable.Text(v, 60) + ", want a whole number from " + limits})
		}
		return list
	}
	is := func(field, want string, values ...string) (list []bad) {
		for _, v := range values {
			list = append(list, bad{v, field + " is " + printable.Text(v, 60) + ", want " + want})
		}
		return list
	}
	odd := []string{`"x"`, `""`, "true", "[]", "{}", "-1", "1e999", `"1e999"`, `"NaN"`, `"Inf"`, `"0x7d0"`, `" 2000"`,
		`"2000 "`, `"+2000"`, `"2_000"`,
		"2000.5", "99999999999999999999999999", "1e300", `"\u0000"`, strings.Repeat("9", 4000),
		"[" + strings.Repeat("[", 900) + strings.Repeat("]", 901)}
	numberless := slices.DeleteFunc(slices.Clone(odd), func(v string) bool { return v == "-1" })
	oddTexts := []string{`""`, `"x"`, "7", "true", "[]", "{}", `"\u001b[31m"`, `"` + strings.Repeat("1.", 2000) + `"`}
	const (
		key44  = "a WireGuard key of 44 characters"
		host   = `"host:port" or "[v6]:port", with a host name or a unicast address`
		addr4  = "a unicast IPv4 address"
		addr6  = "a unicast IPv6 address"
		range4 = "a unicast IPv4 prefix with a length from /8 to /32"
		range6 = "a unicast IPv6 prefix with a length from /16 to /128"
		idWant = "a whole number, or a printable text of at most 64 bytes"
	)
	v4 := append(oddTexts, `"0.0.0.0"`, `"127.0.0.1"`, `"224.0.0.1"`, `"255.255.255.255"`, `"240.0.0.1"`,
		`"169.254.0.1"`, `"10.0.0.1/32"`,
		`"010.0.0.1"`, `"::1"`, `"2001:db8::1"`, `"::ffff:10.0.0.1"`, `" 10.0.0.1"`)
	v6 := append(oddTexts, `"::"`, `"::1"`, `"ff02::1"`, `"10.0.0.1"`, `"::ffff:10.0.0.1"`, `"fe80::1%wg0"`,
		`"2001:db8::1%x"`, `"2001:db8::1/64"`, `"[2001:db8::1]"`)
	p4 := append(oddTexts, `"10.0.0.1"`, `"10.0.0.0/33"`, `"10.0.0.0/7"`, `"0.0.0.0/0"`, `"0.0.0.0/8"`, `"127.0.0.0/8"`,
		`"224.0.0.0/8"`, `"2001:db8::/64"`,
		`"10.0.0.0/-1"`, `"10.0.0.0/022"`, `"10.0.0.0/22/22"`)
	p6 := append(oddTexts, `"2001:db8::"`, `"2001:db8::/129"`, `"2000::/3"`, `"::/0"`, `"fe80::/64"`, `"ff00::/16"`,
		`"10.0.0.0/22"`, `"::ffff:10.0.0.0/120"`,
		`"2001:db8::%x/64"`)
	for field, list := range map[string][]bad{
		"retry":        is("retry", "a whole number", numberless...),
		"wg_keepalive": is("wg_keepalive", "a whole number", numberless...),
		"mtu":          is("mtu", "a whole number", numberless...),
		"time": append(whole("time", "0 to 253402300799", odd...),
			whole("time", "0 to 253402300799", "253402300800")...),
		"id": is("id", idWant, `""`, "9007199254740992", "9007199254740993", "true", "[]", "{}", "-1", "5.5",
			"1e999", "1e300", `"\u0000"`, `"a\nb"`, `"\u202ex"`, `"`+strings.Repeat("x", 65)+`"`),
		"nonce": is("nonce", `"`+testNonce+`", that of our request; is this an old answer, or one for another node?`,
			`""`, `"x"`, "7", "true", `"0123456789ABCDEF0123456789ABCDEF"`, `"`+testNonce+` "`, `["`+testNonce+`"]`,
			`"\u001b[31m"`),
		"address4":    is("address4", addr4, v4...),
		"address6":    append(is("address6", addr6, v6...), is("address6", addr6, `"fe80::1"`)...),
		"range4":      is("range4", range4, p4...),
		"range6":      is("range6", range6, p6...),
		"xlat_range6": is("xlat_range6", range6, p6...),
		"concentrators": append(is("concentrators", "a list of at most 64", "7", `"x"`, "{}", "true",
			"["+strings.Repeat("{},", 64)+"{}]"),
			bad{"[7]", "concentrators[0] is 7, want an object"},
			bad{"[null]", "concentrators[0] is null, want an object"},
			bad{"[[]]", "concentrators[0] is [], want an object"},
			bad{"[{}]", "concentrators[0].id is missing, want a whole number from 0 to 99999999"},
			bad{"[" + conc() + "," + conc("id", "2") + "]", "concentrators[1].pubkey is \"" + concKey +
				"\", want another key than that of the concentrators before"},
			bad{"[" + conc() + "," + conc("pubkey", `"`+gwKey+`"`) + "]",
				"concentrators[1].id is 1, want another id than that of the concentrators before"}),
	} {
		for _, b := range list {
			_, err := parseNetwork([]byte(network(field, b.value)), testNonce, key(t, ownKey))
			checkText(t, err, b.want)
		}
	}
	for field, list := range map[string][]bad{
		"id":       append(whole("id", "0 to 99999999", odd...), whole("id", "0 to 99999999", "100000000", `"1;x"`)...),
		"pubkey":   append(is("pubkey", key44, oddTexts...), bad{`"` + ownKey + `"`, "want another key than our own"}),
		"address4": is("address4", addr4, v4...),
		"address6": is("address6", addr6, v6...),
		"endpoint": is("endpoint", host, append(oddTexts, `"192.0.2.1"`, `"192.0.2.1:0"`, `"192.0.2.1:65536"`,
			`"192.0.2.1:x"`, `":10001"`, `"[]:10001"`,
			`"2001:db8::1:10001"`, `"[2001:db8::1%x]:1"`, `"[::1%lo]:1"`, `"0.0.0.0:1"`, `"[::]:1"`, `"224.0.0.1:1"`,
			`"[ff02::1]:1"`, `"a b:1"`, `"$(reboot):1"`,
			`"127.1:1"`, `"x\u0000:1"`, `"http://x:1"`, `"`+strings.Repeat("a", 64)+`:1"`)...),
	} {
		for _, b := range list {
			_, err := parseNetwork([]byte(network("concentrators", "["+conc(field, b.value)+"]")), testNonce,
				key(t, ownKey))
			want := b.want
			if strings.HasPrefix(want, field) {
				want = "concentrators[0]." + want
			}
			checkText(t, err, want)
		}
		_, err := parseNetwork([]byte(network("concentrators", "["+conc(field, "")+"]")), testNonce, key(t, ownKey))
		checkText(t, err, "concentrators[0]."+field+" is missing, want ")
		_, err = parseNetwork([]byte(network("concentrators", "["+conc(field, "null")+"]")), testNonce, key(t, ownKey))
		checkText(t, err, "concentrators[0]."+field+" is missing, want ")
		double := strings.Replace(conc(), "{", `{"`+field+`": 1,`, 1)
		_, err = parseNetwork([]byte(network("concentrators", "["+double+"]")), testNonce, key(t, ownKey))
		checkText(t, err, "want it once only")
	}
	for _, field := range []string{"nonce", "mtu", "address4", "address6", "range4", "range6", "concentrators"} {
		for _, v := range []string{"", "null"} {
			_, err := parseNetwork([]byte(network(field, v)), testNonce, key(t, ownKey))
			checkText(t, err, field+" is missing, want ")
		}
	}
	for name, tt := range map[string]struct{ text, want string }{
		"empty":           {"\n", "the answer is not JSON but empty"},
		"no object":       {"[]", "the answer is [], want an object"},
		"null":            {"null", "the answer is null, want an object"},
		"cut off":         {network()[:100], "the answer is not JSON, it starts with"},
		"text after":      {network() + "x", "the answer is not JSON"},
		"twice":           {network() + network(), "the answer is not JSON"},
		"NaN":             {network("mtu", "NaN"), "the answer is not JSON"},
		"number in octal": {network("mtu", "01375"), "the answer is not JSON"},
		"deep": {network("x", strings.Repeat("[", 20000)+strings.Repeat("]", 20000)),
			"the answer is not JSON"},
		"not UTF-8":       {network("x", "\"\xff\""), "the answer is not in UTF-8"},
		"byte order mark": {"\ufeff" + network(), "the answer is not JSON"},
		"escaped double": {strings.Replace(network(), "{", `{"m\u0074u": 1400,`, 1),
			"mtu is 1375, want it once only"},
		"id twice":         {strings.Replace(network(), "{", `{"id": null,`, 1), "id is 5, want it once only"},
		"nonce twice":      {strings.Replace(network(), "{", `{"nonce": "`+testNonce+`",`, 1), "want it once only"},
		"not known, retry": {network("id", "", "retry", "[]"), "retry is [], want a whole number"},
		"own endpoint": {network("address4", `"192.0.2.1"`),
			"our own address 192.0.2.1 is that of the endpoint of concentrator 1: its packets would not " +
				"leave the node"},
		"own endpoint, IPv6": {network("concentrators", "["+conc("endpoint", `"[2001:bf7:381:5::1]:1"`)+"]"),
			"our own address 2001:bf7:381:5::1 is that of the endpoint of concentrator 1: its packets would not " +
				"leave the node"},
		"not known, nonce": {network("id", "", "nonce", `"x"`), `nonce is "x", want "` + testNonce},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseNetwork([]byte(tt.text), testNonce, key(t, ownKey))
			checkText(t, err, tt.want)
		})
	}
	// No nonce of ours is not the same as an empty one.
	_, err := parseNetwork([]byte(network("nonce", `""`)), "", key(t, ownKey))
	checkText(t, err, `nonce is "", want`)
}

// FuzzNetwork reads what a signer might have signed: nothing may panic, an error is one line, and what is taken keeps
// to the limits.
func FuzzNetwork(f *testing.F) {
	for _, name := range []string{"response-ffbs", "response-wgkex-parker", "bad-flipped-byte", "bad-unsigned",
		"bad-truncated-signature"} {
		b := testfile(f, name)
		f.Add(b)
		if i := bytes.LastIndexByte(bytes.TrimSpace(b), '\n'); i >= 0 {
			f.Add(b[:i+1])
		}
	}
	for _, s := range []string{
		network(), network("id", ""), network("mtu", "1e999"), network("concentrators", "[[[]]]"),
		network("id", `"\u001b"`), network("retry", `"1e5"`),
		network("concentrators", "["+conc("endpoint", `"[fe80::1%\u0000]:1"`)+"]"), `{"nonce":{}}`, "{", "",
	} {
		f.Add([]byte(s))
	}
	own := key(f, ownKey)
	signedBy := recordedKey(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, err := signedBy.Open(b); err != nil {
			checkLine(t, err)
		} else if !bytes.HasPrefix(b, text) || !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("signed text %q", text)
		}
		n, err := parseNetwork(b, testNonce, own)
		if err != nil {
			checkLine(t, err)
			return
		}
		checkNetwork(t, n, own)
	})
}

func checkNetwork(t *testing.T, n *Network, own peerselector.Key) {
	if n.Retry < time.Second || n.Retry > 24*time.Hour {
		t.Errorf("retry %v", n.Retry)
	}
	if n.ID == "" {
		if n.MTU != 0 || n.Concentrators != nil || n.Address4.IsValid() {
			t.Errorf("without an id: %+v", n)
		}
		return
	}
	if n.MTU < 1280 || n.MTU > 65535 || n.Keepalive < 0 || n.Keepalive > 65535*time.Second ||
		n.Keepalive%time.Second != 0 || len(n.ID) > 64 || n.Time.Year() > 9999 {
		t.Errorf("%+v", n)
	}
	if !n.Address4.Is4() || !n.Address6.Is6() || n.Address6.Zone() != "" || !n.Range4.Addr().Is4() ||
		!n.Range6.Addr().Is6() ||
		n.Range4 != n.Range4.Masked() || n.Range6 != n.Range6.Masked() || n.XLATRange6.IsValid() &&
		!n.XLATRange6.Addr().Is6() {
		t.Errorf("%+v", n)
	}
	ids, keys := make(map[int]bool), make(map[peerselector.Key]bool)
	for _, c := range n.Concentrators {
		if ids[c.ID] || keys[c.Peer.PublicKey] || c.Peer.PublicKey == own || c.Peer.PublicKey == (peerselector.Key{}) ||
			len(fmt.Sprint("wg_c", c.ID)) > 15 {
			t.Errorf("%+v", c)
		}
		ids[c.ID], keys[c.Peer.PublicKey] = true, true
		if !c.Address4.Is4() || !c.Address6.Is6() || c.Address6.Zone() != "" || c.Peer.LinkAddress != c.Address6 ||
			len(c.Peer.Endpoints) != 1 {
			t.Errorf("%+v", c)
		}
		if again, ok := parseEndpoint(c.Peer.Endpoints[0], true); !ok || again != c.Peer.Endpoints[0] {
			t.Errorf("endpoint %q", c.Peer.Endpoints[0])
		}
	}
	if len(n.Concentrators) > 64 {
		t.Errorf("%d concentrators", len(n.Concentrators))
	}
}
