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
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"wguplink/peerselector"
	"wguplink/testbed/httpfault"
	"wguplink/testbed/mqtt"
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

// heard is what a broker hears of one worker in one domain.
type heard struct {
	name   string
	peers  int
	online bool
}

// tell lets the broker hear of workers, each with data under its own name.
func tell(b *Broker, domain string, workers ...heard) {
	for _, w := range workers {
		b.Hear(StatusMessage(w.name, w.online))
		b.Hear(PeersMessage(domain, w.name, w.peers))
		b.Hear(DataMessage(domain, w.name, WorkerData{ExternalAddress: w.name, Port: 1}))
	}
}

func TestChoice(t *testing.T) {
	gw := func(name string, peers int, online bool) heard { return heard{name, peers, online} }
	four := map[string]int{"a": 1, "b": 4}
	places := map[string]string{"a": "MUC", "b": "Vienna"}
	tests := []struct {
		name     string
		weights  map[string]int
		workers  []heard
		other    []heard // of a second domain
		location string
		want     string // names in order of five requests
	}{
		{"round about", nil, []heard{gw("a", 0, true), gw("b", 0, true)}, nil, "", "a b a b a"},
		{"fewest peers", nil, []heard{gw("a", 9, true), gw("b", 7, true)}, nil, "", "b b a b a"},
		{"by weight", four, []heard{gw("a", 0, true), gw("b", 0, true)}, nil, "", "a b b b b"},
		// c is missing from the weights: its share is 1 of 5, though the shares add up to more than 1 then.
		{"weight missing", four, []heard{gw("c", 20, true), gw("b", 80, true)}, nil, "", "c b b b b"},
		{"offline", nil, []heard{gw("a", 0, false), gw("b", 50, true)}, nil, "", "b b b b b"},
		{"domain offline", nil, []heard{gw("a", Offline, true), gw("b", 50, true)}, nil, "", "b b b b b"},
		{"none online", nil, []heard{gw("a", 0, false), gw("b", Offline, true)}, nil, "", "- - - - -"},
		{"peers of other domains", nil, []heard{gw("a", 0, true), gw("b", 3, true)},
			[]heard{gw("a", 100, true)}, "", "b b b b b"},
		{"location", nil, []heard{gw("a", 50, true), gw("b", 0, true)}, nil, "MUC", "a a a a a"},
		{"location all offline", nil, []heard{gw("a", 0, false), gw("b", 0, true)}, nil, "MUC", "b b b b b"},
		{"location unknown", nil, []heard{gw("a", 0, true), gw("b", 0, true)}, nil, "Bremen", "a b a b a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New(Options{Domains: []string{"ffxx", "ffyy"}, Weights: tt.weights, Locations: places})
			tell(b, "ffxx", tt.workers...)
			tell(b, "ffyy", tt.other...)
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

// Each key goes out once, on the topic of all workers of its domain; after Close none does.
func TestPublish(t *testing.T) {
	for path, api := range map[string]API{PathV1: V1, PathV2: V2} {
		t.Run(api.String(), func(t *testing.T) {
			var published []mqtt.Message
			var registered []Registration
			b := New(Options{
				Domains: []string{"ffxx", "ffyy"},
				Publish: func(m mqtt.Message) error {
					published = append(published,
						m)
					return errors.New("no server")
				},
				OnRegister: func(r Registration) { registered = append(registered, r) },
			})
			tell(b, "ffxx", heard{"gw1", 0, true})
			if w := post(b, path, "ffxx", "MUC"); w.Code != 200 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if diff := cmp.Diff([]mqtt.Message{{Topic: "wireguard/ffxx/all", Payload: []byte(nodeKey)}},
				published); diff != "" {
				t.Error(diff)
			}
			want := Registration{API: api, Domain: "ffxx", Key: mustKey(nodeKey), Location: "MUC",
				From: "192.0.2.1:1234"}
			if api == V2 {
				want.Gateway = "gw1"
			}
			if diff := cmp.Diff([]Registration{want}, registered); diff != "" {
				t.Error(diff)
			}
			b.Close()
			b.Close()
			if w := post(b, path, "ffxx", ""); w.Code != 200 || len(published) != 1 {
				t.Errorf("after Close: status %d, %d published", w.Code, len(published))
			}
		})
	}
}

// Messages that make no sense change nothing.
func TestHear(t *testing.T) {
	b := New(Options{Domains: []string{"ffxx_city", "other"}, DomainPrefixes: []string{"ffxx_"}})
	tell(b, "ffxx_city", heard{"gw1", 3, true})
	for _, m := range []mqtt.Message{
		{Topic: "wireguard-metrics/ffxx_city/gw1/connected_peers", Payload: []byte("many")},
		{Topic: "wireguard-metrics/ffxx_city/gw1/load", Payload: []byte("7")},
		{Topic: "wireguard-metrics/ffxx_city/connected_peers", Payload: []byte("7")},
		{Topic: "wireguard-metrics/ffxx_moon/gw1/connected_peers", Payload: []byte("7")},
		{Topic: "wireguard-metrics/other/gw1/connected_peers", Payload: []byte("7")},
		{Topic: "wireguard-worker/gw1/status", Payload: []byte("")},
		{Topic: "wireguard-worker/gw1/ffxx_city/data", Payload: []byte("[]")},
		{Topic: "elsewhere"},
	} {
		b.Hear(m)
	}
	if got := b.Peers("ffxx_city", "gw1"); got != 3 {
		t.Errorf("%d peers", got)
	}
	if got := b.Peers("ffxx_city", "gw2"); got != Offline {
		t.Errorf("%d peers at a worker that was never heard of", got)
	}
	if diff := cmp.Diff([]string{"gw1"}, b.Online("ffxx_city")); diff != "" {
		t.Error(diff)
	}
	b.Hear(StatusMessage("gw1", false))
	if got := b.Online("ffxx_city"); got != nil {
		t.Errorf("online: %v", got)
	}
}

// A deaf broker takes keys and names no gateway.
func TestDeaf(t *testing.T) {
	var bus mqtt.Memory
	b := New(Options{Domains: []string{"ffxx"}, Publish: bus.Publish})
	if err := bus.Publish(StatusMessage("gw1", true)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(PeersMessage("ffxx", "gw1", 0)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(DataMessage("ffxx", "gw1", WorkerData{ExternalAddress: "gw1"})); err != nil {
		t.Fatal(err)
	}
	b.SetDeaf(true)
	if err := b.Listen(&bus); err != nil {
		t.Fatal(err)
	}
	if w := post(b, PathV1, "ffxx", ""); w.Code != 200 {
		t.Errorf("v1: status %d", w.Code)
	}
	if w := post(b, PathV2, "ffxx", ""); w.Code != 400 || !strings.Contains(w.Body.String(), noneOnline) {
		t.Errorf("v2: status %d, %s", w.Code, w.Body)
	}
	b.SetDeaf(false)
	if err := b.Listen(&bus); err != nil {
		t.Fatal(err)
	}
	if w := post(b, PathV2, "ffxx", ""); w.Code != 200 {
		t.Errorf("v2 after the subscription: status %d, %s", w.Code, w.Body)
	}
}

func TestLocations(t *testing.T) {
	places := map[string]string{"a": "Vienna", "b": "MUC", "c": "MUC", "d": ""}
	for _, tt := range []struct {
		serve  bool
		places map[string]string
		code   int
		body   string
	}{
		{true, places, 200, `{"locations":["MUC","Vienna"]}` + "\n"},
		{true, nil, 200, `{"locations":[]}` + "\n"},
		{false, places, 404, pageNotFound},
	} {
		b := New(Options{ServeLocations: tt.serve, Domains: []string{"ffxx"}, Locations: tt.places})
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
	b.SetFaults(httpfault.Status(404))
	post(b, PathV1, "ffxx", "")
	post(b, PathV2, strings.Repeat("x", MaxRecordedBody), "")
	if diff := cmp.Diff(seen, b.Requests()); diff != "" {
		t.Error(diff)
	}
	r := seen[0]
	if r.API != V1 || r.Method != "POST" || r.Path != PathV1 || r.Host != "example.com" || r.Fault != "status 404" ||
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
