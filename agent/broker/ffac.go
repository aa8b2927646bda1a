//go:build !nobroker

package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

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
		return nil, fmt.Errorf("broker: node name %q; want at most %d bytes of printable text", printable.Text(o.NodeName, 60), maxNodeName)
	}
	s, err := newServers(Options{
		Bases: o.URLs, CAFile: o.CAFile, Pins: o.Pins, Timeout: o.Timeout, Header: o.Header, Dial: o.Dial, Now: o.Now, Intn: o.Intn,
	}, "*/*")
	if err != nil {
		return nil, err
	}
	return &FFAC{s, o.NodeName}, nil
}

// Register makes our key known; which gateways there are the caller has to know. The servers are asked in the configured
// order, from a random one on, until one answers with a 2xx status, whatever it says. The error is an *Error.
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
		if e == nil && !r.success() {
			e = r.check()
		}
		return e == nil, e
	})
	return result(a, good, failed)
}
