package wgkex

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"wguplink/peerselector"
	"wguplink/testbed/mqtt"
)

// A broker with a range hands each key an address of its own, always the same, tells the workers before it tells them
// the key, and says so when none is left. Its answer is wgkex's with one more member.
func TestLayer3(t *testing.T) {
	var said []mqtt.Message
	b := New(Options{
		Domains: []string{"city"}, Layer3: netip.MustParsePrefix("10.99.0.0/29"),
		Publish: func(m mqtt.Message) error { said = append(said, m); return nil },
	})
	defer b.Close()
	tell(b, "city", heard{"gw1", 0, true})
	b.Hear(DataMessage("city", "gw1", WorkerData{ExternalAddress: "gw1.example.org", Port: 5, PublicKey: "k",
		LinkAddress: "10.99.0.2"}))
	ask := func(k byte) (int, string) {
		body := `{"domain": "city", "public_key": "` + peerselector.Key{k, 31: 4}.String() + `"}`
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest("POST", PathV2, strings.NewReader(body)))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	const answer = `{"Endpoint":{"Address":"gw1.example.org","AllowedIPs":["10.99.0.2","10.99.0.0/29"],"Port":"5","PublicKey":"k"},"Node":{"Addresses":["10.99.0.?"]}}`
	// Out of eight: not the first and the last, nor the gateway's.
	for i, last := range []string{"1", "3", "4", "5", "6"} {
		for range 2 {
			if code, body := ask(byte(i + 1)); code != 200 || body != strings.Replace(answer, "?", last, 1) {
				t.Errorf("key %d: %d %s", i+1, code, body)
			}
		}
	}
	if code, body := ask(6); code != 500 || !strings.Contains(body, "no address is left") {
		t.Errorf("%d %s", code, body)
	}
	if len(said) != 20 {
		t.Fatalf("%d messages", len(said))
	}
	domain, key, own, err := ParseAddress(said[0])
	if err != nil || domain != "city" || key != (peerselector.Key{1, 31: 4}) || len(own) != 1 ||
		own[0].String() != "10.99.0.1/32" || !said[0].Retain {
		t.Errorf("%+v: %v %v %v", said[0], domain, own, err)
	}
	if _, key2, err := ParseKey(said[1]); err != nil || key2 != key ||
		!mqtt.Match(AddressFilter("city"), said[0].Topic) || mqtt.Match(KeyFilter("city"), said[0].Topic) {
		t.Errorf("%+v: %v", said[1], err)
	}
	for _, bad := range []string{"", "{}", `{"PublicKey":"x"}`,
		`{"PublicKey":"` + key.String() + `","Addresses":[""]}`} {
		if _, _, _, err := ParseAddress(mqtt.Message{Topic: said[0].Topic, Payload: []byte(bad)}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
