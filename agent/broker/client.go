//go:build !nobroker

package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"wguplink/agent/httpc"
	"wguplink/agent/json"
	"wguplink/agent/printable"
	"wguplink/peerselector"
)

// The paths of the API, relative to the base URL (freifunkMUC/wgkex, wgkex/broker/app.py).
const (
	pathV1        = "api/v1/wg/key/exchange"
	pathV2        = "api/v2/wg/key/exchange"
	pathLocations = "api/v1/locations"
)

// PinOnly as Options.CAFile stands for "no authority": the pin of the broker's own key is the only check.
const PinOnly = httpc.PinOnly

// DefaultTimeout is Options.Timeout when that is not set.
const DefaultTimeout = 10 * time.Second

// Options is what a Client is made from. Bases and Dial must be set.
type Options struct {
	// Bases are "http[s]://host[:port][/prefix]", without the API's path.
	Bases []*url.URL
	// CAFile is a PEM file with the only authorities to trust; "" means the system's, PinOnly none at all. It is read
	// for each connection, so that a new file needs no restart.
	CAFile string
	// Pins are SHA-256 sums of SubjectPublicKeyInfo. When there are any, then in addition to the usual checks one
	// certificate of the verified chain must match. With PinOnly it must be the broker's own certificate, and its name
	// and dates do not count.
	Pins [][32]byte
	// Timeout bounds one exchange: name, connection, TLS, redirects and the whole answer. Default is DefaultTimeout.
	Timeout time.Duration
	// Domain is sent as it is. Location is sent to v2 only, and only when it is set.
	Domain, Location string
	// Layer3 says that the gateways have plain addresses in the tunnel and may route prefixes, not link-local ones.
	Layer3 bool
	// OwnChoice has the broker told the key by v1 only, which names no gateway.
	OwnChoice bool
	// Header is sent with each request; see Identify.
	Header map[string][]string
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
type Client struct{ *servers }

// New checks the options; it does no I/O.
func New(o Options) (*Client, error) {
	s, err := newServers(o, "application/json")
	if err != nil {
		return nil, err
	}
	for _, b := range s.bases {
		b.Path = strings.TrimRight(b.Path, "/")
		b.RawPath = strings.TrimRight(b.RawPath, "/")
	}
	return &Client{s}, nil
}

// Register makes our key known and gives the gateways that the broker named. The brokers are asked in the configured
// order, from a random one on, so that the load spreads: v2 first, v1 when that fails, then the next broker. Three
// kinds of broker are not tried with v1: one that cannot be connected to; one that sent a Retry-After, which is left
// alone until that is over; and one that has no gateway online, because it has made the key known already. The error is
// an *Error.
func (c *Client) Register(ctx context.Context, key peerselector.Key) (Answer, error) {
	var a, taken Answer
	good, failed := c.inTurn(ctx, func(base *url.URL) (bool, *Error) {
		var e *Error
		a, e = c.registerAt(ctx, base, key)
		var said *SaidError
		if e != nil && errors.As(e.Err, &said) && said.NoGateway && taken.API == "" {
			taken = Answer{Broker: base.String(), API: "v2"}
		}
		return a.API != "", e
	})
	if !good && taken.API != "" { // no other broker had a gateway to name
		a, good = taken, true
	}
	return result(a, good, failed)
}

// registerAt asks one broker. There can be both an answer and an error, that of v2: then v1 was good.
func (c *Client) registerAt(ctx context.Context, base *url.URL, key peerselector.Key) (Answer, *Error) {
	a := Answer{Broker: base.String()}
	if c.o.OwnChoice {
		if e := c.v1(ctx, base, key); e != nil {
			return Answer{}, e
		}
		a.API = "v1"
		return a, nil
	}
	peer, own, e2 := c.v2(ctx, base, key)
	if e2 == nil {
		a.API, a.Peers, a.Addresses = "v2", []peerselector.Peer{peer}, own
		return a, nil
	}
	var ce *httpc.ConnectError
	var said *SaidError
	if errors.As(e2.Err, &ce) || e2.RetryAfter > 0 || ctx.Err() != nil || errors.As(e2.Err, &said) && said.NoGateway {
		return Answer{}, e2
	}
	e1 := c.v1(ctx, base, key)
	if e1 == nil {
		a.API = "v1"
		return a, &Error{Kind: e2.Kind, Err: fmt.Errorf("v2: %w", e2.Err)}
	}
	var again *SaidError
	if errors.As(e1.Err, &again) && said != nil && again.Hint == said.Hint {
		said.Hint = "" // once is enough
	}
	return Answer{}, &Error{
		Kind: max(e1.Kind, e2.Kind), RetryAfter: e1.RetryAfter,
		Err: fmt.Errorf("v2: %w; v1: %w", e2.Err, e1.Err),
	}
}

func (c *Client) v2(ctx context.Context, base *url.URL, key peerselector.Key) (p peerselector.Peer,
	own []netip.Prefix, e *Error) {
	r, e := c.post(ctx, base.JoinPath(pathV2), request{c.o.Domain, key.String(), c.o.Location})
	if e != nil {
		return p, nil, e
	}
	p, err := parseV2(r.body, key, c.o.OwnLink, c.o.Layer3)
	if err == nil && c.o.Layer3 {
		own, err = parseOwn(r.body, p)
	}
	if err != nil {
		return peerselector.Peer{}, nil, r.malformed(err)
	}
	return p, own, nil
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
	r, e := c.exchange(ctx, "POST", u, body)
	if e != nil {
		return reply{}, e
	}
	e = r.check()
	var said *SaidError
	if e != nil && errors.As(e.Err, &said) {
		c.interpret(said)
	}
	return r, e
}

// The texts of wgkex that say more, or less, than they mean (freifunkMUC/wgkex, wgkex/broker/app.py).
const (
	saysInternal  = "An internal error has occurred" // for a key or a domain that it does not take
	saysNoGateway = "no gateway online"
)

// interpret adds what is known of a text.
func (c *Client) interpret(said *SaidError) {
	switch {
	case strings.HasPrefix(said.Text, saysInternal):
		said.Hint = fmt.Sprintf("brokers say so when they do not know the domain: is option domain '%s' right?",
			printable.Text(c.o.Domain, 60))
	case strings.HasPrefix(said.Text, saysNoGateway):
		said.NoGateway = true
	}
}

// Locations gives the names that Options.Location may have. It is nil without an error when the broker knows no such
// list, as those in the field do. The first broker that answers is believed. The error is an *Error.
func (c *Client) Locations(ctx context.Context) ([]string, error) {
	var names []string
	good, failed := c.inTurn(ctx, func(base *url.URL) (bool, *Error) {
		r, e := c.exchange(ctx, "GET", base.JoinPath(pathLocations), nil)
		if e == nil && (r.status == 404 || r.html()) {
			return true, nil
		}
		if e == nil {
			e = r.check()
		}
		if e != nil {
			return false, e
		}
		var err error
		if names, err = parseLocations(r.body); err != nil {
			return false, r.malformed(err)
		}
		return true, nil
	})
	if !good {
		return nil, failed
	}
	return names, nil
}
