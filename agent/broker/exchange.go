//go:build !nobroker

package broker

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"wguplink/agent/httpc"
	"wguplink/agent/printable"
	"wguplink/agent/signify"
)

const (
	maxBody      = 64 << 10 // bytes of an answer; a real one has 200
	maxRedirects = 3
)

// reply is a complete HTTP answer.
type reply struct {
	status     int
	ctype      string // Content-Type, as sent
	body       []byte // maxBody bytes at most
	big        bool   // there was more
	retryAfter time.Duration
}

// exchange makes one request and follows the redirects that it may, all within the timeout. The Error has no Broker
// yet.
func (s *servers) exchange(ctx context.Context, method string, u *url.URL, body []byte) (reply, *Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.Timeout, errTimeout)
	defer cancel()
	for n := 0; ; n++ {
		r, location, err := s.once(ctx, method, u, body)
		if err != nil {
			return reply{}, &Error{Kind: Unreachable, Err: s.explain(err, context.Cause(ctx) == errTimeout)}
		}
		if r.status < 300 || r.status > 399 {
			return r, nil
		}
		next, err := redirect(u, r.status, location)
		if err == nil && n >= maxRedirects {
			err = fmt.Errorf("more than %d redirects, the last one to %q", maxRedirects, printable.Text(location, 100))
		}
		if err != nil {
			return reply{}, &Error{Kind: Malformed, Err: err}
		}
		u = next
	}
}

// errTimeout tells our own limit from the caller's.
var errTimeout = errors.New("timeout")

func (s *servers) once(ctx context.Context, method string, u *url.URL, body []byte) (r reply,
	location string, err error) {
	q := httpc.Request{Method: method, URL: u, Header: s.header, Body: body}
	if body != nil {
		q.Header = make(map[string][]string)
		for name, values := range s.header {
			q.Header[name] = values
		}
		q.Header["Content-Type"] = []string{"application/json"}
	}
	c := httpc.Client{Dial: s.o.Dial, Trust: httpc.Trust{CAFile: s.o.CAFile, Pins: s.o.Pins, Now: s.o.Now},
		MaxBody: maxBody}
	resp, err := c.Do(ctx, q)
	if broke := (*httpc.BrokenOffError)(nil); errors.As(err, &broke) && resp.Status >= 300 {
		err = nil // the status says enough
	}
	if err != nil {
		return r, "", err
	}
	r = reply{status: resp.Status, ctype: resp.Header.Get("Content-Type"), body: resp.Body, big: resp.Big}
	if r.status == 429 || r.status == 503 {
		r.retryAfter = retryAfter(resp.Header, s.o.Now())
	}
	return r, resp.Header.Get("Location"), nil
}

// explain adds the way out to the failures that people meet, and keeps the text short and printable: crypto/x509 quotes
// what the server sent. late says that it was our own time limit.
func (s *servers) explain(err error, late bool) error {
	var connect *httpc.ConnectError
	var cert *httpc.CertificateError
	var notTLS *httpc.NotTLSError
	connected := !errors.As(err, &connect)
	hint := ""
	switch {
	case late && connected:
		return fmt.Errorf("no complete answer within %v: %w", s.o.Timeout, context.DeadlineExceeded)
	case late:
		return &httpc.ConnectError{Err: fmt.Errorf("no connection within %v: %w", s.o.Timeout, &shownError{err, ""})}
	case errors.As(err, &notTLS):
		hint = "; is this a broker for http:// URLs?"
	case !errors.As(err, &cert):
	case cert.Reason == httpc.Dates && s.o.Now().Before(cert.NotBefore):
		hint = "; is the clock of this router right? it is behind that time"
	case cert.Reason == httpc.Dates:
		hint = "; is the clock of this router right? it is past that time"
	case cert.Reason == httpc.Authority && s.o.CAFile == "":
		hint = "; install the package ca-bundle, or name the broker's own authority in `option broker_ca`"
	case cert.Reason == httpc.Authority:
		hint = "; the authority is not the one in " + s.o.CAFile
	}
	return &shownError{err, hint}
}

// shownError is an error with a short printable text, and a hint.
type shownError struct {
	err  error
	hint string
}

func (e *shownError) Error() string {
	if e.hint != "" {
		return printable.Text(strings.TrimPrefix(e.err.Error(), "tls: "), 180) + e.hint
	}
	return printable.Text(e.err.Error(), 300)
}

func (e *shownError) Unwrap() error { return e.err }

// redirect gives where to go. Only the same server counts, since it is the one that was configured and verified, and
// only the statuses that keep the method (RFC 9110 sections 15.4.8 and 15.4.9): with the others a POST becomes a GET. A
// redirect to another scheme, host or port has Moved set, with any status: the configuration should name that server.
func redirect(from *url.URL, status int, location string) (*url.URL, error) {
	shown := printable.Text(location, 100)
	to, err := from.Parse(location)
	if location == "" || err != nil {
		return nil, fmt.Errorf("status %d with redirect to %q, which is no URL", status, shown)
	}
	if to.Scheme != from.Scheme || !strings.EqualFold(to.Hostname(), from.Hostname()) || port(to) != port(from) {
		return nil, &RedirectError{Status: status, To: shown, Moved: true,
			Why: "only " + from.Scheme + "://" + from.Host + " is followed"}
	}
	if status != 307 && status != 308 {
		return nil, &RedirectError{Status: status, To: shown, Why: "only 307 and 308 are followed"}
	}
	to.User, to.Host = nil, from.Host // the same, but for the spelling
	return to, nil
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

func (r reply) success() bool { return r.status >= 200 && r.status <= 299 }

// check turns what is not a 2xx answer, or too long, into an Error without Broker.
func (r reply) check() *Error {
	switch {
	case r.success() && !r.big:
		return nil
	case r.success():
		return &Error{Kind: Malformed, Err: fmt.Errorf("status %d with more than %d bytes", r.status, maxBody)}
	}
	kind := Malformed
	switch {
	case r.status >= 400 && r.status <= 499:
		kind = Refused
	case r.status >= 500:
		kind = Unreachable
	}
	text := r.statusLine()
	if msg, ok := parseError(r.body); ok {
		return &Error{Kind: kind, RetryAfter: r.retryAfter,
			Err: &SaidError{Status: text, Text: printable.Text(msg, 160)}}
	}
	return &Error{Kind: kind, RetryAfter: r.retryAfter, Err: fmt.Errorf("%s, content type %s", text, r.contentType())}
}

func (r reply) statusLine() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", r.status, statusText(r.status)))
}

// statusText names the statuses that servers and the proxies in front of them send (RFC 9110 section 15, RFC 6585).
func statusText(status int) string {
	switch status {
	case 200:
		return "OK"
	case 101:
		return "Switching Protocols"
	case 304:
		return "Not Modified"
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 409:
		return "Conflict"
	case 413:
		return "Request Entity Too Large"
	case 415:
		return "Unsupported Media Type"
	case 422:
		return "Unprocessable Entity"
	case 429:
		return "Too Many Requests"
	case 500:
		return "Internal Server Error"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	}
	return ""
}

// malformed says what is wrong with a 2xx answer.
func (r reply) malformed(err error) *Error {
	if errors.Is(err, errNotJSON) || errors.Is(err, signify.ErrNotSigned) {
		// A captive portal looks like this.
		err = fmt.Errorf("status %d, content type %s: %w", r.status, r.contentType(), err)
	}
	return &Error{Kind: Malformed, Err: err}
}

func (r reply) html() bool {
	t, _, _ := strings.Cut(r.ctype, ";")
	return strings.EqualFold(strings.TrimSpace(t), "text/html")
}

func (r reply) contentType() string {
	if r.ctype == "" {
		return "(none)"
	}
	return printable.Text(r.ctype, 60)
}

// retryAfter reads the header of that name, seconds or a date (RFC 9110 section 10.2.3); 0 when there is none that
// makes sense. A date is compared with the answer's own Date, if it has one: our clock may be the wrong one of the two.
func retryAfter(h textproto.MIMEHeader, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if digits(v) {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		return time.Duration(n) * time.Second
	}
	at, ok := date(v)
	if !ok {
		return 0
	}
	if sent, ok := date(h.Get("Date")); ok {
		now = sent
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

// date reads the three forms that a date may have (RFC 9110 section 5.6.7).
func date(v string) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, v); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
