//go:build !nobroker

package broker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"wguplink/peerselector"
)

// The paths of the API, relative to the base URL (freifunkMUC/wgkex, wgkex/broker/app.py).
const (
	pathV1        = "api/v1/wg/key/exchange"
	pathV2        = "api/v2/wg/key/exchange"
	pathLocations = "api/v1/locations"
)

// PinOnly as Options.CAFile stands for "no authority": the pin of the broker's own key is the only check.
const PinOnly = "none"

// DefaultTimeout is Options.Timeout when that is not set.
const DefaultTimeout = 10 * time.Second

// Options is what a Client is made from. Bases and Dial must be set.
type Options struct {
	// Bases are "http[s]://host[:port][/prefix]", without the API's path.
	Bases []*url.URL
	// CAFile is a PEM file with the only authorities to trust; "" means the system's, PinOnly none at all. It is read for
	// each connection, so that a new file needs no restart.
	CAFile string
	// Pins are SHA-256 sums of SubjectPublicKeyInfo. When there are any, then in addition to the usual checks one
	// certificate of the verified chain must match. With PinOnly it must be the broker's own certificate, and its name and
	// dates do not count.
	Pins [][32]byte
	// Timeout bounds one exchange: name, connection, TLS, redirects and the whole answer. Default is DefaultTimeout.
	Timeout time.Duration
	// Domain is sent as it is. Location is sent to v2 only, and only when it is set.
	Domain, Location string
	// Header is sent with each request; see Identify.
	Header http.Header
	// Dial makes every connection. It resolves the name and marks the socket.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// OwnLink is our own address in the tunnel: a gateway that claims it is refused. It may be left out.
	OwnLink netip.Addr
	// Now is the clock, time.Now when nil.
	Now func() time.Time
	// Intn gives a uniform number in [0, n); crypto/rand when nil.
	Intn func(n int64) int64
}

// Client registers a key. It holds no connection between calls, and may be used by several goroutines.
type Client struct {
	o      Options
	bases  []*url.URL
	header http.Header

	mu   sync.Mutex
	held []hold // per base
}

// hold is a broker's wish to be left alone.
type hold struct {
	until time.Time
	err   *Error
}

// New checks the options; it does no I/O.
func New(o Options) (*Client, error) {
	if len(o.Bases) == 0 {
		return nil, errors.New("broker: no URL given; `list broker` needs at least one")
	}
	if o.Dial == nil {
		return nil, errors.New("broker: no dial function given")
	}
	if o.CAFile == PinOnly && len(o.Pins) == 0 {
		return nil, fmt.Errorf("broker: authority %q without a pin would trust anybody; give a pin, or no authority for the system's", PinOnly)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Intn == nil {
		o.Intn = random
	}
	c := &Client{o: o, header: make(http.Header), held: make([]hold, len(o.Bases))}
	for _, u := range o.Bases {
		b, err := checkBase(u)
		if err != nil {
			return nil, err
		}
		c.bases = append(c.bases, b)
	}
	for name, values := range o.Header {
		for _, v := range values {
			// One odd character in a release file must not keep the node from registering.
			if v = headerValue(v); v != "" {
				c.header.Add(name, v)
			}
		}
	}
	if c.header.Get("User-Agent") == "" {
		c.header.Set("User-Agent", defaultAgent)
	}
	c.header.Set("Accept", "application/json")
	return c, nil
}

func checkBase(u *url.URL) (*url.URL, error) {
	const want = "want http[s]://host[:port][/prefix]"
	switch {
	case u == nil:
		return nil, errors.New("broker: empty URL; " + want)
	case u.User != nil: // not printed: it holds a password
		return nil, fmt.Errorf("broker: URL for host %q has a user name in it; %s", u.Host, want)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("broker: URL %q; %s", printable(u.String(), 200), want)
	}
	b := *u
	b.Path = strings.TrimRight(b.Path, "/")
	b.RawPath = strings.TrimRight(b.RawPath, "/")
	return &b, nil
}

// random is a uniform number in [0, n); the bias of the modulo is far below what could ever be seen.
func random(n int64) int64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0 // the kernel has had randomness since boot; without it the order is merely not random
	}
	return int64(binary.NativeEndian.Uint64(b[:]) % uint64(n))
}

// Register makes our key known and gives the gateways that the broker named. The brokers are asked in the configured
// order, from a random one on, so that the load spreads: v2 first, v1 when that fails, then the next broker. A broker that
// cannot be connected to is not tried with v1; nor is one that sent a Retry-After, and it is left alone until that is
// over. The error is an *Error.
func (c *Client) Register(ctx context.Context, key peerselector.Key) (Answer, error) {
	var errs []*Error
	for _, i := range c.order() {
		if e := c.onHold(i); e != nil {
			errs = append(errs, e)
			continue
		}
		a, e := c.registerAt(ctx, c.bases[i], key)
		if e != nil {
			errs = append(errs, e)
		}
		if a.API != "" {
			if len(errs) > 0 {
				a.Fallback = merge(errs)
			}
			return a, nil
		}
		c.setHold(i, e)
		if ctx.Err() != nil {
			break
		}
	}
	return Answer{}, merge(errs)
}

// registerAt asks one broker. There can be both an answer and an error, that of v2: then v1 was good.
func (c *Client) registerAt(ctx context.Context, base *url.URL, key peerselector.Key) (Answer, *Error) {
	a := Answer{Broker: base.String()}
	peer, e2 := c.v2(ctx, base, key)
	if e2 == nil {
		a.API, a.Peers = "v2", []peerselector.Peer{peer}
		return a, nil
	}
	e2.Broker = a.Broker
	var ce *connectError
	if errors.As(e2.Err, &ce) || e2.RetryAfter > 0 || ctx.Err() != nil {
		return Answer{}, e2
	}
	e1 := c.v1(ctx, base, key)
	if e1 == nil {
		a.API = "v1"
		return a, &Error{Kind: e2.Kind, Broker: a.Broker, Err: fmt.Errorf("v2: %w", e2.Err)}
	}
	return Answer{}, &Error{
		Kind: max(e1.Kind, e2.Kind), Broker: a.Broker, RetryAfter: e1.RetryAfter,
		Err: fmt.Errorf("v2: %w; v1: %w", e2.Err, e1.Err),
	}
}

func (c *Client) v2(ctx context.Context, base *url.URL, key peerselector.Key) (peerselector.Peer, *Error) {
	r, e := c.post(ctx, base.JoinPath(pathV2), request{c.o.Domain, key.String(), c.o.Location})
	if e != nil {
		return peerselector.Peer{}, e
	}
	peer, err := parseV2(r.body, key, c.o.OwnLink)
	if err != nil {
		return peerselector.Peer{}, r.malformed(err)
	}
	return peer, nil
}

func (c *Client) v1(ctx context.Context, base *url.URL, key peerselector.Key) *Error {
	r, e := c.post(ctx, base.JoinPath(pathV1), request{c.o.Domain, key.String(), ""})
	if e != nil {
		return e
	}
	if err := parseV1(r.body); err != nil {
		return r.malformed(err)
	}
	return nil
}

// request is the body of both versions.
type request struct {
	Domain    string `json:"domain"`
	PublicKey string `json:"public_key"`
	Location  string `json:"location,omitempty"`
}

func (c *Client) post(ctx context.Context, u *url.URL, q request) (reply, *Error) {
	body, err := json.Marshal(q)
	if err != nil {
		return reply{}, &Error{Kind: Unreachable, Err: err}
	}
	r, e := c.exchange(ctx, http.MethodPost, u, body)
	if e != nil {
		return reply{}, e
	}
	return r, r.check()
}

// Locations gives the names that Options.Location may have. It is nil without an error when the broker knows no such
// list, as those in the field do. The first broker that answers is believed. The error is an *Error.
func (c *Client) Locations(ctx context.Context) ([]string, error) {
	var errs []*Error
	for _, i := range c.order() {
		if e := c.onHold(i); e != nil {
			errs = append(errs, e)
			continue
		}
		r, e := c.exchange(ctx, http.MethodGet, c.bases[i].JoinPath(pathLocations), nil)
		if e == nil && (r.status == http.StatusNotFound || r.html()) {
			return nil, nil
		}
		if e == nil {
			e = r.check()
		}
		if e == nil {
			names, err := parseLocations(r.body)
			if err == nil {
				return names, nil
			}
			e = r.malformed(err)
		}
		e.Broker = c.bases[i].String()
		c.setHold(i, e)
		errs = append(errs, e)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, merge(errs)
}

// order is the configured one, rotated to a random start.
func (c *Client) order() []int {
	n := len(c.bases)
	start := int(c.o.Intn(int64(n)))
	o := make([]int, n)
	for i := range o {
		o[i] = (start + i) % n
	}
	return o
}

func (c *Client) setHold(i int, e *Error) {
	if e.RetryAfter <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[i] = hold{until: c.o.Now().Add(e.RetryAfter), err: e}
}

// onHold gives the error that made the broker ask for peace, with what is left of that time; nil when it may be asked.
func (c *Client) onHold(i int) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[i]
	if h.err == nil {
		return nil
	}
	left := h.until.Sub(c.o.Now())
	if left <= 0 || left > MaxRetryAfter { // more than that: the clock went back
		c.held[i] = hold{}
		return nil
	}
	return &Error{Kind: h.err.Kind, Broker: h.err.Broker, RetryAfter: left, Err: h.err.Err}
}
