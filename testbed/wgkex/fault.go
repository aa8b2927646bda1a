package wgkex

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Fault is a way for an API to go wrong. The zero value is none.
type Fault struct {
	name  string
	serve func(*exchange) // answers instead of the broker
	edit  func(*Endpoint) // changes the endpoint of a good v2 answer
}

// String names the fault, for timelines and test names.
func (f Fault) String() string {
	if f.name == "" {
		return "none"
	}
	return f.name
}

// The faults of this first group refuse the request before the broker looks at it: no key is published.

// Status answers with an error status and the broker's JSON error body.
func Status(code int) Fault {
	return Fault{name: fmt.Sprintf("status %d", code), serve: func(x *exchange) {
		errorAnswer(code, internalError).write(x.w)
	}}
}

// HTML answers with an error page, as a proxy before the broker does with 502.
func HTML(code int) Fault {
	title := fmt.Sprintf("%d %s", code, http.StatusText(code))
	page := "<html>\r\n<head><title>" + title + "</title></head>\r\n<body>\r\n<center><h1>" + title +
		"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	return Fault{name: fmt.Sprintf("HTML %d", code), serve: func(x *exchange) {
		answer{status: code, contentType: "text/html", body: []byte(page)}.write(x.w)
	}}
}

// Body answers 200 with a JSON content type and the given body, whatever it is.
func Body(body string) Fault {
	return Fault{name: "a body of the test's choice", serve: func(x *exchange) {
		answer{status: http.StatusOK, contentType: textJSON, body: []byte(body)}.write(x.w)
	}}
}

// WrongTypes answers 200 with JSON that has the right names and the wrong types.
func WrongTypes() Fault {
	bodies := map[API]string{
		V1:        `{"Message":["OK"]}`,
		V2:        `{"Endpoint":{"Address":["gw"],"AllowedIPs":"fe80::1","Port":{},"PublicKey":7}}`,
		Locations: `{"locations":"MUC"}`,
		Other:     `[]`,
	}
	return Fault{name: "wrong JSON types", serve: func(x *exchange) {
		answer{status: http.StatusOK, contentType: textJSON, body: []byte(bodies[x.api] + "\n")}.write(x.w)
	}}
}

// NotFound is a broker that does not have this API.
func NotFound() Fault {
	return Fault{name: "not found", serve: func(x *exchange) {
		htmlAnswer(http.StatusNotFound, pageNotFound).write(x.w)
	}}
}

// Busy answers 503 with a Retry-After header in whole seconds.
func Busy(retryAfter time.Duration) Fault {
	return Fault{name: fmt.Sprintf("busy, retry after %v", retryAfter), serve: func(x *exchange) {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		errorAnswer(http.StatusServiceUnavailable, internalError).write(x.w)
	}}
}

// Redirect answers with a redirect status, such as 302 or 307, to an absolute URL.
func Redirect(code int, url string) Fault {
	return Fault{name: fmt.Sprintf("redirect %d to %s", code, url), serve: func(x *exchange) {
		x.w.Header().Set("Location", url)
		htmlAnswer(code, "<!doctype html>\n<title>Redirecting...</title>\n").write(x.w)
	}}
}

// Hangup closes the connection without an answer.
func Hangup() Fault {
	return Fault{name: "connection closed", serve: func(*exchange) { panic(http.ErrAbortHandler) }}
}

// Hang never answers: until the client gives up, or the broker is closed.
func Hang() Fault {
	return Fault{name: "silence", serve: func(x *exchange) {
		select {
		case <-x.r.Context().Done():
		case <-x.b.closing:
		}
		panic(http.ErrAbortHandler)
	}}
}

// The faults of this second group do what was asked, publishing included, and spoil the answer.

// Huge pads a good answer with n bytes of an unknown field, so that nothing but its size is wrong with it.
func Huge(n int) Fault {
	return Fault{name: fmt.Sprintf("body of %d bytes", n), serve: func(x *exchange) {
		a := x.good()
		if rest, ok := bytes.CutPrefix(a.body, []byte("{")); ok {
			a.body = append([]byte(`{"padding":"`), bytes.Repeat([]byte("x"), n)...)
			a.body = append(append(a.body, `",`...), rest...)
		}
		a.write(x.w)
	}}
}

// Drip sends a good answer byte by byte, with a pause before each.
func Drip(pause time.Duration) Fault {
	return Fault{name: fmt.Sprintf("a byte every %v", pause), serve: func(x *exchange) {
		a := x.good()
		a.header(x.w)
		x.w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		x.w.WriteHeader(a.status)
		flush := http.NewResponseController(x.w)
		for i := range a.body {
			if flush.Flush() != nil {
				return
			}
			select {
			case <-x.b.o.After(pause):
			case <-x.r.Context().Done():
				return
			case <-x.b.closing:
				return
			}
			if _, err := x.w.Write(a.body[i : i+1]); err != nil {
				return
			}
		}
	}}
}

// Lost does everything but answer: the connection is closed with the key registered.
func Lost() Fault {
	return Fault{name: "answer lost", serve: func(x *exchange) {
		x.good()
		panic(http.ErrAbortHandler)
	}}
}

// Hostile changes the endpoint of good v2 answers; other APIs are not affected.
func Hostile(name string, edit func(*Endpoint)) Fault {
	return Fault{name: "hostile endpoint: " + name, edit: edit}
}

// HostilePort answers with another port: "0", "65536", or a number.
func HostilePort(port any) Fault {
	return Hostile(fmt.Sprintf("port %v", port), func(e *Endpoint) { e.Port = port })
}

// HostileAddress answers with another address, such as the multicast "ff02::1".
func HostileAddress(addr string) Fault {
	return Hostile("address "+addr, func(e *Endpoint) { e.Address = addr })
}

// HostileAllowedIPs answers with allowed IPs that are not the gateway's, such as "::/0".
func HostileAllowedIPs(ips ...string) Fault {
	return Hostile(fmt.Sprintf("allowed IPs %v", ips), func(e *Endpoint) { e.AllowedIPs = ips })
}

func itoa(port uint16) string { return strconv.FormatUint(uint64(port), 10) }
