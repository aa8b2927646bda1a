package wgkex

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

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
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
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
		{httpfault.Body("application/json", "[]"), false, is(200, "[]")},
		{httpfault.HTML(502), false, func(t *testing.T, r *http.Response, body string) {
			if r.StatusCode != 502 || r.Header.Get("Content-Type") != "text/html" || !strings.Contains(body, "502 Bad Gateway") {
				t.Errorf("status %d, %v, %q", r.StatusCode, r.Header, body)
			}
		}},
		{WrongTypes(), false, func(t *testing.T, r *http.Response, body string) {
			var a struct{ Endpoint struct{ Address string } }
			if err := json.Unmarshal([]byte(body), &a); r.StatusCode != 200 || !json.Valid([]byte(body)) || err == nil {
				t.Errorf("status %d, %q", r.StatusCode, body)
			}
		}},
		{httpfault.Busy(90 * time.Second), false, func(t *testing.T, r *http.Response, _ string) {
			if r.StatusCode != 503 || r.Header.Get("Retry-After") != "90" {
				t.Errorf("status %d, %v", r.StatusCode, r.Header)
			}
		}},
		{httpfault.Redirect(307, "https://other.example.org/x"), false, func(t *testing.T, r *http.Response, _ string) {
			if r.StatusCode != 307 || r.Header.Get("Location") != "https://other.example.org/x" {
				t.Errorf("status %d, %v", r.StatusCode, r.Header)
			}
		}},
		{httpfault.Hangup(), false, nil},
		{httpfault.Lost(), true, nil},
		{httpfault.Huge(2 << 20), true, func(t *testing.T, r *http.Response, body string) {
			var a struct{ Endpoint Endpoint }
			if err := json.Unmarshal([]byte(body), &a); err != nil || a.Endpoint.Port != "40001" || len(body) < 2<<20 {
				t.Errorf("%d bytes, port %v, %v", len(body), a.Endpoint.Port, err)
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
			switch {
			case tt.check == nil:
				if err == nil {
					t.Errorf("status %d, want no answer", resp.StatusCode)
				}
			case err != nil:
				t.Error(err)
			default:
				tt.check(t, resp, body)
			}
			if registered := len(got) == before+1; registered != tt.registered {
				t.Errorf("key published: %v", registered)
			}
			// The other API is as good as ever.
			if resp, body, err := do(t, c, url+PathV1); err != nil || resp.StatusCode != 200 || body != `{"Message":"OK"}`+"\n" {
				t.Errorf("v1: %q, %v", body, err)
			}
		})
	}
}

// The handler hangs until the client goes or the broker is closed.
func TestHang(t *testing.T) {
	asked := make(chan Request, 2)
	b, url, c := faulty(t, Options{OnRequest: func(r Request) { asked <- r }})
	b.SetFaults(httpfault.Hang())

	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, "POST", url+PathV2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := c.Do(req); err == nil {
		t.Errorf("status %d, want no answer", resp.StatusCode)
		resp.Body.Close()
	}

	go func() {
		<-asked
		b.Close()
	}()
	if resp, _, err := do(t, c, url+PathV1); err == nil {
		t.Errorf("status %d, want no answer", resp.StatusCode)
	}
}

// The answer comes byte by byte, each only when the pause before it is over.
func TestDrip(t *testing.T) {
	pauses := make(chan chan<- time.Time)
	b, url, c := faulty(t, Options{After: func(d time.Duration) <-chan time.Time {
		if d != 3*time.Second {
			t.Errorf("pause %v", d)
		}
		over := make(chan time.Time)
		pauses <- over
		return over
	}})
	b.SetFault(V1, httpfault.Drip(3*time.Second))

	resp, err := c.Post(url+PathV1, "", strings.NewReader(`{"domain":"ffxx","public_key":"`+nodeKey+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []byte
	for range 5 {
		(<-pauses) <- time.Time{}
		one := make([]byte, 8)
		n, err := resp.Body.Read(one)
		if n != 1 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		got = append(got, one[0])
	}
	if want := `{"Mes`; string(got) != want || resp.ContentLength != int64(len(`{"Message":"OK"}`)+1) {
		t.Errorf("got %q of %d bytes", got, resp.ContentLength)
	}
	<-pauses // the client goes during this one
}

func TestFaultNames(t *testing.T) {
	var names []string
	for _, f := range []httpfault.Fault{{}, httpfault.Status(500), httpfault.HTML(502), httpfault.Body("application/json", ""), WrongTypes(), httpfault.Status(404), httpfault.Busy(time.Second),
		httpfault.Redirect(302, "http://x"), httpfault.Hangup(), httpfault.Hang(), httpfault.Huge(1), httpfault.Drip(time.Second), httpfault.Lost(), HostilePort(0), HostileAddress("x"),
		HostileAllowedIPs()} {
		if slices.Contains(names, f.String()) || f.String() == "" {
			t.Errorf("two faults are named %q", f)
		}
		names = append(names, f.String())
	}
}
