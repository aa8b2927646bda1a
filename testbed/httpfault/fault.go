// Package httpfault has the ways in which the lab's HTTP servers go wrong, once for all of them.
package httpfault

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Fault is a way for an HTTP server to go wrong. The zero value is none.
type Fault struct {
	name    string
	instead func(*exchange)           // answers in the server's place: it does not even look at the request
	spoil   func(*exchange, recorder) // does what it likes with the server's good answer
	own     any
}

// Own makes a fault that one kind of server understands by itself, such as another gateway than was chosen. It finds in
// Fault.Own what own is here.
func Own(name string, own any) Fault { return Fault{name: name, own: own} }

// Own is what a server's own fault consists of; nil for a fault of this package.
func (f Fault) Own() any { return f.own }

// None says that nothing is wrong.
func (f Fault) None() bool { return f.name == "" }

// String names the fault, for timelines and test names.
func (f Fault) String() string {
	if f.None() {
		return "none"
	}
	return f.name
}

// Server is what a fault needs of the server that it is in.
type Server struct {
	// Good does what was asked.
	Good http.HandlerFunc
	// Error answers with an error status, as the server words it.
	Error func(w http.ResponseWriter, status int)
	// Closing ends requests that are kept waiting.
	Closing <-chan struct{}
	// After replaces time.After; nil: time.After.
	After func(time.Duration) <-chan time.Time
}

// exchange is one request on its way to an answer.
type exchange struct {
	Server
	w http.ResponseWriter
	r *http.Request
}

// Serve answers a request of a server as the fault says.
func (f Fault) Serve(s Server, w http.ResponseWriter, r *http.Request) {
	if s.After == nil {
		s.After = time.After
	}
	x := &exchange{s, w, r}
	switch {
	case f.instead != nil:
		f.instead(x)
	case f.spoil != nil:
		good := recorder{header: http.Header{}, status: http.StatusOK}
		s.Good(&good, r)
		f.spoil(x, good)
	default:
		s.Good(w, r)
	}
}

// The faults of this first group do nothing of what was asked.

// Status answers with an error status.
func Status(code int) Fault {
	return Fault{name: fmt.Sprintf("status %d", code), instead: func(x *exchange) { x.Error(x.w, code) }}
}

// HTML answers with an error page, as a proxy before the server does with 502.
func HTML(code int) Fault {
	title := fmt.Sprintf("%d %s", code, http.StatusText(code))
	page := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	return Fault{name: fmt.Sprintf("HTML %d", code), instead: func(x *exchange) { x.write(code, "text/html", page) }}
}

// Body answers 200 with any content type and body.
func Body(contentType, body string) Fault {
	return Fault{name: "a body of the test's choice",
		instead: func(x *exchange) { x.write(http.StatusOK, contentType, body) }}
}

// Busy answers 503 with a Retry-After header in whole seconds.
func Busy(retryAfter time.Duration) Fault {
	return Fault{name: fmt.Sprintf("busy, retry after %v", retryAfter), instead: func(x *exchange) {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		x.Error(x.w, http.StatusServiceUnavailable)
	}}
}

// Redirect answers with a redirect status, such as 302 or 307, to an absolute URL.
func Redirect(code int, url string) Fault {
	return Fault{name: fmt.Sprintf("redirect %d to %s", code, url), instead: func(x *exchange) {
		x.w.Header().Set("Location", url)
		x.write(code, "text/html; charset=utf-8", "<!doctype html>\n<title>Redirecting...</title>\n")
	}}
}

// Hangup closes the connection without an answer.
func Hangup() Fault {
	return Fault{name: "connection closed", instead: func(*exchange) { panic(http.ErrAbortHandler) }}
}

// Hang never answers: until the client gives up, or the server is closed.
func Hang() Fault {
	return Fault{name: "silence", instead: func(x *exchange) {
		select {
		case <-x.r.Context().Done():
		case <-x.Closing:
		}
		panic(http.ErrAbortHandler)
	}}
}

// The faults of this second group do what was asked, and spoil the good answer on its way.

// Lost closes the connection in place of the answer.
func Lost() Fault {
	return Fault{name: "answer lost", spoil: func(*exchange, recorder) { panic(http.ErrAbortHandler) }}
}

// Truncated ends the body after the first half, as if that were all.
func Truncated() Fault {
	return Fault{name: "truncated answer", spoil: func(x *exchange, good recorder) {
		good.body = good.body[:len(good.body)/2]
		good.write(x.w)
	}}
}

// Cut breaks the connection after the first half of the promised body.
func Cut() Fault {
	return Fault{name: "answer cut off", spoil: func(x *exchange, good recorder) {
		good.head(x.w)
		_, _ = x.w.Write(good.body[:len(good.body)/2])
		_ = http.NewResponseController(x.w).Flush()
		panic(http.ErrAbortHandler)
	}}
}

// Huge pads a JSON object with n bytes of an unknown field, so that nothing but its size is wrong with it.
func Huge(n int) Fault {
	return Fault{name: fmt.Sprintf("body of %d bytes", n), spoil: func(x *exchange, good recorder) {
		if rest, ok := bytes.CutPrefix(good.body, []byte("{")); ok {
			good.body = append([]byte(`{"padding":"`), bytes.Repeat([]byte("x"), n)...)
			good.body = append(append(good.body, `",`...), rest...)
		}
		good.write(x.w)
	}}
}

// Drip sends the answer byte by byte, with a pause before each.
func Drip(pause time.Duration) Fault {
	return Fault{name: fmt.Sprintf("a byte every %v", pause), spoil: func(x *exchange, good recorder) {
		good.head(x.w)
		flush := http.NewResponseController(x.w)
		for i := range good.body {
			if flush.Flush() != nil {
				return
			}
			select {
			case <-x.After(pause):
			case <-x.r.Context().Done():
				return
			case <-x.Closing:
				return
			}
			if _, err := x.w.Write(good.body[i : i+1]); err != nil {
				return
			}
		}
	}}
}

func (x *exchange) write(status int, contentType, body string) {
	x.w.Header().Set("Content-Type", contentType)
	x.w.WriteHeader(status)
	_, _ = x.w.Write([]byte(body)) // the client may be gone
}

// recorder keeps an answer in place of sending it.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(b []byte) (int, error) {
	r.body = append(r.body, b...)
	return len(b), nil
}

// head sends all but the body, whose length it promises.
func (r *recorder) head(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
	w.WriteHeader(r.status)
}

func (r *recorder) write(w http.ResponseWriter) {
	r.head(w)
	_, _ = w.Write(r.body) // the client may be gone
}
