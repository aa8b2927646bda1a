//go:build !nobroker

package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"wguplink/agent/mtu"
	"wguplink/peerselector"

	"wguplink/agent/signify"
)

// ParkerOptions is what a Parker is made from. Bases, SigningKey and Dial must be set; CAFile, Pins, Timeout, Header,
// Dial, Now and Intn are those of Options.
type ParkerOptions struct {
	// Bases are the full URLs of the configuration, without a query: "http://config.example.org/config", and at wgkex
	// "http://broker.example.org/api/v3/config".
	Bases []*url.URL
	// SigningKey is the network's.
	SigningKey signify.PublicKey
	CAFile     string
	Pins       [][32]byte
	Timeout    time.Duration
	Header     map[string][]string
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	// Version is the firmware's, which the servers log: the content of /lib/gluon/release.
	Version string
	// V6MTU gives the IPv6 MTU of the WAN device in bytes, from which a server chooses the family of the endpoints.
	// When it fails, or is nil, that is 1280, the least there is: a WAN without IPv6 gets the answer for IPv4.
	V6MTU func() (int, error)
	// Ingress and Egress are the bandwidth limits in kbit/s, 0 for none. Without any the server is not told.
	Ingress, Egress uint32
	Now             func() time.Time
	Intn            func(n int64) int64
	// Nonce gives what the server must repeat, another one for each call and without characters that mean something in
	// a URL; 32 hexadecimal digits of crypto/rand when nil.
	Nonce func() string
}

// Parker fetches the signed configuration of a node. It holds no connection between calls, and may be used by several
// goroutines.
type Parker struct {
	*servers
	opts ParkerOptions
}

// NewParker checks the options; it does no I/O.
func NewParker(o ParkerOptions) (*Parker, error) {
	if o.SigningKey == (signify.PublicKey{}) {
		return nil, errors.New("broker: no signing key given; `option config_pubkey` needs the network's")
	}
	if o.Nonce == nil {
		o.Nonce = newNonce
	}
	s, err := newServers(Options{
		Bases: o.Bases, CAFile: o.CAFile, Pins: o.Pins, Timeout: o.Timeout, Header: o.Header, Dial: o.Dial,
		Now: o.Now, Intn: o.Intn,
	}, "*/*")
	if err != nil {
		return nil, err
	}
	return &Parker{s, o}, nil
}

// newNonce is "" when the kernel gives no random numbers.
func newNonce() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return ""
	}
	return hex.EncodeToString(b[:])
}

// Register asks for our configuration, which makes our key known where it was not; Answer.Network is never nil then.
// The servers are asked in the configured order, from a random one on, until one answers as it should: an answer that
// is not signed by the network, or not made for this request, does not count. One that says that our key is not known
// yet ends the search with an Error of the kind NotRegistered, whose RetryAfter is when the server wants to be asked
// again. The error is an *Error.
func (p *Parker) Register(ctx context.Context, key peerselector.Key) (Answer, error) {
	var a Answer
	var unknown *Error
	good, failed := p.inTurn(ctx, func(base *url.URL) (bool, *Error) {
		var e *Error
		if a, e = p.ask(ctx, base, key); e != nil && e.Kind == NotRegistered {
			unknown = e
		}
		return e == nil || unknown != nil, e
	})
	if unknown != nil {
		failed.RetryAfter = unknown.RetryAfter // what the servers before it wanted does not count
		return Answer{}, failed
	}
	return result(a, good, failed)
}

func (p *Parker) ask(ctx context.Context, base *url.URL, key peerselector.Key) (Answer, *Error) {
	nonce := p.opts.Nonce()
	if nonce == "" {
		return Answer{}, &Error{Kind: Unreachable,
			Err: errors.New("not asked, since the kernel gives no random numbers")}
	}
	u := *base
	u.RawQuery = p.query(key, nonce)
	r, e := p.exchange(ctx, "GET", &u, nil)
	if e == nil {
		e = r.check()
	}
	if e != nil {
		return Answer{}, e
	}
	n, err := p.verify(r.body, nonce, key)
	if err != nil {
		return Answer{}, r.malformed(err)
	}
	if n.ID == "" {
		retry := min(n.Retry, MaxRetryAfter)
		return Answer{}, &Error{Kind: NotRegistered, RetryAfter: retry,
			Err: fmt.Errorf("the server does not know our key yet, ask again in %v", retry)}
	}
	n.Saved = append(fmt.Appendf(nil, "%s %s %s %s\n", savedFormat, nonce, key, base), r.body...)
	return Answer{Broker: base.String(), API: "parker", Network: n}, nil
}

// verify reads a response, which must be signed, and made for this nonce.
func (p *Parker) verify(response []byte, nonce string, key peerselector.Key) (*Network, error) {
	signed, err := p.opts.SigningKey.Open(response)
	if err != nil {
		return nil, err
	}
	n, err := parseNetwork(signed, nonce, key)
	if err != nil {
		return nil, err
	}
	n.Config = signed
	return n, nil
}

// query is written as the original's script does it (freifunk-gluon/community-packages, ffbs-mesh-vpn-parker,
// nodeconfig.sh), so that servers and their logs see no difference: the order, and of the key only its plus signs
// escaped. With limits the original sends both, and one that is not set as an empty value.
func (p *Parker) query(key peerselector.Key, nonce string) string {
	narrowest := mtu.Least
	if p.opts.V6MTU != nil {
		if n, err := p.opts.V6MTU(); err == nil {
			narrowest = n
		}
	}
	q := "pubkey=" + strings.ReplaceAll(key.String(), "+", "%2B") + "&nonce=" + nonce + "&v6mtu=" +
		strconv.Itoa(narrowest) +
		"&version=" + queryValue(p.opts.Version)
	if p.opts.Ingress > 0 || p.opts.Egress > 0 {
		q += "&tc_ingress=" + limit(p.opts.Ingress) + "&tc_egress=" + limit(p.opts.Egress)
	}
	return q
}

func limit(kbit uint32) string {
	if kbit == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(kbit), 10)
}

// queryValue leaves s as it is, like the original, but for the bytes that would end the value, the query or the request
// line: all that may not stand in a query (RFC 3986 section 3.4), and & ; and %. A plus sign stays, as the original's
// does.
func queryValue(s string) string {
	const raw = "-._~!$'()*+,:@/?="
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if alnum(s[i]) || strings.IndexByte(raw, s[i]) >= 0 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// savedFormat starts Network.Saved: one line with it, the nonce, our key and the server's URL, then the response as it
// came.
const savedFormat = "wguplink-parker 1"

// Restore goes on with a configuration that Register gave, from its Network.Saved. All is verified again: the
// signature, the nonce, each value, and that it is for this key. Network.Time is not set, since that moment has passed.
func (p *Parker) Restore(saved []byte, key peerselector.Key) (Answer, error) {
	fail := func(err error) (Answer, error) { return Answer{}, fmt.Errorf("saved configuration: %w", err) }
	head, response, ok := bytes.Cut(saved, []byte("\n"))
	rest, known := strings.CutPrefix(string(head), savedFormat+" ")
	words := strings.Split(rest, " ")
	switch {
	case !ok || !known || len(words) != 3:
		return fail(fmt.Errorf("its first line is not one of %q", savedFormat))
	case len(response) > maxBody:
		return fail(fmt.Errorf("more than %d bytes", maxBody))
	case words[1] != key.String():
		return fail(errors.New("it is for another key than ours"))
	}
	n, err := p.verify(response, words[0], key)
	if err != nil {
		return fail(err)
	}
	if n.ID == "" {
		return fail(errors.New("id is missing"))
	}
	n.Time, n.Saved = time.Time{}, saved
	a := Answer{API: "parker", Network: n}
	for _, base := range p.bases { // the line is not signed: only a URL that we would ask ourselves is shown
		if base.String() == words[2] {
			a.Broker = words[2]
		}
	}
	return a, nil
}
