package wgkex

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
	"wguplink/testbed/mqtt"
)

// faulty is a broker with one gateway.
func faulty(t *testing.T, o Options) (b *Broker, url string, c *http.Client) {
	t.Helper()
	o.Domains = []string{"ffxx"}
	b = New(o)
	b.Hear(StatusMessage("gw1", true))
	b.Hear(PeersMessage("ffxx", "gw1", 0))
	b.Hear(DataMessage("ffxx", "gw1", WorkerData{ExternalAddress: "gw1.example.org", Port: 40001,
		PublicKey: new(peerselector.Key).String(), LinkAddress: "fe80::1"}))
	srv := httptest.NewServer(b)
	c = srv.Client()
	t.Cleanup(func() {
		b.Close()
		srv.Close()
	})
	return b, srv.URL, c
}

const goodEndpoint = `{"Endpoint":{"Address":"gw1.example.org","AllowedIPs":["fe80::1"],"Port":"40001","PublicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}` + "\n"

func TestFaults(t *testing.T) {
	is := func(code int, body string) func(*testing.T, *http.Response, string) {
		return func(t *testing.T, r *http.Response, got string) {
			if r.StatusCode != code || got != body {
				t.Errorf("status %d, body %q; want %d, %q", r.StatusCode, got, code, body)
			}
		}
	}
	edited := func(old, new string) func(*testing.T, *http.Response, string) {
		return is(200, strings.Replace(goodEndpoint, old, new, 1))
	}
	internal := `{"error":{"message":"` + internalError + `"}}` + "\n"

	tests := []struct {
		fault      httpfault.Fault
		registered bool
		check      func(*testing.T, *http.Response, string)
	}{
		{httpfault.Fault{}, true, is(200, goodEndpoint)},
		{httpfault.Status(400), false, is(400, internal)},
		{httpfault.Status(500), false, is(500, internal)},
		{httpfault.Status(404), false, is(404, pageNotFound)},
		{WrongTypes(), false, func(t *testing.T, r *http.Response, body string) {
			var a struct{ Endpoint struct{ Address string } }
			if err := json.Unmarshal([]byte(body), &a); r.StatusCode != 200 || !json.Valid([]byte(body)) || err == nil {
				t.Errorf("status %d, %q", r.StatusCode, body)
			}
		}},
		{HostilePort("0"), true, edited(`"40001"`, `"0"`)},
		{HostilePort(65536), true, edited(`"40001"`, `65536`)},
		{HostileAddress("ff02::1"), true, edited("gw1.example.org", "ff02::1")},
		{HostileAllowedIPs("::/0"), true, edited(`["fe80::1"]`, `["::/0"]`)},
		{HostileAllowedIPs("fe80::1/10", "2001:db8::1"), true, edited(`["fe80::1"]`, `["fe80::1/10","2001:db8::1"]`)},
	}
	got := make(chan struct{}, 2*len(tests))
	b, url, c := faulty(t, Options{Publish: func(mqtt.Message) error { got <- struct{}{}; return nil }})
	for _, tt := range tests {
		t.Run(tt.fault.String(), func(t *testing.T) {
			before := len(got)
			b.SetFault(V2, tt.fault)
			resp, body, err := do(t, c, url+PathV2)
			if err != nil {
				t.Fatal(err)
			}
			tt.check(t, resp, body)
			if registered := len(got) == before+1; registered != tt.registered {
				t.Errorf("key published: %v", registered)
			}
			// The other API is as good as ever.
			if resp, body, err := do(t, c, url+PathV1); err != nil || resp.StatusCode != 200 ||
				body != `{"Message":"OK"}`+"\n" {
				t.Errorf("v1: %q, %v", body, err)
			}
		})
	}
}
