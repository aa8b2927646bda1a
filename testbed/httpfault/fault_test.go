package httpfault

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const good = `{"a":"good answer"}`

// server has a fault, and counts how often it does what was asked.
func server(t *testing.T, f Fault, after func(time.Duration) <-chan time.Time) (c *http.Client, url string,
	done *int, closing chan struct{}) {
	t.Helper()
	done, closing = new(int), make(chan struct{})
	s := Server{Closing: closing, After: after}
	s.Good = func(w http.ResponseWriter, _ *http.Request) {
		*done++
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, good)
	}
	s.Error = func(w http.ResponseWriter, status int) { http.Error(w, "as the server says it", status) }
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.Serve(s, w, r) }))
	t.Cleanup(srv.Close)
	c = srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, srv.URL, done, closing
}

// Each fault does what its name says, and does what was asked or does not; no two have one name.
func TestFaults(t *testing.T) {
	const broken = -1 // no answer, or not all of it
	names := map[string]bool{}
	for _, tt := range []struct {
		fault       Fault
		done        int
		status      int
		contentType string
		body        string // is in it
	}{
		{Fault{}, 1, 201, "application/json", good},
		{Own("of the server", 7), 1, 201, "application/json", good},
		{Status(400), 0, 400, "text/plain; charset=utf-8", "as the server says it"},
		{HTML(502), 0, 502, "text/html", "<h1>502 Bad Gateway</h1>"},
		{Body("text/x", "[]"), 0, 200, "text/x", "[]"},
		{Busy(90 * time.Second), 0, 503, "text/plain; charset=utf-8", "as the server says it"},
		{Redirect(307, "https://other.example.org/x"), 0, 307, "text/html; charset=utf-8", "Redirecting"},
		{Hangup(), 0, broken, "", ""},
		{Lost(), 1, broken, "", ""},
		{Truncated(), 1, 201, "application/json", good[:len(good)/2]},
		{Cut(), 1, broken, "", ""},
		{Huge(2 << 20), 1, 201, "application/json", `xx","a":"good answer"}`},
	} {
		c, url, done, _ := server(t, tt.fault, nil)
		if names[tt.fault.String()] {
			t.Errorf("two faults are named %s", tt.fault)
		}
		names[tt.fault.String()] = true
		status, body := broken, []byte(nil)
		resp, err := c.Get(url)
		if err == nil {
			if body, err = io.ReadAll(resp.Body); err == nil {
				status = resp.StatusCode
			}
			resp.Body.Close()
		}
		if status != tt.status || *done != tt.done || !strings.Contains(string(body), tt.body) {
			t.Errorf("%s: status %d, %.100q, done %d times, %v", tt.fault, status, body, *done, err)
			continue
		}
		if status == broken {
			continue
		}
		h := resp.Header
		if h.Get("Content-Type") != tt.contentType || (h.Get("Retry-After") == "90") != (status == 503) ||
			(h.Get("Location") == "https://other.example.org/x") != (status == 307) || status == 201 &&
			len(body) > 1000 && len(body) < 2<<20 {
			t.Errorf("%s: %d bytes, %v", tt.fault, len(body), h)
		}
	}
}

// A request hangs until the client goes, or the server is closed.
func TestHang(t *testing.T) {
	c, url, _, closing := server(t, Hang(), nil)
	close(closing)
	if _, err := c.Get(url); err == nil {
		t.Error("there is an answer")
	}
}

// The answer comes byte by byte, each only when the pause before it is over.
func TestDrip(t *testing.T) {
	pauses := make(chan chan<- time.Time)
	c, url, _, _ := server(t, Drip(3*time.Second), func(d time.Duration) <-chan time.Time {
		if d != 3*time.Second {
			t.Errorf("pause %v", d)
		}
		over := make(chan time.Time)
		pauses <- over
		return over
	})
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := ""
	for range 5 {
		(<-pauses) <- time.Time{}
		one := make([]byte, 8)
		n, err := resp.Body.Read(one)
		if n != 1 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		got += string(one[:n])
	}
	if got != good[:5] || resp.ContentLength != int64(len(good)) {
		t.Errorf("got %q of %d bytes", got, resp.ContentLength)
	}
	<-pauses // the client goes during this one
}
