//go:build !nobroker

package broker

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (w *wan) ffac(t testing.TB, name string, urls ...string) *FFAC {
	t.Helper()
	f, err := NewFFAC(FFACOptions{
		URLs: bases(t, urls...), NodeName: name, Dial: w.dial, Timeout: time.Minute,
		Intn:   func(int64) int64 { return 0 },
		Header: http.Header{"User-Agent": {"gluon/1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFFACRequest: the path as configured, and the members in the original's order.
func TestFFACRequest(t *testing.T) {
	for name, want := range map[string]string{
		"ffac-node-1":   `{"node_name":"ffac-node-1","public_key":"` + ownKey + `"}`,
		`a"b\c`:         `{"node_name":"a\"b\\c","public_key":"` + ownKey + `"}`,
		"Köln <Nippes>": `{"node_name":"Köln \u003cNippes\u003e","public_key":"` + ownKey + `"}`,
	} {
		got := make(chan []string, 1)
		w := newWAN()
		w.serve(t, "a.invalid", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got <- []string{r.Method, r.RequestURI, r.Header.Get("Content-Type"),
				r.Header.Get("User-Agent"), string(body)}
		}))
		a, err := w.ffac(t, name, "http://a.invalid/api/add_key/").Register(testContext(t), key(t, ownKey))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(Answer{Broker: "http://a.invalid/api/add_key/", API: "ffac"}, a); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"POST", "/api/add_key/", "application/json", "gluon/1", want}, <-got); d != "" {
			t.Error(d)
		}
	}
}

func TestFFAC(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    answer
		kind Kind
		want string // "" when it is good
	}{
		{"200", answer{status: 200, body: "ok"}, 0, ""},
		{"as a page's type", answer{status: 200, ctype: "text/html; charset=utf-8", body: "OK\n"}, 0, ""},
		{"message", ok(`{"Message":"OK"}`), 0, ""},
		{"message with BOM", ok("\ufeff" + `{"Message":"OK"}`), 0, ""},
		{"201", ok(`{"id": 1}`), 0, ""},
		{"204", answer{status: 204}, 0, ""},
		{"299", answer{status: 299}, 0, ""},
		{"large", answer{status: 200, body: strings.Repeat("x", 2*maxBody)}, 0, ""},
		{"error in 200", ok(`{"Message":"Error adding key: Not a valid Wireguard public key: K."}`), Refused,
			`status 200 OK: "Error adding key: Not a valid Wireguard public key: K."`},
		{"another message in 200", ok(`{"Message":"try later"}`), Refused, `"try later"`},
		{"text in 200", answer{status: 200, ctype: "text/plain", body: "Error adding key: git\n"}, Refused,
			`"Error adding key: git"`},
		{"error member in 200", failing(200, "no"), Refused, `"no"`},
		{"error member of text in 200", ok(`{"error": "key is on a list"}`), Refused, `"key is on a list"`},
		{"no error", ok(`{"error": null, "Message": "ok"}`), 0, ""},
		{"an empty error", ok(`{"error": ""}`), 0, ""},
		{"a message in small letters", ok(`{"message": "Error adding key: git"}`), Refused, `"Error adding key: git"`},
		{"a good message in small letters", ok(`{"message": "key added"}`), 0, ""},
		{"a detail", ok(`{"detail": "error: no such node"}`), Refused, `"error: no such node"`},
		{"text in quotation marks", ok(` "Error adding key: git" `), Refused, `"Error adding key: git"`},
		{"empty", answer{status: 200, ctype: "application/json"}, 0, ""},
		{"another shape", ok(`[{"Message": "OK"}]`), 0, ""},
		{"portal", answer{status: 200, ctype: "text/html", body: "<html>"}, Malformed,
			"content type text/html: not an answer of a registration"},
		{"text in 400", answer{status: 400, ctype: "text/plain", body: "Error adding key: node_name\nmissing\x1b[2J"},
			Refused,
			`status 400 Bad Request: "Error adding key: node_name missing?[2J"`},
		{"text of a page's type", answer{status: 400, ctype: "text/html; charset=utf-8", body: "Error adding key: x"},
			Refused, `"Error adding key: x"`},
		{"message in 400", answer{status: 400, ctype: "application/json", body: `{"Message":"Error"}`}, Refused,
			`status 400 Bad Request: "Error"`},
		{"text in 500", answer{status: 500, ctype: "text/plain", body: "oops"}, Unreachable,
			`status 500 Internal Server Error: "oops"`},
		{"exists in 500", answer{status: 500, ctype: "text/plain", body: "already exists"}, Unreachable,
			"already exists"},
		{"302", answer{status: 302, header: http.Header{"Location": {"/login"}}}, Malformed,
			`status 302 with redirect to "/login"`},
		{"304", answer{status: 304}, Malformed, "status 304"},
		{"400", failing(400, "bad\nkey"), Refused, `status 400 Bad Request: "bad key"`},
		{"422", answer{status: 422, ctype: "application/json", body: `{"detail":[]}`}, Refused,
			"status 422 Unprocessable Entity, content type application/json"},
		{"500", answer{status: 500, ctype: "text/html", body: "<p>"}, Unreachable,
			"status 500 Internal Server Error, content type text/html"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAN()
			w.serve(t, "a.invalid", canned{"add": tt.a})
			w.serve(t, "b.invalid", canned{"add": answer{status: 200}})
			f := w.ffac(t, "node", "http://a.invalid/add", "http://b.invalid/add")
			a, err := f.Register(testContext(t), key(t, ownKey))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if a.Broker != "http://a.invalid/add" || a.Fallback != nil || a.API != "ffac" {
					t.Errorf("got %+v", a)
				}
				return
			}
			if a.Broker != "http://b.invalid/add" {
				t.Errorf("got %+v", a)
			}
			checkError(t, a.Fallback, tt.kind, "broker http://a.invalid/add: ", tt.want)
			_, err = w.ffac(t, "node", "http://a.invalid/add", "http://none.invalid/add").Register(testContext(t),
				key(t, ownKey))
			checkError(t, err, tt.kind, tt.want, "http://none.invalid/add")
		})
	}
}

// TestFFACKnown: the entry exists already, in the forms of all generations of the server.
func TestFFACKnown(t *testing.T) {
	for _, a := range []answer{
		ok(`{"Message":"Error adding key: node_abcd already exists"}`),
		{status: 400, ctype: "text/html; charset=utf-8",
			body: `{"Message":"Error adding key: node_abcd already exists"}`},
		{status: 400, ctype: "text/plain", body: "Error adding key: node_abcd already exists"},
		failing(409, "Error adding key: node_abcd already exists"),
		ok(`{"error": "Error adding key: node_abcd already exists"}`),
		ok(`{"message": "Error adding key: node_abcd already exists"}`),
		ok(`"Error adding key: node_abcd already exists"`),
	} {
		w := newWAN()
		w.serve(t, "a.invalid", canned{"add": a})
		got, err := w.ffac(t, "node", "http://a.invalid/add").Register(testContext(t), key(t, ownKey))
		if err != nil || got.Known != "Error adding key: node_abcd already exists" || got.API != "ffac" ||
			got.Fallback != nil {
			t.Errorf("%+v: got %+v, %v", a, got, err)
		}
	}
}

// TestFFACHold: a server that wants to be left alone is, and the error says until when.
func TestFFACHold(t *testing.T) {
	var a changing
	a.set(answer{status: 429, header: http.Header{"Retry-After": {"60"}}})
	w := newWAN()
	w.serve(t, "a.invalid", &a)
	f := w.ffac(t, "node", "http://a.invalid/add")
	for range 2 {
		_, err := f.Register(testContext(t), key(t, ownKey))
		var e *Error
		if !errors.As(err, &e) || e.Kind != Refused || e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
			t.Errorf("got %v", err)
		}
	}
	if a.asked() != 1 {
		t.Errorf("asked %d times", a.asked())
	}
}

func TestFFACBad(t *testing.T) {
	dial := newWAN().dial
	good := bases(t, "https://broker.example.org/api/add_key")
	for _, tt := range []struct {
		o    FFACOptions
		want string
	}{
		{FFACOptions{URLs: good, Dial: dial}, "no node name to register; set option node_name"},
		{FFACOptions{URLs: good, Dial: dial, NodeName: "a\x1bb"}, `node name "a?b"`},
		{FFACOptions{URLs: good, Dial: dial, NodeName: "a\nb"}, `node name "a b"`},
		{FFACOptions{URLs: good, Dial: dial, NodeName: strings.Repeat("x", 254)}, "want at most 253 bytes"},
		{FFACOptions{URLs: good, Dial: dial, NodeName: "a\xff"}, "printable text"},
		{FFACOptions{Dial: dial, NodeName: "a"}, "no URL"},
		{FFACOptions{URLs: good, NodeName: "a"}, "no dial function"},
		{FFACOptions{URLs: []*url.URL{nil}, Dial: dial, NodeName: "a"}, "empty URL"},
	} {
		if _, err := NewFFAC(tt.o); err == nil {
			t.Errorf("no error, want %s", tt.want)
		} else {
			checkText(t, err, tt.want)
		}
	}
}
