//go:build !nobroker

package broker

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLayer3: a gateway of a network with plain addresses in the tunnel.
func TestLayer3(t *testing.T) {
	for _, tt := range []struct {
		allowed string
		want    []string // link address and allowed IPs
		err     string
	}{
		{`["10.0.0.1"]`, []string{"10.0.0.1", "10.0.0.1/32"}, ""},
		{`["10.0.0.1/32", "10.0.0.0/8", "fd00::/8"]`, []string{"10.0.0.1", "10.0.0.1/32", "10.0.0.0/8", "fd00::/8"},
			""},
		{`["2001:db8::1"]`, []string{"2001:db8::1", "2001:db8::1/128"}, ""},
		{`["fe80::1"]`, []string{"fe80::1", "fe80::1/128"}, ""},

		{`[]`, nil, "Endpoint.AllowedIPs is [], want the gateway's address in the tunnel"},
		{`"10.0.0.1"`, nil, "Endpoint.AllowedIPs is \"10.0.0.1\""},
		{`["10.0.0.0/8"]`, nil, "Endpoint.AllowedIPs[0] is \"10.0.0.0/8\", want the gateway's address"},
		{`["10.0.0.1", "0.0.0.0/0"]`, nil, "Endpoint.AllowedIPs[1] is \"0.0.0.0/0\""},
		{`["10.0.0.1", "8.0.0.0/7"]`, nil, "Endpoint.AllowedIPs[1]"},
		{`["10.0.0.1", "::/0"]`, nil, "Endpoint.AllowedIPs[1] is \"::/0\""},
		{`["10.0.0.1", "2000::/3"]`, nil, "Endpoint.AllowedIPs[1]"},
		{`["10.0.0.1", "10.0.0.1/8"]`, nil, "Endpoint.AllowedIPs[1]"},
		{`["10.0.0.1", "224.0.0.0/8"]`, nil, "Endpoint.AllowedIPs[1]"},
		{`["127.0.0.1"]`, nil, "Endpoint.AllowedIPs[0]"},
		{`["::ffff:10.0.0.1"]`, nil, "Endpoint.AllowedIPs[0]"},
		{`["fe80::1%eth0"]`, nil, "Endpoint.AllowedIPs[0]"},
		{`[7]`, nil, "Endpoint.AllowedIPs[0] is 7"},
		{`["` + strings.Repeat(`10.0.0.1","`, 64) + `10.0.0.1"]`, nil, "Endpoint.AllowedIPs is ["},
	} {
		t.Run(tt.allowed[:min(len(tt.allowed), 40)], func(t *testing.T) {
			body := []byte(endpoint(map[string]string{"AllowedIPs": tt.allowed}))
			p, err := parseV2(body, key(t, ownKey), netip.MustParseAddr(ownLink), true)
			if tt.err != "" {
				checkText(t, err, tt.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{p.LinkAddress.String()}
			for _, a := range p.AllowedIPs {
				got = append(got, a.String())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := parseV2([]byte(endpoint(map[string]string{"AllowedIPs": `["10.0.0.1"]`})), key(t, ownKey),
		netip.Addr{}, false); err == nil {
		t.Error("a layer 3 gateway is taken in mode vxlan")
	}
}

// TestNoGateway: a broker that has no gateway online has made the key known, and is not asked by v1.
func TestNoGateway(t *testing.T) {
	const says = "no gateway online for this domain, please check the domain value and try again later"
	w := newWAN()
	w.serve(t, "a.invalid", canned{pathV2: failing(400, says), pathV1: ok(v1OK)})
	w.serve(t, "b.invalid", canned{pathV2: ok(endpoint(nil))})
	a, err := w.client(t, Options{}, "http://a.invalid").Register(testContext(t), key(t, ownKey))
	if err != nil || a.API != "v2" || a.Broker != "http://a.invalid" || len(a.Peers) != 0 {
		t.Fatalf("got %+v, %v", a, err)
	}
	checkError(t, a.Fallback, Refused, says)
	if d := cmp.Diff([]string{"a.invalid:80"}, w.dials()); d != "" {
		t.Error(d)
	}
	// Another broker may know a gateway.
	a = success(t, w.client(t, Options{}, "http://a.invalid", "http://b.invalid"), "v2", "http://b.invalid")
	checkError(t, a.Fallback, Refused, says)
	// One that fails does not undo what the first has done.
	a, err = w.client(t, Options{}, "http://a.invalid", "http://c.invalid").Register(testContext(t), key(t, ownKey))
	if err != nil || a.Broker != "http://a.invalid" || len(a.Peers) != 0 {
		t.Errorf("got %+v, %v", a, err)
	}
}

// TestUnknownDomain: what wgkex says of a domain that it does not know is explained, once.
func TestUnknownDomain(t *testing.T) {
	internal := failing(400, "An internal error has occurred. Please try again later.")
	w := newWAN()
	w.serve(t, "a.invalid", canned{pathV2: internal, pathV1: internal})
	e := failure(t, w.client(t, Options{Domain: "ffxx_moon"}, "http://a.invalid"), Refused, "An internal error",
		"is option domain 'ffxx_moon' right?")
	if n := strings.Count(e.Error(), "option domain"); n != 1 {
		t.Errorf("%d hints: %v", n, e)
	}
}

// TestBOM: a mark before the JSON does no harm.
func TestBOM(t *testing.T) {
	const bom = "\ufeff"
	w := newWAN()
	w.serve(t, "a.invalid", canned{pathV2: ok(bom + endpoint(nil)), pathV1: ok(bom + v1OK),
		pathLocations: ok(bom + `{"locations":["MUC"]}`)})
	success(t, w.client(t, Options{}, "http://a.invalid"), "v2", "http://a.invalid")
	success(t, w.client(t, Options{OwnChoice: true}, "http://a.invalid"), "v1", "http://a.invalid")
	if names, err := w.client(t, Options{}, "http://a.invalid").Locations(testContext(t)); err != nil ||
		len(names) != 1 {
		t.Errorf("got %q, %v", names, err)
	}
	bad := failing(400, "unknown domain")
	bad.body = bom + bad.body
	w.serve(t, "b.invalid", canned{pathV2: bad, pathV1: bad})
	failure(t, w.client(t, Options{}, "http://b.invalid"), Refused, `"unknown domain"`)
}

// TestOwnAddresses: what a broker hands out to a node of a network with plain addresses.
func TestOwnAddresses(t *testing.T) {
	for _, tt := range []struct{ node, want, err string }{
		{`{"Addresses": ["10.9.1.7"]}`, "10.9.1.7/32", ""},
		{`{"Addresses": ["10.9.1.7", "fd00::7"], "More": 1}`, "10.9.1.7/32 fd00::7/128", ""},
		{`{"Addresses": []}`, "", ""},
		{`{}`, "", ""},
		{`7`, "", "Node is 7, want an object"},
		{`{"Addresses": "10.9.1.7"}`, "", "Node.Addresses is"},
		{`{"Addresses": ["10.0.0.1"]}`, "", "Node.Addresses[0] is \"10.0.0.1\""},
		{`{"Addresses": ["10.9.1.7/32"]}`, "", "Node.Addresses[0]"},
		{`{"Addresses": ["192.168.1.1"]}`, "", "Node.Addresses[0]"},
		{`{"Addresses": ["10.9.1.7", 5]}`, "", "Node.Addresses[1] is 5"},
		{`{"Addresses": ["fd00::7%eth0"]}`, "", "Node.Addresses[0]"},
		{`{"Addresses": ["::ffff:10.9.1.7"]}`, "", "Node.Addresses[0]"},
		{`{"Addresses": ["` + strings.Repeat(`10.9.1.7","`, 8) + `10.9.1.7"]}`, "", "Node.Addresses is ["},
		{`{"Addresses": ["10.9.1.7"], "Addresses": []}`, "", "Node.Addresses is [], want it once only"},
	} {
		body := strings.TrimSpace(endpoint(map[string]string{"AllowedIPs": `["10.0.0.1", "10.0.0.0/8", "fd00::/8"]`}))
		body = strings.TrimSuffix(body, "}") + `, "Node": ` + tt.node + "}"
		p, err := parseV2([]byte(body), key(t, ownKey), netip.MustParseAddr(ownLink), true)
		if err != nil {
			t.Fatal(err)
		}
		own, err := parseOwn([]byte(body), p)
		if tt.err != "" {
			checkText(t, err, tt.err)
			continue
		}
		var got []string
		for _, o := range own {
			got = append(got, o.String())
		}
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, %v", tt.node, got, err)
		}
	}
}
