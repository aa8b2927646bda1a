//go:build !nobroker

package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"wguplink/agent/json"
	"wguplink/peerselector"

	"wguplink/agent/printable"
)

// maxNodeName is in bytes, the longest name in DNS.
const maxNodeName = 253

// FFACOptions is what an FFAC is made from. URLs, NodeName and Dial must be set; the others are those of Options.
type FFACOptions struct {
	// URLs are the full ones of the registration, e.g. "https://broker.example.org/api/add_key".
	URLs []*url.URL
	// NodeName is what the operators see, usually the host name.
	NodeName string
	CAFile   string
	Pins     [][32]byte
	Timeout  time.Duration
	Header   map[string][]string
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Now      func() time.Time
	Intn     func(n int64) int64
}

// FFAC registers a node's name and key, as Freifunk Aachen's nodes do. It holds no connection between calls, and may be
// used by several goroutines.
type FFAC struct {
	*servers
	name string
}

// NewFFAC checks the options; it does no I/O.
func NewFFAC(o FFACOptions) (*FFAC, error) {
	if o.NodeName == "" {
		return nil, errors.New("broker: no node name to register; set option node_name or the host name")
	}
	if len(o.NodeName) > maxNodeName || printable.Text(o.NodeName, maxNodeName) != o.NodeName {
		return nil, fmt.Errorf("broker: node name %q; want at most %d bytes of printable text",
			printable.Text(o.NodeName, 60), maxNodeName)
	}
	s, err := newServers(Options{
		Bases: o.URLs, CAFile: o.CAFile, Pins: o.Pins, Timeout: o.Timeout, Header: o.Header, Dial: o.Dial,
		Now: o.Now, Intn: o.Intn,
	}, "*/*")
	if err != nil {
		return nil, err
	}
	return &FFAC{s, o.NodeName}, nil
}

// Register makes our key known; which gateways there are the caller has to know. The servers are asked in the
// configured order, from a random one on, until one takes the key, or has it already (Answer.Known). The error is an
// *Error.
func (f *FFAC) Register(ctx context.Context, key peerselector.Key) (Answer, error) {
	a := Answer{API: "ffac"}
	// The members stand in the order of the original (freifunk-gluon/community-packages, ffac-wg-registration).
	body, err := json.Marshal(struct {
		NodeName  string `json:"node_name"`
		PublicKey string `json:"public_key"`
	}{f.name, key.String()})
	if err != nil {
		return Answer{}, &Error{Kind: Unreachable, Broker: f.bases[0].String(), Err: err}
	}
	good, failed := f.inTurn(ctx, func(base *url.URL) (bool, *Error) {
		a.Broker = base.String()
		r, e := f.exchange(ctx, "POST", base, body)
		if e == nil {
			a.Known, e = r.registered()
		}
		return e == nil, e
	})
	return result(a, good, failed)
}

// registered reads what Aachen's server says (ff-supernode, ff.wgbroker). Its older form answers errors with status 400
// and plain text, the newer one with status 200 and a Message. That an entry exists already is every start but the
// first; but it may also be another node's with the same name and a key that begins alike.
func (r reply) registered() (known string, e *Error) {
	says, isError := r.message()
	if strings.Contains(strings.ToLower(says), "already exists") && r.status >= 200 && r.status <= 499 {
		return says, nil
	}
	switch {
	case !r.success() && says != "" && r.status >= 400:
		kind := Refused
		if r.status >= 500 {
			kind = Unreachable
		}
		return "", &Error{Kind: kind, RetryAfter: r.retryAfter, Err: &SaidError{Status: r.statusLine(), Text: says}}
	case !r.success():
		return "", r.check()
	case r.markup(): // a captive portal looks like this
		return "", &Error{Kind: Malformed,
			Err: fmt.Errorf("status %d, content type %s: not an answer of a registration", r.status, r.contentType())}
	case isError:
		return "", &Error{Kind: Refused, Err: &SaidError{Status: r.statusLine(), Text: says}}
	}
	return "", nil
}

// markup tells a page from text, which servers of this kind send with the content type of pages, too.
func (r reply) markup() bool {
	return strings.HasPrefix(strings.TrimSpace(string(withoutBOM(r.body))), "<")
}

// message gives the text of an answer, short and printable, and whether it tells of an error. These are errors: a
// Message other than OK, a member "error", and any other text that begins with that word.
func (r reply) message() (says string, isError bool) {
	body := withoutBOM(r.body)
	if msg, ok := parseError(body); ok {
		return printable.Text(msg, 160), true
	}
	if !json.Valid(body) {
		if r.markup() {
			return "", false
		}
		return plain(string(body))
	}
	if msg, ok := text(bytes.TrimSpace(body)); ok {
		return plain(msg)
	}
	top, err := fields("", body, "Message", "error", "message", "detail")
	if err != nil {
		return "", false
	}
	if msg, ok := text(top[0]); ok {
		return printable.Text(msg, 160), !strings.EqualFold(strings.TrimSpace(msg), "OK")
	}
	if msg, ok := text(top[1]); ok && strings.TrimSpace(msg) != "" {
		return printable.Text(msg, 160), true
	}
	for _, raw := range top[2:] {
		if msg, ok := text(raw); ok {
			return plain(msg)
		}
	}
	return "", false
}

// plain reads a text that is not marked as an error or as none.
func plain(msg string) (says string, isError bool) {
	says = printable.Text(strings.TrimSpace(msg), 160)
	return says, strings.HasPrefix(strings.ToLower(says), "error")
}
