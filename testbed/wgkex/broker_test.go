package wgkex

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"wguplink/peerselector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustKey(s string) peerselector.Key {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return peerselector.Key(raw)
}

// post hands a key in, without a network, and returns the answer.
func post(b *Broker, path, domain, location string) *httptest.ResponseRecorder {
	fields := map[string]string{"domain": domain, "public_key": nodeKey}
	if location != "" {
		fields["location"] = location
	}
	body, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(string(body)))
	r.Header.Set("User-Agent", "gluon/test")
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func TestChoice(t *testing.T) {
	gw := func(name, location string, weight, peers int, online bool) Gateway {
		return Gateway{Name: name, ExternalAddress: name, Port: 1, Location: location, Weight: weight, Peers: peers, Online: online}
	}
	tests := []struct {
		name     string
		gateways []Gateway
		other    []Gateway // of a second domain
		location string
		want     string // names in order of five requests
	}{
		{"round about", []Gateway{gw("a", "", 0, 0, true), gw("b", "", 0, 0, true)}, nil, "", "a b a b a"},
		{"fewest peers", []Gateway{gw("a", "", 1, 9, true), gw("b", "", 1, 7, true)}, nil, "", "b b a b a"},
		{"by weight", []Gateway{gw("a", "", 1, 0, true), gw("b", "", 4, 0, true)}, nil, "", "a b b b b"},
		{"offline", []Gateway{gw("a", "", 1, 0, false), gw("b", "", 1, 50, true)}, nil, "", "b b b b b"},
		{"domain offline", []Gateway{gw("a", "", 1, -1, true), gw("b", "", 1, 50, true)}, nil, "", "b b b b b"},
		{"none online", []Gateway{gw("a", "", 1, 0, false), gw("b", "", 1, -1, true)}, nil, "", "- - - - -"},
		{"peers of other domains", []Gateway{gw("a", "", 1, 0, true), gw("b", "", 1, 3, true)},
			[]Gateway{gw("a", "", 1, 100, true)}, "", "b b b b b"},
		{"location", []Gateway{gw("a", "MUC", 1, 50, true), gw("b", "Vienna", 1, 0, true)}, nil, "MUC", "a a a a a"},
		{"location all offline", []Gateway{gw("a", "MUC", 1, 0, false), gw("b", "Vienna", 1, 0, true)}, nil, "MUC", "b b b b b"},
		{"location unknown", []Gateway{gw("a", "MUC", 1, 0, true), gw("b", "Vienna", 1, 0, true)}, nil, "Bremen", "a b a b a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New(Options{Domains: []Domain{{Name: "ffxx", Gateways: tt.gateways}, {Name: "ffyy", Gateways: tt.other}}})
			defer b.Close()
			var got []string
			chosen := make(map[string]int)
			for range 5 {
				w := post(b, PathV2, "ffxx", tt.location)
				var a struct{ Endpoint Endpoint }
				if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
					t.Fatal(err)
				}
				if w.Code != 200 {
					got = append(got, "-")
					continue
				}
				got = append(got, a.Endpoint.Address)
				chosen[a.Endpoint.Address]++
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("chose %s, want %s", s, tt.want)
			}
			if diff := cmp.Diff(Counts{V2: 5, Chosen: chosen}, b.Counts()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each key goes to every worker of its domain, and to no other, after the delay and not before.
func TestPublish(t *testing.T) {
	for path, api := range map[string]API{PathV1: V1, PathV2: V2} {
		t.Run(api.String(), func(t *testing.T) {
			release := make(chan time.Time)
			asked := make(chan time.Duration, 8)
			published := make(chan Publication, 8)
			var registered []Registration
			b := New(Options{
				Domains: []Domain{
					{Name: "ffxx", Gateways: []Gateway{{Name: "gw1", ExternalAddress: "gw1", Online: true}, {Name: "gw2"}, {Name: "gw3"}}},
					{Name: "ffyy", Gateways: []Gateway{{Name: "gw4", Online: true}}},
				},
				Delay:      func() time.Duration { return 300 * time.Millisecond },
				After:      func(d time.Duration) <-chan time.Time { asked <- d; return release },
				OnRegister: func(r Registration) { registered = append(registered, r) },
				OnPublish:  func(p Publication) { published <- p },
			})
			defer b.Close()
			broken := errors.New("no such device")
			b.SetWorker("gw1", WorkerFunc(func(string, peerselector.Key) error { return nil }))
			b.SetWorker("gw2", WorkerFunc(func(string, peerselector.Key) error { return broken }))
			b.SetWorker("gw4", WorkerFunc(func(string, peerselector.Key) error { t.Error("wrong domain"); return nil }))

			if w := post(b, path, "ffxx", "MUC"); w.Code != 200 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			for range 2 {
				if d := <-asked; d != 300*time.Millisecond {
					t.Errorf("delay %v", d)
				}
			}
			select {
			case p := <-published:
				t.Errorf("published before its time: %+v", p)
			default:
			}
			release <- time.Time{}
			release <- time.Time{}
			errs := make(map[string]error)
			for range 2 {
				p := <-published
				if p.Domain != "ffxx" || p.Key != mustKey(nodeKey) || p.Delay != 300*time.Millisecond {
					t.Errorf("publication %+v", p)
				}
				errs[p.Gateway] = p.Err
			}
			if len(errs) != 2 || errs["gw1"] != nil || errs["gw2"] != broken {
				t.Errorf("results by gateway: %v", errs)
			}

			want := Registration{API: api, Domain: "ffxx", Key: mustKey(nodeKey), Location: "MUC", From: "192.0.2.1:1234"}
			if api == V2 {
				want.Gateway = "gw1"
			}
			if diff := cmp.Diff([]Registration{want}, registered); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCloseDropsPublications(t *testing.T) {
	b := New(Options{
		Domains: []Domain{{Name: "ffxx", Gateways: []Gateway{{Name: "gw1"}}}},
		After:   func(time.Duration) <-chan time.Time { return nil },
	})
	b.SetWorker("gw1", WorkerFunc(func(string, peerselector.Key) error { t.Error("published"); return nil }))
	post(b, PathV1, "ffxx", "")
	b.Close()
	b.Close()
	if w := post(b, PathV1, "ffxx", ""); w.Code != 200 {
		t.Errorf("status %d after Close", w.Code)
	}
}

// A worker that was called already is waited for.
func TestCloseWaits(t *testing.T) {
	var added atomic.Bool
	called := make(chan struct{})
	b := New(Options{
		Domains: []Domain{{Name: "ffxx", Gateways: []Gateway{{Name: "gw1"}}}},
		Delay:   func() time.Duration { return 0 },
	})
	b.SetWorker("gw1", WorkerFunc(func(string, peerselector.Key) error {
		close(called)
		<-b.closing
		added.Store(true)
		return nil
	}))
	post(b, PathV1, "ffxx", "")
	<-called
	b.Close()
	if !added.Load() {
		t.Error("Close returned while a worker was at it")
	}
}

func TestMeasuredDelay(t *testing.T) {
	b := New(Options{})
	for range 1000 {
		if d := b.o.Delay(); d < MinPublishDelay || d >= MaxPublishDelay {
			t.Fatalf("delay %v", d)
		}
	}
}

func TestState(t *testing.T) {
	b := New(Options{})
	defer b.Close()
	b.SetGateway("ffxx", Gateway{Name: "gw1", Port: 1})
	b.SetGateway("ffxx", Gateway{Name: "gw2", Port: 2})
	b.SetGateway("ffyy", Gateway{Name: "gw1", Port: 3})
	b.SetGateway("ffxx", Gateway{Name: "gw2", Port: 4})
	if err := b.SetOnline("gw1", true); err != nil {
		t.Error(err)
	}
	if err := b.SetPeers("ffxx", "gw1", 7); err != nil {
		t.Error(err)
	}
	for _, err := range []error{b.SetOnline("gw9", true), b.SetPeers("ffyy", "gw2", 1), b.SetPeers("ffzz", "gw1", 1)} {
		if !errors.Is(err, ErrNoGateway) {
			t.Errorf("error %v", err)
		}
	}
	want := map[string][]Gateway{
		"ffxx": {{Name: "gw1", Port: 1, Online: true, Peers: 7}, {Name: "gw2", Port: 4}},
		"ffyy": {{Name: "gw1", Port: 3, Online: true}},
		"ffzz": nil,
	}
	for domain, gateways := range want {
		if diff := cmp.Diff(gateways, b.Gateways(domain)); diff != "" {
			t.Errorf("%s: %s", domain, diff)
		}
	}
}

func TestLocations(t *testing.T) {
	gws := []Gateway{{Name: "a", Location: "Vienna"}, {Name: "b", Location: "MUC"}, {Name: "c", Location: "MUC"}, {Name: "d"}}
	for _, tt := range []struct {
		serve bool
		gws   []Gateway
		code  int
		body  string
	}{
		{true, gws, 200, `{"locations":["MUC","Vienna"]}` + "\n"},
		{true, nil, 200, `{"locations":[]}` + "\n"},
		{false, gws, 404, pageNotFound},
	} {
		b := New(Options{ServeLocations: tt.serve, Domains: []Domain{{Name: "ffxx", Gateways: tt.gws}}})
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest("GET", PathLocations, nil))
		if w.Code != tt.code || w.Body.String() != tt.body {
			t.Errorf("status %d, body %q; want %d, %q", w.Code, w.Body, tt.code, tt.body)
		}
		if n := b.Counts().Locations; n != 1 {
			t.Errorf("%d requests for locations counted", n)
		}
	}
}

func TestRequests(t *testing.T) {
	var seen []Request
	b := New(Options{OnRequest: func(r Request) { seen = append(seen, r) }})
	b.SetFaults(NotFound())
	post(b, PathV1, "ffxx", "")
	post(b, PathV2, strings.Repeat("x", MaxRecordedBody), "")
	if diff := cmp.Diff(seen, b.Requests()); diff != "" {
		t.Error(diff)
	}
	r := seen[0]
	if r.API != V1 || r.Method != "POST" || r.Path != PathV1 || r.Host != "example.com" || r.Fault != "not found" ||
		r.Header.Get("User-Agent") != "gluon/test" || !strings.Contains(string(r.Body), nodeKey) {
		t.Errorf("recorded %+v", r)
	}
	if n := len(seen[1].Body); n != MaxRecordedBody {
		t.Errorf("%d bytes of the body recorded", n)
	}

	for i := range MaxRecorded {
		b.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", fmt.Sprintf("/%d", i), nil))
	}
	all := b.Requests()
	if len(all) != MaxRecorded || all[0].Path != "/0" || all[MaxRecorded-1].Path != fmt.Sprintf("/%d", MaxRecorded-1) {
		t.Errorf("%d requests kept, from %s to %s", len(all), all[0].Path, all[len(all)-1].Path)
	}
	if n := b.Counts().Other; n != MaxRecorded {
		t.Errorf("%d other requests counted", n)
	}
}

// do sends a valid v2 request through a real server and returns the response, with its body read.
func do(t *testing.T, c *http.Client, url string) (*http.Response, string, error) {
	t.Helper()
	resp, err := c.Post(url, "application/json", strings.NewReader(`{"domain":"ffxx","public_key":"`+nodeKey+`"}`))
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}
