//go:build !nobroker

package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
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

// exchange makes one request and follows the redirects that it may, all within the timeout. The Error has no Broker yet.
func (s *servers) exchange(ctx context.Context, method string, u *url.URL, body []byte) (reply, *Error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.Timeout, errTimeout)
	defer cancel()
	t, connected := s.transport(ctx)
	for n := 0; ; n++ {
		r, location, err := s.once(ctx, t, method, u, body)
		if err != nil {
			switch late := context.Cause(ctx) == errTimeout; {
			case late && connected.Load():
				err = fmt.Errorf("no complete answer within %v: %w", s.o.Timeout, context.DeadlineExceeded)
			case late:
				err = &connectError{fmt.Errorf("no connection within %v: %w", s.o.Timeout, context.DeadlineExceeded)}
			case connected.Load():
				err = &cleanError{err}
			default:
				err = &connectError{&cleanError{err}}
			}
			return reply{}, &Error{Kind: Unreachable, Err: err}
		}
		if r.status < 300 || r.status > 399 {
			return r, nil
		}
		next, err := redirect(u, r.status, location)
		if err == nil && n >= maxRedirects {
			err = fmt.Errorf("more than %d redirects, the last one to %q", maxRedirects, printable(location, 100))
		}
		if err != nil {
			return reply{}, &Error{Kind: Malformed, Err: err}
		}
		u = next
	}
}

// errTimeout tells our own limit from the caller's.
var errTimeout = errors.New("timeout")

// connectError says that the server could not be spoken to at all: no address, no connection, or no TLS. A second request
// to the same place would meet the same fate.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

func (s *servers) once(ctx context.Context, t *http.Transport, method string, u *url.URL, body []byte) (r reply, location string, err error) {
	var rd io.Reader
	if body != nil {
		rd = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), rd)
	if err != nil {
		return r, "", err
	}
	req.Header = s.header.Clone()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	// The transport alone: no cookies, no redirects of its own, and no proxy from the environment.
	resp, err := t.RoundTrip(req)
	if err != nil {
		return r, "", err
	}
	defer resp.Body.Close()
	r.status = resp.StatusCode
	r.ctype = resp.Header.Get("Content-Type")
	if r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable {
		r.retryAfter = retryAfter(resp.Header, s.o.Now())
	}
	if r.status < 200 {
		return r, "", nil // 101: the connection is ours now, and no timeout would end the reading
	}
	r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(r.body) > maxBody {
		r.body, r.big = r.body[:maxBody], true
	}
	if err != nil && r.status < 300 {
		return r, "", fmt.Errorf("the answer broke off after %d bytes: %w", len(r.body), err)
	}
	return r, resp.Header.Get("Location"), nil
}

// redirect gives where to go. Only the same server counts, since it is the one that was configured and verified, and only
// the statuses that keep the method (RFC 9110 sections 15.4.8 and 15.4.9): with the others a POST becomes a GET.
func redirect(from *url.URL, status int, location string) (*url.URL, error) {
	shown := printable(location, 100)
	if status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		return nil, fmt.Errorf("status %d with redirect to %q; only 307 and 308 are followed", status, shown)
	}
	to, err := from.Parse(location)
	if location == "" || err != nil {
		return nil, fmt.Errorf("status %d with redirect to %q, which is no URL", status, shown)
	}
	if to.Scheme != from.Scheme || !strings.EqualFold(to.Hostname(), from.Hostname()) || port(to) != port(from) {
		return nil, fmt.Errorf("status %d with redirect to %q; only %s://%s is followed, put the new URL into `list broker`",
			status, shown, from.Scheme, from.Host)
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
	text := fmt.Sprintf("status %d %s", r.status, http.StatusText(r.status))
	if msg, ok := parseError(r.body); ok {
		return &Error{Kind: kind, RetryAfter: r.retryAfter, Err: fmt.Errorf("%s: %q", text, printable(msg, 160))}
	}
	return &Error{Kind: kind, RetryAfter: r.retryAfter, Err: fmt.Errorf("%s, content type %s", text, r.contentType())}
}

// malformed says what is wrong with a 2xx answer.
func (r reply) malformed(err error) *Error {
	if errors.Is(err, errNotJSON) || errors.Is(err, errNotSigned) {
		// A captive portal looks like this.
		err = fmt.Errorf("status %d, content type %s: %w", r.status, r.contentType(), err)
	}
	return &Error{Kind: Malformed, Err: err}
}

func (r reply) html() bool {
	t, _, err := mime.ParseMediaType(r.ctype)
	return err == nil && t == "text/html"
}

func (r reply) contentType() string {
	if r.ctype == "" {
		return "(none)"
	}
	return printable(r.ctype, 60)
}

// retryAfter reads the header of that name, seconds or a date (RFC 9110 section 10.2.3); 0 when there is none that makes
// sense. A date is compared with the answer's own Date, if it has one: our clock may be the wrong one of the two.
func retryAfter(h http.Header, now time.Time) time.Duration {
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
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// cleanError keeps the cause but shows it short and printable: net/http and crypto/x509 quote what the server sent.
type cleanError struct{ err error }

func (e *cleanError) Error() string { return printable(e.err.Error(), 300) }
func (e *cleanError) Unwrap() error { return e.err }
