//go:build !nobroker

package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wguplink/peerselector"

	"wguplink/agent/signify"
)

// configServer answers the path /config with what respond makes of the request's nonce, and keeps the requests.
type configServer struct {
	respond func(nonce string) string

	mu   sync.Mutex
	uris []string
}

func (c *configServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.uris = append(c.uris, r.Method+" "+r.RequestURI)
	c.mu.Unlock()
	if r.URL.Path != "/config" {
		http.NotFound(w, r)
		return
	}
	answer{status: 200, ctype: "text/plain", body: c.respond(r.URL.Query().Get("nonce"))}.write(w)
}

func (c *configServer) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.uris...)
}

// good signs a plain configuration with the nonce asked for.
func (s signer) good(nonce string) string { return s.sign(network("nonce", `"`+nonce+`"`)) }

// parker makes one that trusts newSigner(1), with the same defaults as client.
func (w *wan) parker(t testing.TB, o ParkerOptions, urls ...string) *Parker {
	t.Helper()
	o.Bases, o.Dial = bases(t, urls...), w.dial
	if o.SigningKey == (signify.PublicKey{}) {
		o.SigningKey = newSigner(1).key()
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Intn == nil {
		o.Intn = func(int64) int64 { return 0 }
	}
	p, err := NewParker(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func configured(t *testing.T, p *Parker, base string) Answer {
	t.Helper()
	a, err := p.Register(testContext(t), key(t, ownKey))
	if err != nil {
		t.Fatal(err)
	}
	if a.Network == nil || a.API != "parker" || a.Broker != base || a.Peers != nil {
		t.Fatalf("got %+v, want that of %s", a, base)
	}
	return a
}

func unconfigured(t *testing.T, p *Parker, kind Kind, texts ...string) *Error {
	t.Helper()
	a, err := p.Register(testContext(t), key(t, ownKey))
	if err == nil || a.API != "" || a.Network != nil {
		t.Fatalf("got %+v, %v", a, err)
	}
	checkError(t, err, kind, texts...)
	var e *Error
	errors.As(err, &e)
	return e
}

var ignoreRaw = cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Config" || p.String() == "Saved" },
	cmp.Ignore())

// TestParkerRecorded replays the recorded answers: the good ones mean what they say, the bad ones nothing.
func TestParkerRecorded(t *testing.T) {
	for _, name := range []string{
		"response-ffbs", "response-wgkex-parker", "bad-algorithm", "bad-flipped-byte", "bad-key-number",
		"bad-no-newline-signed", "bad-signature",
		"bad-truncated-signature", "bad-unsigned",
	} {
		t.Run(name, func(t *testing.T) {
			response := testfile(t, name)
			w := newWAN()
			w.serve(t, "a.invalid", &configServer{respond: func(string) string { return string(response) }})
			p := w.parker(t, ParkerOptions{SigningKey: recordedKey(t), Nonce: func() string { return testNonce }},
				"http://a.invalid/config")
			if strings.HasPrefix(name, "bad") {
				unconfigured(t, p, Malformed, "broker http://a.invalid/config: malformed answer: ", "sign")
				return
			}
			a := configured(t, p, "http://a.invalid/config")
			if d := cmp.Diff(recorded(t, name), a.Network, addrCmp, prefixCmp, ignoreRaw); d != "" ||
				a.Fallback != nil {
				t.Error(d, a.Fallback)
			}
			if want := response[:bytes.LastIndexByte(response, '\n')+1]; !bytes.Equal(a.Network.Config, want) {
				t.Errorf("Config is %q", a.Network.Config)
			}
			// The same answer to another request is a replay.
			p = w.parker(t, ParkerOptions{SigningKey: recordedKey(t)}, "http://a.invalid/config")
			unconfigured(t, p, Malformed, `nonce is "`+testNonce+`", want "`,
				"is this an old answer, or one for another node?")
		})
	}
}

// TestParkerRequest compares the request line byte by byte with the one of the original's script.
func TestParkerRequest(t *testing.T) {
	plus, err := peerselector.Key{}, error(nil)
	if err = plus.UnmarshalText([]byte("+++++/////+++++/////+++++/////+++++/////+A8=")); err != nil {
		t.Fatal(err)
	}
	mtu := func(n int, err error) func() (int, error) { return func() (int, error) { return n, err } }
	const nonce = "00112233445566778899aabbccddeeff"
	own := "pubkey=NYgkMi8bB5pSoJ4DKBlwXV2TEuCyZ2I1tmjEyjeBoEc=&nonce=" + nonce
	for _, tt := range []struct {
		name, url string
		key       string
		o         ParkerOptions
		want      string
	}{
		{"plain", "http://a.invalid/config", ownKey, ParkerOptions{Version: "v2023.2.4-1", V6MTU: mtu(1500, nil)},
			"/config?" + own + "&v6mtu=1500&version=v2023.2.4-1"},
		{"plus and slash", "http://a.invalid/config", plus.String(), ParkerOptions{Version: "1", V6MTU: mtu(1492, nil)},
			"/config?pubkey=%2B%2B%2B%2B%2B/////%2B%2B%2B%2B%2B/////%2B%2B%2B%2B%2B/////%2B%2B%2B%2B%2B/////%2BA8=&nonce=" + nonce + "&v6mtu=1492&version=1"},
		{"wgkex", "http://a.invalid:80/api/v3/config", ownKey, ParkerOptions{Version: "1"},
			"/api/v3/config?" + own + "&v6mtu=1280&version=1"},
		{"no version", "http://a.invalid/config", ownKey, ParkerOptions{V6MTU: mtu(1280, nil)},
			"/config?" + own + "&v6mtu=1280&version="},
		{"no IPv6", "http://a.invalid/config", ownKey, ParkerOptions{Version: "1",
			V6MTU: mtu(9000, errors.New("no such file"))}, "/config?" + own + "&v6mtu=1280&version=1"},
		{"limits", "http://a.invalid/config", ownKey, ParkerOptions{Version: "1", Ingress: 12000, Egress: 1200},
			"/config?" + own + "&v6mtu=1280&version=1&tc_ingress=12000&tc_egress=1200"},
		{"limit in", "http://a.invalid/config", ownKey, ParkerOptions{Version: "1", Ingress: 4294967295},
			"/config?" + own + "&v6mtu=1280&version=1&tc_ingress=4294967295&tc_egress="},
		{"limit out", "http://a.invalid/config", ownKey, ParkerOptions{Version: "1", Egress: 1},
			"/config?" + own + "&v6mtu=1280&version=1&tc_ingress=&tc_egress=1"},
		{"raw", "http://a.invalid/config", ownKey, ParkerOptions{Version: "2.9+exp~2026-01-02_(a):b/c@d,e=f?!$'*"},
			"/config?" + own + "&v6mtu=1280&version=2.9+exp~2026-01-02_(a):b/c@d,e=f?!$'*"},
		{"escaped", "http://a.invalid/config", ownKey,
			ParkerOptions{Version: "a b&c#d%e\r\n\x00\x7f\"<>\\^`{|};[]\u00e4"},
			"/config?" + own +
				"&v6mtu=1280&version=a%20b%26c%23d%25e%0D%0A%00%7F%22%3C%3E%5C%5E%60%7B%7C%7D%3B%5B%5D%C3%A4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := make(chan string, 1)
			w := newWAN()
			w.serve(t, "a.invalid", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				got <- r.Method + " " + r.RequestURI + " " + r.Header.Get("Accept") + " " + r.Header.Get("User-Agent")
				answer{status: 200, body: newSigner(1).good(nonce)}.write(rw)
			}))
			tt.o.Nonce, tt.o.Header = func() string { return nonce }, http.Header{"User-Agent": {"gluon/1"}}
			p := w.parker(t, tt.o, tt.url)
			if _, err := p.Register(testContext(t), key(t, tt.key)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff("GET "+tt.want+" */* gluon/1", <-got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestParkerNonce: each request has another nonce, of 32 hexadecimal digits.
func TestParkerNonce(t *testing.T) {
	server := &configServer{respond: func(string) string { return "x" }}
	w := newWAN()
	w.serve(t, "a.invalid", server)
	p := w.parker(t, ParkerOptions{}, "http://a.invalid/config", "http://a.invalid:80/config")
	for range 3 {
		unconfigured(t, p, Malformed)
	}
	seen := make(map[string]bool)
	for _, uri := range server.asked() {
		m := regexp.MustCompile("&nonce=([0-9a-f]{32})&").FindStringSubmatch(uri)
		if m == nil || seen[m[1]] {
			t.Fatalf("%q after %v", uri, seen)
		}
		seen[m[1]] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d requests", len(seen))
	}
	p = w.parker(t, ParkerOptions{Nonce: func() string { return "" }}, "http://a.invalid/config")
	unconfigured(t, p, Unreachable, "the kernel gives no random numbers")
	if n := len(server.asked()); n != 6 {
		t.Errorf("asked %d times without a nonce", n)
	}
}

// TestParkerNextServer: the second server takes over from a first one with any fault, and the reason is known.
func TestParkerNextServer(t *testing.T) {
	s := newSigner(1)
	var old string // an answer to an earlier request
	plain := func(body string) http.Handler {
		return canned{"config": answer{status: 200, ctype: "text/plain", body: body}}
	}
	respond := func(f func(nonce string) string) http.Handler { return &configServer{respond: f} }
	for _, tt := range []struct {
		name   string
		server http.Handler // nil: there is none
		kind   Kind
		want   string
	}{
		{"none", nil, Unreachable, "no such host"},
		{"empty 400", canned{"config": answer{status: 400}}, Refused, "status 400 Bad Request, content type (none)"},
		{"wgkex 400", canned{"config": failing(400, "Not a valid Wireguard public key\n\x1b")}, Refused,
			`status 400 Bad Request: "Not a valid Wireguard public key ?"`},
		{"wgkex 500", canned{"config": failing(500, "no prefix left")}, Unreachable,
			`status 500 Internal Server Error: "no prefix left"`},
		{"404", canned{}, Refused, "status 404 Not Found"},
		{"empty", plain(""), Malformed,
			"status 200, content type text/plain: the answer is not signed: it has one line only"},
		{"portal", canned{"config": answer{status: 200, ctype: "text/html", body: "<html>\n<p>\n</html>\n"}}, Malformed,
			"status 200, content type text/html: the answer is not signed: the last line has 7 characters"},
		{"portal elsewhere", canned{"config": answer{status: 302,
			header: http.Header{"Location": {"http://portal.invalid/"}}}}, Malformed,
			`status 302 with redirect to "http://portal.invalid/"`},
		{"other server", canned{"config": answer{status: 307,
			header: http.Header{"Location": {"http://b.invalid/config"}}}}, Malformed,
			"only http://a.invalid is followed"},
		{"forged", respond(newSigner(2).good), Malformed,
			"signed by key 0201020304050607, configured is 0101020304050607"},
		{"forged with the number", respond(signer{s.number, newSigner(2).private}.good), Malformed,
			"is not that of key 0101020304050607"},
		{"changed", respond(func(nonce string) string { return strings.Replace(s.good(nonce), "1375", "1376", 1) }),
			Malformed, "forged, or changed on the way"},
		{"replayed", respond(func(nonce string) string {
			if old == "" {
				old = s.good("00000000000000000000000000000000")
			}
			return old
		}), Malformed, `nonce is "00000000000000000000000000000000", want "`},
		{"signature cut off", respond(func(nonce string) string { return s.good(nonce)[:len(network())+50] }),
			Malformed, "was it cut off?"},
		{"text cut off", respond(func(nonce string) string { return s.good(nonce)[:200] }), Malformed,
			"the answer is not signed: it has one line only"},
		{"unsigned", respond(func(nonce string) string { return network("nonce", `"`+nonce+`"`) }), Malformed,
			"the answer is not signed: it has one line only"},
		{"signed nonsense", respond(func(string) string { return s.sign("x\n") }), Malformed,
			`status 200, content type text/plain: the answer is not JSON, it starts with "x "`},
		{"signed and wrong", respond(func(nonce string) string {
			return s.sign(network("nonce", `"`+nonce+`"`, "mtu",
				`"x"`))
		}), Malformed, `mtu is "x", want a whole number`},
		{"our own key", respond(func(nonce string) string {
			return s.sign(network("nonce", `"`+nonce+`"`, "concentrators", "["+conc("pubkey", `"`+ownKey+`"`)+"]"))
		}), Malformed, "concentrators[0].pubkey is \"" + ownKey + "\", want another key than our own"},
		{"over 64 KiB", respond(func(nonce string) string {
			return s.sign(network("nonce", `"`+nonce+`"`, "x", `"`+strings.Repeat("x", maxBody)+`"`))
		}), Malformed, "status 200 with more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			if tt.server != nil {
				w.serve(t, "a.invalid", tt.server)
			}
			w.serve(t, "b.invalid", respond(s.good))
			p := w.parker(t, ParkerOptions{}, "http://a.invalid/config", "http://b.invalid/config")
			a := configured(t, p, "http://b.invalid/config")
			checkError(t, a.Fallback, tt.kind, "broker http://a.invalid/config: ", tt.want)
			if d := cmp.Diff(parsed(t), a.Network, addrCmp, prefixCmp, ignoreRaw); d != "" {
				t.Error(d)
			}
			unconfigured(t, w.parker(t, ParkerOptions{}, "http://a.invalid/config"), tt.kind, tt.want)
		})
	}
}

// TestParkerLimit: an answer of just 64 KiB is good.
func TestParkerLimit(t *testing.T) {
	s := newSigner(1)
	w := newWAN()
	w.serve(t, "a.invalid", &configServer{respond: func(nonce string) string {
		plain := s.sign(network("nonce", `"`+nonce+`"`, "x", `""`))
		return s.sign(network("nonce", `"`+nonce+`"`, "x", `"`+strings.Repeat("x", maxBody-len(plain))+`"`))
	}})
	a := configured(t, w.parker(t, ParkerOptions{}, "http://a.invalid/config"), "http://a.invalid/config")
	if n := len(a.Network.Config); n != maxBody-100 {
		t.Errorf("signed text of %d bytes", n)
	}
}

// TestParkerHang: a server that never answers, or never ends, costs one timeout.
func TestParkerHang(t *testing.T) {
	s := newSigner(1)
	w := newWAN()
	w.serve(t, "silent.invalid", http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request) {
		<-r.Context().Done()
	}))
	w.serve(t, "slow.invalid", http.HandlerFunc(drip))
	w.raw(t, "cut.invalid", func(conn *net.TCPConn) {
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n%s", s.good(testNonce)[:300])
	})
	w.serve(t, "b.invalid", &configServer{respond: s.good})
	p := w.parker(t, ParkerOptions{Timeout: time.Second}, "http://silent.invalid/config", "http://slow.invalid/config",
		"http://cut.invalid/config", "http://b.invalid/config")
	a := configured(t, p, "http://b.invalid/config")
	checkError(t, a.Fallback, Unreachable, "http://silent.invalid/config: unreachable: no complete answer within 1s",
		"http://slow.invalid/config: unreachable: no complete answer within 1s",
		"http://cut.invalid/config: unreachable: the answer broke off after 300 bytes")
}

func TestParkerCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	w := newWAN()
	w.serve(t, "a.invalid", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	p := w.parker(t, ParkerOptions{}, "http://a.invalid/config", "http://b.invalid/config")
	if _, err := p.Register(ctx, key(t, ownKey)); !errors.Is(err, context.Canceled) ||
		strings.Contains(err.Error(), "b.invalid") {
		t.Errorf("got %v", err)
	}
	if d := cmp.Diff([]string{"a.invalid:80"}, w.dials()); d != "" {
		t.Error(d)
	}
}

// TestParkerRedirect: on the same server a redirect is followed, with the query that it names.
func TestParkerRedirect(t *testing.T) {
	s := newSigner(1)
	w := newWAN()
	w.serve(t, "a.invalid", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/config" {
			http.Redirect(rw, r, "/api/v3/config?"+r.URL.RawQuery, http.StatusPermanentRedirect)
			return
		}
		answer{status: 200, body: s.good(r.URL.Query().Get("nonce"))}.write(rw)
	}))
	configured(t, w.parker(t, ParkerOptions{}, "http://a.invalid/config"), "http://a.invalid/config")
}

func TestParkerNotRegistered(t *testing.T) {
	s := newSigner(1)
	unknown := func(retry string) *configServer {
		return &configServer{respond: func(nonce string) string {
			return s.sign(network("nonce", `"`+nonce+`"`, "id",
				"", "retry", retry))
		}}
	}
	a, b := unknown("300"), unknown("7")
	w := newWAN()
	w.serve(t, "a.invalid", a)
	w.serve(t, "b.invalid", b)
	w.serve(t, "day.invalid", unknown("86400"))
	w.serve(t, "busy.invalid", canned{"config": answer{status: 503, header: http.Header{"Retry-After": {"10"}}}})

	p := w.parker(t, ParkerOptions{}, "http://a.invalid/config", "http://b.invalid/config")
	e := unconfigured(t, p, NotRegistered,
		"broker http://a.invalid/config: not registered yet: the server does not know our key yet, ask again in 5m0s")
	if e.RetryAfter != 5*time.Minute || len(b.asked()) != 0 {
		t.Errorf("RetryAfter %v; b was asked %q", e.RetryAfter, b.asked())
	}
	// It may be asked again at once, if there is a reason.
	unconfigured(t, p, NotRegistered)
	if len(a.asked()) != 2 {
		t.Errorf("a was asked %q", a.asked())
	}
	// Servers that failed before do not change when to come back.
	p = w.parker(t, ParkerOptions{}, "http://none.invalid/config", "http://busy.invalid/config",
		"http://a.invalid/config")
	e = unconfigured(t, p, NotRegistered, "broker http://a.invalid/config: not registered yet",
		"broker http://none.invalid/config: unreachable", "status 503")
	if e.RetryAfter != 5*time.Minute {
		t.Errorf("RetryAfter %v", e.RetryAfter)
	}
	e = unconfigured(t, w.parker(t, ParkerOptions{}, "http://day.invalid/config"), NotRegistered, "ask again in 1h0m0s")
	if e.RetryAfter != MaxRetryAfter {
		t.Errorf("RetryAfter %v", e.RetryAfter)
	}
	// An unsigned answer cannot send us away.
	w.serve(t, "forged.invalid", &configServer{respond: func(nonce string) string {
		return newSigner(2).sign(network("nonce", `"`+nonce+`"`, "id", ""))
	}})
	unconfigured(t, w.parker(t, ParkerOptions{}, "http://forged.invalid/config"), Malformed, "signed by key")
}

func TestParkerRestore(t *testing.T) {
	s := newSigner(1)
	w := newWAN()
	w.serve(t, "a.invalid", &configServer{respond: func(nonce string) string { return s.good(nonce) + "\n" }})
	p := w.parker(t, ParkerOptions{}, "http://a.invalid/config")
	fresh := configured(t, p, "http://a.invalid/config")
	saved := bytes.Clone(fresh.Network.Saved)

	// Another process, which is told the same.
	p = w.parker(t, ParkerOptions{}, "http://b.invalid/config", "http://a.invalid/config")
	again, err := p.Restore(saved, key(t, ownKey))
	if err != nil {
		t.Fatal(err)
	}
	want := fresh
	n := *fresh.Network
	n.Time, want.Network = time.Time{}, &n
	if d := cmp.Diff(want, again, addrCmp, prefixCmp); d != "" {
		t.Error(d)
	}
	if again, err = p.Restore(again.Network.Saved, key(t, ownKey)); err != nil || again.Network.ID != "5" {
		t.Errorf("restored twice: %v", err)
	}
	// A server that is not configured any more is not named.
	if again, err = w.parker(t, ParkerOptions{}, "http://b.invalid/config").Restore(saved,
		key(t, ownKey)); err != nil || again.Broker != "" {
		t.Errorf("got %q, %v", again.Broker, err)
	}

	line, response, _ := strings.Cut(string(saved), "\n")
	words := strings.Split(line, " ") // format, version, nonce, key, URL
	head := func(i int, v string) string {
		c := append([]string(nil), words...)
		c[i] = v
		return strings.Join(c, " ") + "\n" + response
	}
	unknown := fmt.Sprintf("%s %s %s %s\n%s", savedFormat, testNonce, ownKey, words[4], s.sign(network("id", "")))
	for _, tt := range []struct{ name, saved, want string }{
		{"empty", "", `its first line is not one of "wguplink-parker 1"`},
		{"head alone", line, "its first line is not one of"},
		{"head and newline", line + "\n", "the answer is not signed"},
		{"response alone", response, "its first line is not one of"},
		{"other format", head(0, "x"), "its first line is not one of"},
		{"other version", head(1, "2"), "its first line is not one of"},
		{"a word more", head(4, words[4]+" x"), "its first line is not one of"},
		{"other nonce", head(2, strings.Repeat("0", 32)), `nonce is "` + words[2] + `", want "`},
		{"no nonce", head(2, ""), `nonce is "` + words[2] + `", want ""`},
		{"control characters", head(2, "\x1b[31m\u202e"), "nonce is"},
		{"other key", head(3, gwKey), "it is for another key than ours"},
		{"changed", strings.Replace(string(saved), "1375", "1376", 1), "forged, or changed on the way"},
		{"cut off", string(saved[:len(saved)-20]), "was it cut off?"},
		{"half", string(saved[:len(saved)/2]), "the answer is not signed"},
		{"zeros", string(make([]byte, len(saved))), "its first line is not one of"},
		{"not registered", unknown, "id is missing"},
		{"large", string(saved) + strings.Repeat("\n", maxBody), "more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := p.Restore([]byte(tt.saved), key(t, ownKey))
			checkText(t, err, "saved configuration: ")
			checkText(t, err, tt.want)
			if a.Network != nil {
				t.Errorf("got %+v", a)
			}
		})
	}
	if _, err := p.Restore(saved, key(t, gwKey)); err == nil {
		t.Error("restored for another key")
	}
	if _, err := w.parker(t, ParkerOptions{SigningKey: newSigner(2).key()}, "http://a.invalid/config").Restore(saved,
		key(t, ownKey)); err == nil {
		t.Error("restored though the network's key has changed")
	} else {
		checkText(t, err, "signed by key 0101020304050607, configured is 0201020304050607")
	}
}

func TestParkerBad(t *testing.T) {
	dial, k := newWAN().dial, newSigner(1).key()
	for _, tt := range []struct {
		o    ParkerOptions
		want string
	}{
		{ParkerOptions{Dial: dial, Bases: bases(t, "http://a/config")}, "no signing key given; `option config_pubkey`"},
		{ParkerOptions{Dial: dial, SigningKey: k}, "no URL"},
		{ParkerOptions{SigningKey: k, Bases: bases(t, "http://a/config")}, "no dial function"},
		{ParkerOptions{Dial: dial, SigningKey: k, Bases: bases(t, "http://a/config?x=y")}, `"http://a/config?x=y"`},
		{ParkerOptions{Dial: dial, SigningKey: k, Bases: bases(t, "a/config")}, `"a/config"`},
	} {
		if _, err := NewParker(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// TestParkerPeer shows that a concentrator is a peer as the selector wants it.
func TestParkerPeer(t *testing.T) {
	n, err := parseNetwork([]byte(network("concentrators", "["+conc("address6", `"fe80::7"`)+"]")),
		testNonce, key(t, ownKey))
	if err != nil {
		t.Fatal(err)
	}
	p := n.Concentrators[0].Peer
	if p.Name != "c1" || p.LinkAddress != netip.MustParseAddr("fe80::7") ||
		p.Keepalive != 15*time.Second || p.Preferred {
		t.Errorf("%+v", p)
	}
}
