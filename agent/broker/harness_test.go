//go:build !nobroker

package broker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wguplink/agent/testtcp"
)

// TestMain names a proxy that does not exist: net/http reads these variables once, if it is let.
func TestMain(m *testing.M) {
	os.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	os.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")
	goleak.VerifyTestMain(m)
}

// wan is where the client's connections go. Its names exist nowhere else, so a connection that does not use Dial fails.
type wan struct {
	mu      sync.Mutex
	servers map[string]string // host:port as dialled -> real address
	dialled []string
}

func newWAN() *wan { return &wan{servers: make(map[string]string)} }

func (w *wan) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, addr)
	real, ok := w.servers[addr]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("lookup %s: no such host", addr)
	}
	return new(net.Dialer).DialContext(ctx, network, real)
}

func (w *wan) dials() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialled...)
}

func (w *wan) add(name, real string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[name] = real
}

// serve starts a plain HTTP server at http://name.
func (w *wan) serve(t *testing.T, name string, h http.Handler) {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	w.add(name+":80", s.Listener.Addr().String())
}

// raw starts a server that reads one request's header and body, and then leaves the connection to talk.
func (w *wan) raw(t *testing.T, name string, talk func(conn *net.TCPConn)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	testtcp.Serve(t, l, func(conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err == nil {
			talk(conn.(*net.TCPConn))
		}
	})
	w.add(name+":80", l.Addr().String())
}

// canned answers the paths that it has, and 404 to others.
type canned map[string]answer

type answer struct {
	status int
	ctype  string
	body   string
	header http.Header
}

func (c canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := c[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	a.write(w)
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.ctype != "" {
		w.Header().Set("Content-Type", a.ctype)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(a.body)) // the client may have had enough
}

// changing answers each request with what was set last, and counts.
type changing struct {
	mu sync.Mutex
	a  answer
	n  int
}

func (c *changing) set(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.a = a
}

func (c *changing) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *changing) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	a := c.a
	c.n++
	c.mu.Unlock()
	a.write(w)
}

func ok(body string) answer { return answer{status: 200, ctype: "application/json", body: body} }

func failing(status int, message string) answer {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	return answer{status: status, ctype: "application/json", body: fmt.Sprintf(`{"error":{"message":%s}}`, text)}
}

const v1OK = `{"Message":"OK"}`

func bases(t testing.TB, urls ...string) []*url.URL {
	t.Helper()
	var list []*url.URL
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, u)
	}
	return list
}

// client makes one that starts with the first base and has more time than any good test needs.
func (w *wan) client(t testing.TB, o Options, urls ...string) *Client {
	t.Helper()
	o.Bases = bases(t, urls...)
	o.Dial = w.dial
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Intn == nil {
		o.Intn = func(int64) int64 { return 0 }
	}
	if o.Domain == "" {
		o.Domain = "ffxx_city"
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// failure registers and gives the error, which must have the kind and all the texts, in one clean line.
func failure(t *testing.T, c *Client, kind Kind, texts ...string) *Error {
	t.Helper()
	a, err := c.Register(testContext(t), key(t, ownKey))
	if err == nil {
		t.Fatalf("registered: %+v", a)
	}
	checkError(t, err, kind, texts...)
	var e *Error
	errors.As(err, &e)
	return e
}

func checkError(t *testing.T, err error, kind Kind, texts ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	if e.Kind != kind {
		t.Errorf("kind %v, want %v: %v", e.Kind, kind, err)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q is not in: %s", s, err)
		}
	}
	checkLine(t, err)
}

// success registers and wants this API's answer of this broker.
func success(t *testing.T, c *Client, api, broker string) Answer {
	t.Helper()
	a, err := c.Register(testContext(t), key(t, ownKey))
	if err != nil {
		t.Fatal(err)
	}
	if a.API != api || a.Broker != broker || len(a.Peers) != map[string]int{"v1": 0, "v2": 1}[api] {
		t.Fatalf("got %+v, want %s from %s", a, api, broker)
	}
	return a
}

// hangingDial is a SYN into the void: it ends when its context does, and says so.
func hangingDial(ended chan<- error) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
}
