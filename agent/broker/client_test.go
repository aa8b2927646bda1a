//go:build !nobroker

package broker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vector is one line of what the real broker answered.
type vector struct {
	name string
	answer
}

func vectors(t *testing.T) []vector {
	data, err := os.ReadFile("testdata/responses-main.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	for _, l := range strings.Split(string(data), "\n") {
		if l == "" {
			continue
		}
		v := vector{name: strings.TrimSpace(l[:35])}
		rest := l[35:]
		if err := json.Unmarshal([]byte(rest[:3]), &v.status); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		start := strings.IndexAny(rest, "{<")
		v.ctype, v.body = strings.TrimSpace(rest[3:start]), rest[start:]
		list = append(list, v)
	}
	if len(list) != 44 {
		t.Fatalf("%d vectors, want 44", len(list))
	}
	return list
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			w := newWAN()
			c := w.client(t, Options{OwnLink: netip.MustParseAddr(ownLink)}, "http://broker.invalid")
			routes := canned{}
			switch {
			case strings.Contains(v.name, "locations"):
				routes[pathLocations] = v.answer
			case strings.HasPrefix(v.name, "v1"):
				routes[pathV1] = v.answer
			default:
				routes[pathV2] = v.answer
			}
			w.serve(t, "broker.invalid", routes)
			switch {
			case strings.Contains(v.name, "locations"):
				if got, err := c.Locations(testContext(t)); got != nil || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			case v.status == 200 && strings.HasPrefix(v.name, "v1"):
				a := success(t, c, "v1", "http://broker.invalid")
				checkError(t, a.Fallback, Refused, "v2: status 404 Not Found, content type text/plain")
			case v.status == 200:
				a := success(t, c, "v2", "http://broker.invalid")
				if d := cmp.Diff(gateway(t, "gw2.example.org", "gw2.example.org:40002"), a.Peers[0], addrCmp,
					prefixCmp); d != "" || a.Fallback != nil {
					t.Error(d, a.Fallback)
				}
			case strings.Contains(v.body, saysNoGateway):
				a, err := c.Register(testContext(t), key(t, ownKey))
				if err != nil || a.API != "v2" || len(a.Peers) != 0 {
					t.Fatalf("got %+v, %v", a, err)
				}
				checkError(t, a.Fallback, Refused, "status 400 Bad Request", saysNoGateway)
			default:
				text := "content type text/html; charset=utf-8"
				if strings.HasPrefix(v.body, "{") {
					var e struct{ Error struct{ Message string } }
					if err := json.Unmarshal([]byte(v.body), &e); err != nil || e.Error.Message == "" {
						t.Fatal(err)
					}
					text = `: "` + e.Error.Message + `"`
				}
				// A 500 for v2 is hidden by the 404 for v1 that follows, so the kind is the same everywhere.
				failure(t, c, Refused, http.StatusText(v.status), text)
			}
		})
	}
}

func TestRequests(t *testing.T) {
	type seen struct {
		Method, Path, Body string
		Header             http.Header
	}
	var mu sync.Mutex
	var got []seen
	w := newWAN()
	w.serve(t, "broker.invalid", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Header.Del("Content-Length")
		mu.Lock()
		got = append(got, seen{r.Method, r.URL.Path, string(body), r.Header})
		mu.Unlock()
		canned{"x/" + pathV1: ok(v1OK), "x/" + pathLocations: ok(`{"locations":["MUC","Vienna"]}`)}.ServeHTTP(rw, r)
	}))
	c := w.client(t, Options{Location: "MUC", Header: http.Header{"User-Agent": {"gluon/1 (b)"},
		"X-Board-Name": {"b\r\nEvil: 1"}, "X-Empty": {"\x00"}}},
		"http://broker.invalid/x/")
	success(t, c, "v1", "http://broker.invalid/x")
	names, err := c.Locations(testContext(t))
	if d := cmp.Diff([]string{"MUC", "Vienna"}, names); d != "" || err != nil {
		t.Error(d, err)
	}
	header := func(more ...string) http.Header {
		h := http.Header{"User-Agent": {"gluon/1 (b)"}, "X-Board-Name": {"bEvil: 1"}, "Accept": {"application/json"},
			"Accept-Encoding": {"identity"}, "Connection": {"close"}}
		if len(more) > 0 {
			h.Set("Content-Type", "application/json")
		}
		return h
	}
	want := []seen{
		{"POST", "/x/" + pathV2, `{"domain":"ffxx_city","public_key":"` + ownKey + `","location":"MUC"}`, header("")},
		{"POST", "/x/" + pathV1, `{"domain":"ffxx_city","public_key":"` + ownKey + `"}`, header("")},
		{"GET", "/x/" + pathLocations, "", header()},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestDial shows that each connection is made by Dial, although the environment names proxies (TestMain), and ends with
// the call.
func TestDial(t *testing.T) {
	w := newWAN()
	states := make(chan http.ConnState, 100)
	s := httptest.NewUnstartedServer(canned{pathV1: ok(v1OK)})
	s.Config.ConnState = func(_ net.Conn, s http.ConnState) { states <- s }
	s.Start()
	defer s.Close()
	w.add("broker.invalid:80", s.Listener.Addr().String())
	c := w.client(t, Options{}, "http://dead.invalid:8080", "http://broker.invalid")
	success(t, c, "v1", "http://broker.invalid")
	opened, closed := 0, 0
	for closed < 2 {
		select {
		case st := <-states:
			switch st {
			case http.StateNew:
				opened++
			case http.StateClosed:
				closed++
			}
		case <-testContext(t).Done():
			t.Fatalf("%d connections closed of %d", closed, opened)
		}
	}
	want := []string{"dead.invalid:8080", "broker.invalid:80", "broker.invalid:80"}
	if d := cmp.Diff(want, w.dials()); d != "" || opened != 2 {
		t.Errorf("%d opened; %s", opened, d)
	}
}

func TestFallback(t *testing.T) {
	for _, tt := range []struct {
		name     string
		v2       answer
		kind     Kind
		fallback string
	}{
		{"v2 500", failing(500, "could not get gateway data"), Unreachable,
			`v2: status 500 Internal Server Error: "could not get gateway data"`},
		{"v2 503", answer{status: 503}, Unreachable, `v2: status 503 Service Unavailable, content type (none)`},
		{"v2 400", failing(400, "no gateway\n\x1b[31m online"), Refused,
			`v2: status 400 Bad Request: "no gateway ?[31m online"`},
		{"v2 empty", answer{status: 200}, Malformed,
			`v2: status 200, content type (none): the answer is not JSON but empty`},
		{"v2 204", answer{status: 204}, Malformed,
			`v2: status 204, content type (none): the answer is not JSON but empty`},
		{"v2 portal", answer{status: 200, ctype: "text/html", body: "<html>login"}, Malformed,
			`content type text/html: the answer is not JSON, it starts with "<html>login"`},
		{"v2 hostile", ok(endpoint(map[string]string{"Port": "0"})), Malformed,
			`v2: Endpoint.Port is 0, want a port from 1 to 65535`},
		{"v2 own link", ok(endpoint(map[string]string{"AllowedIPs": `["` + ownLink + `"]`})), Malformed,
			`another address than our own`},
		{"v2 redirect", answer{status: 302, header: http.Header{"Location": {"/login"}}}, Malformed,
			`status 302 with redirect to "/login"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			w.serve(t, "broker.invalid", canned{pathV2: tt.v2, pathV1: ok(v1OK)})
			c := w.client(t, Options{OwnLink: netip.MustParseAddr(ownLink)}, "http://broker.invalid")
			a := success(t, c, "v1", "http://broker.invalid")
			checkError(t, a.Fallback, tt.kind, tt.fallback)
		})
	}
}

func TestOwnChoice(t *testing.T) {
	w := newWAN()
	w.serve(t, "broker.invalid", canned{pathV2: ok(endpoint(nil)), pathV1: ok(v1OK)})
	w.serve(t, "no.invalid", canned{pathV2: ok(endpoint(nil)), pathV1: failing(400, "unknown domain")})
	a := success(t, w.client(t, Options{OwnChoice: true}, "http://broker.invalid"), "v1", "http://broker.invalid")
	if a.Fallback != nil {
		t.Errorf("v2 was asked: %v", a.Fallback)
	}
	failure(t, w.client(t, Options{OwnChoice: true}, "http://no.invalid"), Refused, "unknown domain")
}

func TestNextBroker(t *testing.T) {
	w := newWAN()
	w.serve(t, "b.invalid", canned{pathV2: failing(400, "two"), pathV1: failing(500, "one")})
	w.serve(t, "c.invalid", canned{pathV2: ok(endpoint(nil)), pathLocations: ok(`{"locations":[]}`)})
	c := w.client(t, Options{}, "http://a.invalid", "http://b.invalid", "http://c.invalid")
	a := success(t, c, "v2", "http://c.invalid")
	checkError(t, a.Fallback, Refused,
		`broker http://b.invalid: refused: v2: status 400 Bad Request: "two"; v1: status 500 Internal Server Error: "one"; `,
		`broker http://a.invalid: unreachable: lookup a.invalid:80: no such host`)
	// a could not be connected to, so there is no second try with v1.
	want := []string{"a.invalid:80", "b.invalid:80", "b.invalid:80", "c.invalid:80"}
	if d := cmp.Diff(want, w.dials()); d != "" {
		t.Error(d)
	}

	c = w.client(t, Options{Intn: func(n int64) int64 { return n - 1 }}, "http://a.invalid",
		"http://b.invalid", "http://c.invalid")
	if a := success(t, c, "v2", "http://c.invalid"); a.Fallback != nil {
		t.Error(a.Fallback)
	}
	if _, err := c.Locations(testContext(t)); err != nil {
		t.Error(err)
	}
	c = w.client(t, Options{Intn: func(n int64) int64 { return 1 }}, "http://a.invalid", "http://b.invalid")
	failure(t, c, Refused, "broker http://b.invalid: refused", "broker http://a.invalid: unreachable")
	if d := cmp.Diff([]string{"b.invalid:80", "b.invalid:80", "a.invalid:80"}, w.dials()[6:]); d != "" {
		t.Error(d)
	}
}

// TestRandomStart draws the start from crypto/rand: each of three must come first now and then.
func TestRandomStart(t *testing.T) {
	c, err := New(Options{Bases: bases(t, "http://a", "http://b", "http://c"), Dial: newWAN().dial})
	if err != nil {
		t.Fatal(err)
	}
	count := [3]int{}
	for range 3000 {
		o := c.order()
		if o[1] != (o[0]+1)%3 || o[2] != (o[0]+2)%3 {
			t.Fatalf("order %v", o)
		}
		count[o[0]]++
	}
	for i, n := range count {
		if n < 800 || n > 1200 { // seven standard deviations
			t.Errorf("broker %d comes first %d times of 3000", i, n)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	later := func(a answer, seconds string) answer {
		a.header = http.Header{"Retry-After": {seconds}}
		return a
	}
	var a, b2 changing
	a.set(later(failing(429, "slow down"), "90"))
	b2.set(failing(500, "x"))
	w := newWAN()
	w.serve(t, "a.invalid", &a)
	b := http.NewServeMux()
	b.Handle("/"+pathV2, &b2)
	b.Handle("/", canned{pathV1: later(answer{status: 503}, "30")})
	w.serve(t, "b.invalid", b)
	c := w.client(t, Options{Now: func() time.Time { return now }}, "http://a.invalid", "http://b.invalid")

	e := failure(t, c, Refused, `broker http://a.invalid: refused: status 429 Too Many Requests: "slow down"`,
		"broker http://b.invalid: unreachable")
	if e.RetryAfter != 30*time.Second || a.asked() != 1 {
		t.Errorf("RetryAfter %v, asked %d times", e.RetryAfter, a.asked())
	}
	// Too early: no broker is asked, and the reason is still known.
	now = now.Add(10 * time.Second)
	dials := len(w.dials())
	e = failure(t, c, Refused, "slow down", "broker http://b.invalid: unreachable")
	if e.RetryAfter != 20*time.Second || len(w.dials()) != dials {
		t.Errorf("RetryAfter %v, %d dials", e.RetryAfter, len(w.dials())-dials)
	}
	// The second may be asked again, the first not yet.
	now = now.Add(20 * time.Second)
	b2.set(ok(endpoint(nil)))
	checkError(t, success(t, c, "v2", "http://b.invalid").Fallback, Refused, "slow down")
	if a.asked() != 1 {
		t.Errorf("asked %d times", a.asked())
	}
	now = now.Add(60 * time.Second)
	a.set(ok(endpoint(nil)))
	success(t, c, "v2", "http://a.invalid")
}

// TestRetryAfterClockBack: a clock that goes back does not prolong the wait.
func TestRetryAfterClockBack(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	var a changing
	a.set(answer{status: 503, header: http.Header{"Retry-After": {"60"}}})
	w := newWAN()
	w.serve(t, "a.invalid", &a)
	c := w.client(t, Options{Now: func() time.Time { return now }}, "http://a.invalid")
	failure(t, c, Unreachable, "status 503")
	now = now.Add(-24 * time.Hour)
	a.set(ok(endpoint(nil)))
	success(t, c, "v2", "http://a.invalid")
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0}, {"0", "", 0}, {"7", "", 7 * time.Second}, {" 7 ", "", 7 * time.Second}, {"3600", "", time.Hour},
		{"3601", "", time.Hour},
		{"99999999999999999999999", "", time.Hour}, {"-7", "", 0}, {"7s", "", 0}, {"soon", "", 0},
		{at(time.Minute), "", time.Minute}, {at(-time.Minute), "", 0}, {at(100 * time.Hour), "", time.Hour},
		// Our clock is a day off; the server's own tells the difference.
		{at(24*time.Hour + time.Minute), at(24 * time.Hour), time.Minute},
		{at(time.Minute), "nonsense", time.Minute},
	} {
		h := http.Header{"Retry-After": {tt.value}}
		if tt.date != "" {
			h.Set("Date", tt.date)
		}
		if got := retryAfter(textproto.MIMEHeader(h), now); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.value, got, tt.want)
		}
	}
}

func TestLocations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer answer
		want   []string
		kind   Kind
		text   string
	}{
		{"list", ok(`{"locations":["MUC"]}`), []string{"MUC"}, 0, ""},
		{"404 JSON", failing(404, "x"), nil, 0, ""},
		{"HTML", answer{status: 200, ctype: "Text/HTML;charset=x", body: "<p>"}, nil, 0, ""},
		{"500", failing(500, "x"), nil, Unreachable, "status 500"},
		{"wrong type", ok(`{"locations":{}}`), nil, Malformed, "locations is {}, want a list of names"},
		{"too big", ok(`{"locations":["` + strings.Repeat("x", maxBody) + `"]}`), nil, Malformed,
			"status 200 with more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			w.serve(t, "broker.invalid", canned{pathLocations: tt.answer})
			got, err := w.client(t, Options{}, "http://broker.invalid").Locations(testContext(t))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if tt.text == "" && err != nil {
				t.Error(err)
			} else if tt.text != "" {
				checkError(t, err, tt.kind, tt.text, "broker http://broker.invalid: ")
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	w := newWAN()
	w.serve(t, "a.invalid", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server watch for the client's going
		cancel()
		<-r.Context().Done()
	}))
	c := w.client(t, Options{}, "http://a.invalid", "http://b.invalid")
	_, err := c.Register(ctx, key(t, ownKey))
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "b.invalid") {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff([]string{"a.invalid:80"}, w.dials()); d != "" {
		t.Error(d)
	}
}

func TestNewBad(t *testing.T) {
	dial := newWAN().dial
	good := bases(t, "https://broker.example.org")
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Dial: dial}, "no URL"},
		{Options{Bases: good}, "no dial function"},
		{Options{Bases: good, Dial: dial, CAFile: PinOnly}, "without a pin"},
		{Options{Bases: []*url.URL{nil}, Dial: dial}, "empty URL"},
		{Options{Bases: bases(t, "ftp://x"), Dial: dial}, `"ftp://x"`},
		{Options{Bases: bases(t, "broker.example.org"), Dial: dial}, `"broker.example.org"`},
		{Options{Bases: bases(t, "https://:443"), Dial: dial}, `"https://:443"`},
		{Options{Bases: bases(t, "https://x/?y"), Dial: dial}, `"https://x/?y"`},
		{Options{Bases: bases(t, "https://x/#y"), Dial: dial}, `"https://x/#y"`},
		{Options{Bases: bases(t, "https://user:secret@x/"), Dial: dial}, `user name`},
	} {
		_, err := New(tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
