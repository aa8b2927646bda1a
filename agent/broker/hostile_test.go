//go:build !nobroker

package broker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBigBody(t *testing.T) {
	big := strings.Repeat("x", 2<<20)
	for _, tt := range []struct {
		name   string
		answer answer
		kind   Kind
		text   string
	}{
		{"extra field", ok(endpoint(nil)[:len(endpoint(nil))-1] + `,"x":"` + big + `"}`), Malformed,
			"v2: status 200 with more than 65536 bytes"},
		{"spaces after", ok(endpoint(nil) + strings.Repeat(" ", 2<<20)), Malformed,
			"v2: status 200 with more than 65536 bytes"},
		{"error", failing(400, big), Refused, "v2: status 400 Bad Request, content type application/json"},
		{"long message", failing(400, big[:10000]), Refused, `v2: status 400 Bad Request: "` + big[:160] + `…"`},
		{"header", answer{status: 200, header: http.Header{"X": {big}}, body: endpoint(nil)}, Unreachable, "v2: "},
		{"type", answer{status: 400, ctype: big[:1000]}, Refused, "content type " + big[:60] + "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			w.serve(t, "broker.invalid", canned{pathV2: tt.answer, pathV1: ok(v1OK)})
			a := success(t, w.client(t, Options{}, "http://broker.invalid"), "v1", "http://broker.invalid")
			checkError(t, a.Fallback, tt.kind, tt.text)
			if n := len(a.Fallback.Error()); n > 500 {
				t.Errorf("message of %d bytes", n)
			}
		})
	}
	// No more is read than needed to see that it is too much.
	w := newWAN()
	w.raw(t, "endless.invalid", func(conn *net.TCPConn) {
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
		for err := error(nil); err == nil; {
			_, err = conn.Write([]byte(big))
		}
	})
	failure(t, w.client(t, Options{}, "http://endless.invalid"), Malformed, "v1: status 200 with more than 65536 bytes")
	// The limit itself is fine.
	w.serve(t, "broker.invalid", canned{pathV2: ok(endpoint(nil) + strings.Repeat(" ", maxBody-len(endpoint(nil))))})
	success(t, w.client(t, Options{}, "http://broker.invalid"), "v2", "http://broker.invalid")
}

// drip sends a byte every few milliseconds, for as long as the client listens.
func drip(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			_, _ = w.Write([]byte(" "))
			w.(http.Flusher).Flush()
		}
	}
}

func TestSlowDrip(t *testing.T) {
	w := newWAN()
	w.serve(t, "slow.invalid", http.HandlerFunc(drip))
	w.serve(t, "v1.invalid", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, pathV2) {
			drip(rw, r)
			return
		}
		ok(v1OK).write(rw)
	}))
	c := w.client(t, Options{Timeout: 100 * time.Millisecond}, "http://slow.invalid")
	failure(t, c, Unreachable, "v2: no complete answer within 100ms", "v1: no complete answer within 100ms")
	c = w.client(t, Options{Timeout: time.Second}, "http://v1.invalid")
	checkError(t, success(t, c, "v1", "http://v1.invalid").Fallback, Unreachable, "no complete answer within 1s")
}

// TestSilentDial: a server that never takes the connection costs one timeout, not one for each version, and Dial's
// context ends with it.
func TestSilentDial(t *testing.T) {
	w := newWAN()
	c := w.client(t, Options{Timeout: 50 * time.Millisecond}, "http://a.invalid")
	ended := make(chan error, 10)
	c.o.Dial = hangingDial(ended)
	failure(t, c, Unreachable, "broker http://a.invalid: unreachable: no connection within 50ms")
	select {
	case <-ended:
	case <-testContext(t).Done():
		t.Fatal("the dial goes on")
	}
	c = w.client(t, Options{Timeout: 50 * time.Millisecond}, "https://a.invalid")
	c.o.Dial = hangingDial(ended)
	failure(t, c, Unreachable, "no connection within 50ms")
	select {
	case <-ended:
	case <-testContext(t).Done():
		t.Fatal("the dial goes on")
	}
	select {
	case <-ended:
		t.Error("dialled again")
	default:
	}
}

func TestRedirects(t *testing.T) {
	to := func(status int, location string) answer {
		return answer{status: status, header: http.Header{"Location": {location}}}
	}
	for _, tt := range []struct {
		name string
		v2   answer
		want string // "" when it is followed
	}{
		{"path", to(308, "/good"), ""},
		{"relative", to(307, "../../../../../good"), ""},
		{"absolute", to(307, "http://broker.invalid/good"), ""},
		{"explicit port", to(307, "http://BROKER.invalid:80/good"), ""},
		{"user name is dropped", to(307, "http://a:b@broker.invalid/good"), ""},
		{"three", to(307, "/two"), ""},
		{"four", to(307, "/three"), `more than 3 redirects, the last one to "/good"`},
		{"loop", to(307, "/"+pathV2), `more than 3 redirects, the last one to "/` + pathV2 + `"`},
		{"moved", to(301, "/good"), `status 301 with redirect to "/good"; only 307 and 308 are followed`},
		{"moved to https", to(301, "https://broker.invalid/good"),
			"only http://broker.invalid is followed, put the new URL into `list broker`"},
		{"found at https", to(302, "https://broker.invalid/good"), "put the new URL into `list broker`"},
		{"permanently at https", to(308, "https://broker.invalid/good"), "put the new URL into `list broker`"},
		{"see other", to(303, "/good"), `status 303 with redirect to "/good"`},
		{"choices", to(300, ""), `status 300`},
		{"other host", to(307, "http://evil.invalid/good"),
			`status 307 with redirect to "http://evil.invalid/good"; only http://broker.invalid is followed`},
		{"no scheme", to(307, "//evil.invalid/good"), `status 307 with redirect to "//evil.invalid/good"`},
		{"other port", to(307, "http://broker.invalid:81/good"), `"http://broker.invalid:81/good"`},
		{"https", to(307, "https://broker.invalid/good"), `"https://broker.invalid/good"`},
		{"https on 80", to(307, "https://broker.invalid:80/good"), `"https://broker.invalid:80/good"`},
		{"file", to(307, "file:///etc/passwd"), `"file:///etc/passwd"`},
		{"nowhere", to(307, ""), `status 307 with redirect to "", which is no URL`},
		{"nonsense", to(307, "http://[::1/%zz\u202e"), `which is no URL`},
		{"long", to(307, "http://"+strings.Repeat("e", 1000)), `"http://` + strings.Repeat("e", 93) + `…"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			w.serve(t, "evil.invalid", canned{"good": ok(endpoint(nil))})
			routes := canned{
				pathV2: tt.v2, pathV1: ok(v1OK), "good": ok(endpoint(nil)),
				"three": to(308, "/two"), "two": to(308, "/one"), "one": to(307, "/good"),
			}
			w.serve(t, "broker.invalid", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); r.Method != "POST" || !strings.Contains(string(body), ownKey) ||
					r.Header.Get("Authorization") != "" {
					t.Errorf("%s %s with %q", r.Method, r.URL, body)
				}
				routes.ServeHTTP(rw, r)
			}))
			c := w.client(t, Options{}, "http://broker.invalid")
			if tt.want == "" {
				success(t, c, "v2", "http://broker.invalid")
			} else {
				checkError(t, success(t, c, "v1", "http://broker.invalid").Fallback, Malformed, tt.want)
			}
			for _, d := range w.dials() {
				if d != "broker.invalid:80" {
					t.Errorf("dialled %s", d)
				}
			}
		})
	}
}

func TestRawServers(t *testing.T) {
	say := func(format string, a ...any) func(*net.TCPConn) {
		return func(conn *net.TCPConn) { fmt.Fprintf(conn, format, a...) }
	}
	for _, tt := range []struct {
		name string
		talk func(*net.TCPConn)
		kind Kind
		want string // "" when the answer is good
	}{
		{"HTTP/1.0", say("HTTP/1.0 200 OK\r\n\r\n%s", endpoint(nil)), 0, ""},
		{"chunked", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n",
			endpoint(nil)[:5], len(endpoint(nil))-5, endpoint(nil)[5:]), 0, ""},
		{"continue first", say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
			len(endpoint(nil)), endpoint(nil)), 0, ""},
		{"chunk cut off", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"), Unreachable,
			"the answer broke off after 1 bytes: unexpected EOF"},
		{"body cut off", say("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n%s", endpoint(nil)), Unreachable,
			"the answer broke off after"},
		{"error cut off", say("HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\nContent-Length: 900\r\n\r\n<"),
			Unreachable, "status 502 Bad Gateway, content type text/html"},
		{"reason phrase", say("HTTP/1.1 599 \x1b[2J\u202e\r\nContent-Length: 0\r\n\r\n"), Unreachable,
			"status 599, content type (none)"},
		{"not HTTP", say("SSH-2.0-\x1b[2J\u202e\r\n"), Unreachable, "malformed HTTP response"},
		{"long and not HTTP", say("%s\r\n", strings.Repeat("x", 10000)), Unreachable, "malformed HTTP response \"xxx"},
		{"nothing", func(*net.TCPConn) {}, Unreachable, "EOF"},
		{"reset", func(conn *net.TCPConn) { _ = conn.SetLinger(0) }, Unreachable, "connection reset by peer"},
		{"switching protocols", func(conn *net.TCPConn) {
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn) // until the client hangs up
		}, Malformed, "status 101 Switching Protocols"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			w.raw(t, "broker.invalid", tt.talk)
			c := w.client(t, Options{}, "http://broker.invalid")
			if tt.want == "" {
				success(t, c, "v2", "http://broker.invalid")
				return
			}
			if n := len(failure(t, c, tt.kind, "v2: ", tt.want).Error()); n > 800 {
				t.Errorf("message of %d bytes", n)
			}
			// The server had answered the call, if badly: v1 was tried as well.
			if d := cmp.Diff([]string{"broker.invalid:80", "broker.invalid:80"}, w.dials()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestResetThenV1: a server that only fails with v2 is used with v1.
func TestResetThenV1(t *testing.T) {
	w := newWAN()
	var n atomic.Int64
	w.raw(t, "broker.invalid", func(conn *net.TCPConn) {
		if n.Add(1) == 1 {
			_ = conn.SetLinger(0)
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(v1OK), v1OK)
	})
	checkError(t, success(t, w.client(t, Options{}, "http://broker.invalid"), "v1", "http://broker.invalid").Fallback,
		Unreachable, "reset")
}
