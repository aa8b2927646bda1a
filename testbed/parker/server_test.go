package parker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"wguplink/peerselector"

	"wguplink/testbed/httpfault"
)

// newServer makes a server with a seeded store.
func newServer(t *testing.T, s Store, o Options) *Server {
	t.Helper()
	key, err := GenerateKey()
	check(t, err)
	o.Store, o.Key = s, key
	server, err := New(o)
	check(t, err)
	check(t, server.Network().Seed(context.Background()))
	t.Cleanup(server.Close)
	return server
}

// decodeAnswer verifies an answer and gives its fields.
func decodeAnswer(t *testing.T, s *Server, body []byte) map[string]any {
	t.Helper()
	i := bytes.LastIndexByte(body, '\n') + 1
	if err := s.o.Key.Public().Verify(body[:i], string(body[i:])); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	var m map[string]any
	check(t, json.Unmarshal(body[:i], &m))
	return m
}

// Fields of the node come before the default ones; numbers and strings are as they were stored; what is deleted is made
// anew.
func TestFields(t *testing.T) {
	onBoth(t, func(t *testing.T, ctx context.Context, store Store) {
		s := newServer(t, store, Options{})
		n, key := s.Network(), nodeKey(7)
		if _, err := n.Node(ctx, key); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("unknown node: %v", err)
		}
		_, body := ask(t, s, params(key, "aa"))
		m := decodeAnswer(t, s, body)
		if m["id"] != 1.0 || m["retry"] != 600.0 || m["mtu"] != 1375.0 || m["address4"] != "10.0.4.1" ||
			m["range6"] != "2001:bf7:381:1::/64" ||
			m["nonce"] != "aa" || len(m["concentrators"].([]any)) != 0 {
			t.Errorf("%v", m)
		}
		check(t, n.SetNode(ctx, key, "retry", 7))
		check(t, n.SetNode(ctx, key, "wg_keepalive", `"20"`))
		check(t, n.SetNode(ctx, key, "xlat_range6", "2001:db8:f::/64"))
		check(t, n.SetDefault(ctx, "motd", "be <nice>: a,b"))
		check(t, n.SetConcentrators(ctx, []Concentrator{{3, key, "x.example.org:1", netip.MustParseAddr("10.0.0.3"),
			netip.MustParseAddr("2001:db8::3")}}))
		_, body = ask(t, s, params(key, "bb"))
		m = decodeAnswer(t, s, body)
		if m["id"] != 1.0 || m["retry"] != 7.0 || m["wg_keepalive"] != "20" || m["motd"] != "be <nice>: a,b" ||
			m["xlat_range6"] != "2001:db8:f::/64" ||
			m["concentrators"].([]any)[0].(map[string]any)["endpoint"] != "x.example.org:1" {
			t.Errorf("%v", m)
		}
		all, err := n.Concentrators(ctx)
		check(t, err)
		node, err := n.Node(ctx, key)
		check(t, err)
		if len(all) != 1 || all[0].ID != 3 || node.ID != 1 || node.XlatRange6.String() != "2001:db8:f::/64" ||
			len(node.Prefixes()) != 5 {
			t.Errorf("%v, %+v", all, node)
		}
		check(t, n.DeleteNode(ctx, key))
		_, body = ask(t, s, params(key, "cc"))
		if m := decodeAnswer(t, s, body); m["id"] != 2.0 || m["retry"] != 600.0 {
			t.Errorf("anew: %v", m)
		}
	})
}

func TestBadRequests(t *testing.T) {
	good := params(nodeKey(1), "aa")
	for _, d := range []Dialect{Brunswick, Wgkex} {
		s := newServer(t, fileStore(t), Options{Dialect: d})
		for _, raw := range []string{"", "nonce=aa", "pubkey=QUFB&nonce=aa", strings.Replace(good, "aa", "", 1),
			strings.Replace(good, "1500", "x", 1),
			good + "&%zz", strings.Replace(good, "%2F", "*", 1)} {
			code, body := ask(t, s, raw)
			if code != 400 || (d == Brunswick) != (len(body) == 0) || d == Wgkex &&
				!strings.HasPrefix(string(body), `{"error":{"message":"`) {
				t.Errorf("%v: %q: %d %s", d, raw, code, body)
			}
		}
		// A plus is taken as it is, too.
		if code, _ := ask(t, s, strings.ReplaceAll(good, "%2B", "+")); code != 200 || !strings.Contains(good, "%2B") {
			t.Errorf("%v: unescaped plus in %s: %d", d, good, code)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/other?"+good, nil))
		post := httptest.NewRecorder()
		s.ServeHTTP(post, httptest.NewRequest("POST", s.Path()+"?"+good, nil))
		if w.Code != 404 || post.Code != 405 {
			t.Errorf("%v: %d and %d", d, w.Code, post.Code)
		}
	}
}

// Requests are remembered as they came, in order.
func TestRequests(t *testing.T) {
	var seen []string
	s := newServer(t, fileStore(t), Options{OnRequest: func(r Request) { seen = append(seen, r.RawQuery) }})
	queries := []string{params(nodeKey(1), "aa") + "&tc_ingress=1&tc_egress=2", "nonsense"}
	for _, q := range queries {
		ask(t, s, q)
		s.SetFault(httpfault.Status(503))
	}
	got := s.Requests()
	if len(got) != 2 || got[0].RawQuery != queries[0] || got[1].RawQuery != queries[1] || got[0].Fault != "none" ||
		got[1].Fault != "status 503" ||
		got[0].Path != "/config" || seen[0] != queries[0] || seen[1] != queries[1] {
		t.Errorf("%+v; %q", got, seen)
	}
}

// Endpoints are IPv4 where the line is too narrow for IPv6, or the request came by IPv4.
func TestResolve(t *testing.T) {
	ctx := testContext(t)
	s := newServer(t, fileStore(t), Options{Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "none.example.org" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")}, nil
	}})
	var all []Concentrator
	for i, e := range []string{"c.example.org:1", "192.0.2.9:2", "none.example.org:3", "[2001:db8::9]:4"} {
		all = append(all, Concentrator{i, peerselector.Key{byte(i)}, e, netip.MustParseAddr("10.0.0.1"),
			netip.MustParseAddr("fe80::1")})
	}
	check(t, s.Network().SetConcentrators(ctx, all))
	for _, x := range []struct {
		from, mtu, want string
	}{
		{"[2001:db8::1]:5", "1455", "[2001:db8::2]:1"},
		{"[2001:db8::1]:5", "1454", "192.0.2.2:1"},
		{"192.0.2.1:5", "1500", "192.0.2.2:1"},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET",
			"/config?"+strings.Replace(params(nodeKey(1), "aa"), "1500", x.mtu, 1), nil)
		r.RemoteAddr = x.from
		s.ServeHTTP(w, r)
		var got []string
		for _, c := range decodeAnswer(t, s, w.Body.Bytes())["concentrators"].([]any) {
			got = append(got, c.(map[string]any)["endpoint"].(string))
		}
		if want := []string{x.want, "192.0.2.9:2", "none.example.org:3",
			"[2001:db8::9]:4"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v: %v", x, got)
		}
	}
}

// Each fault spoils what it says, and nothing else.
func TestFaults(t *testing.T) {
	s := newServer(t, fileStore(t), Options{})
	pub, key := s.o.Key.Public(), nodeKey(1)
	_, first := ask(t, s, params(key, "0a"))
	split := func(body []byte) ([]byte, string) {
		i := bytes.LastIndexByte(body, '\n') + 1
		return body[:i], string(body[i:])
	}
	invalid := func(text string) func(int, []byte) bool {
		return func(code int, body []byte) bool {
			line, sig := split(body)
			err := pub.Verify(line, sig)
			return code == 200 && json.Valid(line) && err != nil && strings.Contains(err.Error(), text)
		}
	}
	signed := func(ok func(m map[string]any) bool) func(int, []byte) bool {
		return func(code int, body []byte) bool { return code == 200 && ok(decodeAnswer(t, s, body)) }
	}
	for _, x := range []struct {
		fault httpfault.Fault
		ok    func(code int, body []byte) bool
	}{
		{httpfault.Status(503), func(code int, _ []byte) bool { return code == 503 }},
		{Garbage(), func(code int, b []byte) bool { return code == 200 && !json.Valid(b) }},
		{Forged(), invalid("does not fit")},
		{WrongNumber(), invalid("key number")},
		{Replayed(), func(code int, b []byte) bool { return code == 200 && bytes.Equal(b, first) }},
		{httpfault.Truncated(), func(code int, b []byte) bool {
			return code == 200 && len(b) == len(first)/2 && bytes.HasPrefix(first, b[:20])
		}},
		{Unregistered(), signed(func(m map[string]any) bool {
			return m["id"] == nil && m["address4"] == nil && m["retry"] == 120.0 && m["nonce"] == "bb"
		})},
		{Huge(70_000), signed(func(m map[string]any) bool {
			return len(m["padding"].(string)) == 70_000 &&
				m["id"] == 1.0
		})},
		{Edit("no mtu", func(f *Fields) { f.Delete("mtu") }),
			signed(func(m map[string]any) bool { return m["mtu"] == nil && m["id"] == 1.0 })},
	} {
		s.SetFault(x.fault)
		if code, body := ask(t, s, params(key, "bb")); !x.ok(code, body) {
			t.Errorf("%v: %d %.300s", x.fault, code, body)
		}
	}
	s.SetFault(Replayed())
	_, body := ask(t, s, params(nodeKey(2), "cc"))
	if m := decodeAnswer(t, s, body); m["nonce"] == "cc" || m["id"] != 2.0 {
		t.Errorf("replayed to a new node: %v", m)
	}
	s.SetFault(httpfault.Fault{})
	_, body = ask(t, s, params(key, "dd"))
	if m := decodeAnswer(t, s, body); m["nonce"] != "dd" {
		t.Errorf("without a fault: %v", m)
	}
}

// The faults that end a connection.
func TestBrokenConnections(t *testing.T) {
	s := newServer(t, fileStore(t), Options{})
	srv := httptest.NewServer(s)
	defer srv.Close()
	ask := func() error {
		r, err := srv.Client().Get(srv.URL + "/config?" + params(nodeKey(1), "aa"))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = io.ReadAll(r.Body)
		return err
	}
	for _, f := range []httpfault.Fault{httpfault.Hangup(), httpfault.Cut()} {
		s.SetFault(f)
		if ask() == nil {
			t.Errorf("%v: no error", f)
		}
	}
	s.SetFault(httpfault.Hang())
	done := make(chan error)
	go func() { done <- ask() }()
	s.Close() // whether the request has come yet or not
	if <-done == nil {
		t.Error("silence has an answer")
	}
}

// Without etcd the answer is an error; after its return all is as it was.
func TestServerEtcdAway(t *testing.T) {
	ctx := testContext(t)
	store, etcd := etcdStore(t, ctx)
	s := newServer(t, store, Options{})
	if code, body := ask(t, s, params(nodeKey(1), "aa")); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	check(t, etcd.Kill(ctx))
	if code, body := ask(t, s, params(nodeKey(1), "bb")); code != http.StatusInternalServerError {
		t.Errorf("%d %s", code, body)
	}
	check(t, etcd.Start(ctx))
	for {
		code, body := ask(t, s, params(nodeKey(1), "cc"))
		if code == 200 {
			if m := decodeAnswer(t, s, body); m["id"] != 1.0 {
				t.Errorf("%v", m)
			}
			return
		}
		check(t, context.Cause(ctx))
	}
}

// 200 nodes that ask two servers of one store at once.
func TestServersAtOnce(t *testing.T) {
	const nodes = 200
	ctx := testContext(t)
	store, _ := etcdStore(t, ctx)
	servers := []*Server{newServer(t, store, Options{}), newServer(t, store, Options{})}
	codes := make(chan int)
	for i := range nodes {
		go func() {
			w := httptest.NewRecorder()
			servers[i%2].ServeHTTP(w, httptest.NewRequest("GET", "/config?"+params(nodeKey(i), "aa"), nil))
			codes <- w.Code
		}()
	}
	for range nodes {
		if code := <-codes; code != 200 {
			t.Errorf("status %d", code)
		}
	}
	all, err := servers[0].Network().Nodes(ctx)
	check(t, err)
	ids := make(map[int]bool)
	for _, n := range all {
		ids[n.ID] = true
	}
	if len(all) != nodes || len(ids) != nodes {
		t.Errorf("%d nodes, %d ids", len(all), len(ids))
	}
}
