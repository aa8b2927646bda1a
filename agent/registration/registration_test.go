//go:build go1.25

package registration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/signify"
	"wguplink/agent/slog"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

var now = time.Unix(1e9, 0)

type fake struct{ Source }

func (f fake) Register(context.Context, peerselector.Key) (broker.Answer, error) {
	return broker.Answer{Broker: f.Domain}, nil
}

func (f fake) Restore(saved []byte, _ peerselector.Key) (broker.Answer, error) {
	if string(saved) != "good" {
		return broker.Answer{}, errors.New("signature wrong")
	}
	return broker.Answer{Network: &broker.Network{ID: "7"}}, nil
}

func registration(t *testing.T, s Source) (*Registration, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	r := New(func(s Source) (Registrar, error) {
		if s.Domain == "bad" {
			return nil, errors.New("no such file")
		}
		return fake{s}, nil
	}, func(n int64) int64 { return n / 2 }, slog.New(slog.NewTextHandler(&log, nil)))
	r.Configure(s)
	return r, &log
}

func TestQuery(t *testing.T) {
	r, _ := registration(t, Source{Domain: "a"})
	if _, ok := r.Query(); ok {
		t.Error("asked without being told to")
	}
	r.Ask()
	first, _ := r.Query()
	r.Ask()
	if again, ok := r.Query(); !ok || again.Number != first.Number {
		t.Error("asked twice")
	}
	if a := first.Run(t.Context()); a.Err != nil || a.Broker != "a" {
		t.Errorf("%+v", a)
	}
	if r.Configure(Source{Domain: "a"}) {
		t.Error("the same source is another")
	}
	if !r.Configure(Source{Domain: "b"}) {
		t.Error("another source is the same")
	}
	second, ok := r.Query()
	if a := second.Run(t.Context()); !ok || second.Number == first.Number || a.Broker != "b" {
		t.Errorf("%+v", a)
	}
	r.Take(Answer{Answer: broker.Answer{Broker: "b", API: "v1"}}, 1, now)
	if _, ok := r.Query(); ok || r.Says() != "b (v1)" {
		t.Errorf("says %q", r.Says())
	}
	if c, err := r.Trouble(); c != status.None || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	r.Configure(Source{Domain: "bad"})
	r.Ask()
	if q, _ := r.Query(); q.err == nil {
		t.Error("no error")
	} else if a := q.Run(t.Context()); a.Err == nil {
		t.Error("no error")
	}
	none := New(nil, nil, slog.New(slog.DiscardHandler))
	none.Ask()
	if q, _ := none.Query(); q.err == nil || !strings.Contains(q.err.Error(), "no broker support") {
		t.Errorf("%v", q.err)
	}
	if _, ok := none.Restore(nil); ok {
		t.Error("restored without a registrar")
	}
}

// Each option that a registrar is built from makes it another: all fields of Source are compared.
func TestSourceCounts(t *testing.T) {
	key := peerselector.Key{1}
	u := config.Uplink{
		Protocol: config.WGKex, Brokers: []*url.URL{{Host: "b"}}, BrokerCA: "ca", BrokerPins: [][32]byte{{1}},
		BrokerTimeout: time.Second, OwnChoice: true, Mode: config.ModeLayer3,
		Domain: "d", Location: "l", ConfigKey: signify.PublicKey{Public: [32]byte{1}}, NodeName: "n", WANDevice: "w",
		LimitIngress: 1, LimitEgress: 2,
		Interface: "i", Batman: "bat0", FwMark: 3,
		DNSServers: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")},
	}
	full := reflect.ValueOf(SourceOf(u, key))
	for i := range full.NumField() {
		name := full.Type().Field(i).Name
		if full.Field(i).IsZero() {
			t.Errorf("%s does not come out of the configuration", name)
		}
		other := SourceOf(u, key)
		reflect.ValueOf(&other).Elem().Field(i).SetZero()
		r, _ := registration(t, SourceOf(u, key))
		if !r.Configure(other) {
			t.Errorf("another %s is the same", name)
		}
		if r.Configure(other) {
			t.Errorf("the same %s is another", name)
		}
	}
}

func TestTake(t *testing.T) {
	failed := func(k broker.Kind) error {
		return &broker.Error{Kind: k, Broker: "b", RetryAfter: time.Minute, Err: errors.New("x")}
	}
	for _, tt := range []struct {
		what   string
		answer broker.Answer
		err    error
		others int
		cause  status.Cause
	}{
		{"gateways", broker.Answer{Peers: make([]peerselector.Peer, 2)}, nil, 0, status.None},
		{"gateways of the configuration", broker.Answer{}, nil, 1, status.None},
		{"no gateway at all", broker.Answer{Broker: "b"}, nil, 0, status.BrokerUnreachable},
		{"no gateway, by another way", broker.Answer{Broker: "b", Fallback: failed(broker.Refused)}, nil, 0,
			status.BrokerRefused},
		{"a network", broker.Answer{Network: &broker.Network{Retry: time.Minute,
			Concentrators: make([]broker.Concentrator, 1)}}, nil, 0, status.None},
		{"a network without a concentrator", broker.Answer{Network: &broker.Network{}}, nil, 0,
			status.BrokerUnreachable},
		{"refused", broker.Answer{}, failed(broker.Refused), 1, status.BrokerRefused},
		{"not registered", broker.Answer{}, failed(broker.NotRegistered), 1, status.NotRegistered},
		{"unreachable", broker.Answer{}, failed(broker.Unreachable), 1, status.BrokerUnreachable},
		{"no registrar", broker.Answer{}, errors.New("no file"), 1, status.BrokerUnreachable},
	} {
		r, log := registration(t, Source{})
		r.Ask()
		got := Answer{Answer: tt.answer, Err: tt.err}
		r.Take(got, tt.others, now)
		cause, err := r.Trouble()
		if cause != tt.cause || (err != nil) != (tt.cause != status.None) || r.Says() == "" {
			t.Errorf("%s: %v, %v, says %q", tt.what, cause, err, r.Says())
		}
		var e *broker.Error
		if errors.As(tt.err, &e) != (got.RetryAfter() == time.Minute) {
			t.Errorf("%s: retry after %v", tt.what, got.RetryAfter())
		}
		before := log.Len()
		r.Ask()
		r.Take(got, tt.others, now)
		if tt.err != nil && log.Len() != before {
			t.Errorf("%s: told twice", tt.what)
		}
	}
}

// That a server has the entry already is said in the line of each registration, and kept until an answer without it.
func TestKnown(t *testing.T) {
	r, log := registration(t, Source{})
	r.Ask()
	r.Take(Answer{Answer: broker.Answer{Broker: "b", Known: "node_ab already exists"}}, 1, now)
	if r.Known() != "node_ab already exists" || strings.Count(log.String(), `says="node_ab already exists"`) != 1 {
		t.Errorf("%q, log %s", r.Known(), log)
	}
	if _, err := r.Trouble(); err != nil {
		t.Error(err)
	}
	r.Ask()
	r.Take(Answer{Err: errors.New("x")}, 1, now)
	if r.Known() == "" {
		t.Error("an error makes the entry unknown")
	}
	r.Ask()
	r.Take(Answer{Answer: broker.Answer{Broker: "b"}}, 1, now)
	if r.Known() != "" || strings.Count(log.String(), "says=") != 1 {
		t.Errorf("%q, log %s", r.Known(), log)
	}
	r.Ask()
	r.Take(Answer{Answer: broker.Answer{Known: "x"}}, 1, now)
	if r.Configure(Source{NodeName: "n"}); r.Known() != "" {
		t.Error("known to another server")
	}
}

func TestDue(t *testing.T) {
	r, _ := registration(t, Source{})
	if at, ok := r.Due(); !ok || !at.IsZero() {
		t.Errorf("at first %v, %v", at, ok)
	}
	last := time.Duration(0)
	for range 20 {
		r.Ask()
		if _, ok := r.Due(); ok {
			t.Error("due while it is asked")
		}
		r.Take(Answer{Err: errors.New("x")}, 0, now)
		at, _ := r.Due()
		if wait := at.Sub(now); wait < last || wait > fetchMost {
			t.Errorf("waits %v after %v", wait, last)
		} else {
			last = wait
		}
	}
	if last < fetchMost/2 {
		t.Errorf("the longest wait is %v", last)
	}
	r.Refetch()
	if at, ok := r.Due(); !ok || !at.IsZero() {
		t.Errorf("%v, %v", at, ok)
	}
	r.Ask()
	r.Take(Answer{Answer: broker.Answer{Network: &broker.Network{Retry: time.Minute}}}, 0, now)
	if at, _ := r.Due(); at.Sub(now) < time.Minute || at.Sub(now) > 66*time.Second {
		t.Errorf("again after %v", at.Sub(now))
	}
}

// A fault is told once, although parts of its text differ at each try, and again after a success.
func TestFailuresToldOnce(t *testing.T) {
	r, log := registration(t, Source{})
	fail := func(texts ...string) {
		for _, text := range texts {
			r.Ask()
			r.Take(Answer{Err: errors.New(text)}, 0, now)
		}
	}
	want := func(n int) {
		t.Helper()
		if got := strings.Count(log.String(), "registration failed"); got != n {
			t.Errorf("told %d times, want %d:\n%s", got, n, log)
		}
	}
	fail("read tcp 10.0.0.7:43210->192.0.2.1:443: connection reset by peer",
		"read tcp 10.0.0.7:43228->192.0.2.1:443: connection reset by peer")
	want(1)
	// Two addresses of one name, in turn.
	for range 5 {
		fail("dial tcp 192.0.2.1:443: connection refused", "dial tcp 192.0.2.2:443: no route to host")
	}
	want(3)
	fail("status 500", "status 503")
	want(5)
	r.Ask()
	r.Take(Answer{Answer: broker.Answer{Peers: make([]peerselector.Peer, 1)}}, 0, now)
	fail("status 500")
	want(6)
	// A server whose words have the time in them, or the number of the request.
	for i := range 50 {
		fail(fmt.Sprintf(`status 500: "request 7f%02x failed at 2026-11-28T12:00:%02dZ"`, i, i))
	}
	want(6 + maxAlike)
	fail("status 403")
	want(7 + maxAlike)
}

func TestRestore(t *testing.T) {
	r, log := registration(t, Source{})
	if n, ok := r.Restore([]byte("good")); !ok || n.ID != "7" {
		t.Errorf("%+v, %v", n, ok)
	}
	if _, ok := r.Restore([]byte("forged")); ok || !strings.Contains(log.String(), "is not used") {
		t.Errorf("log %s", log)
	}
	if _, ok := r.Query(); ok {
		t.Error("asked")
	}
}

// What the WAN says of a signed configuration comes beside what the server said, and does not touch the answer itself.
func TestChecked(t *testing.T) {
	was := Answer{Answer: broker.Answer{Broker: "b", Network: &broker.Network{ID: "7", Warnings: []string{"odd"}}}}
	got := was.Checked([]string{"narrow"}, nil)
	if got.Err != nil || got.Network.ID != "7" || !slices.Equal(got.Network.Warnings, []string{"odd", "narrow"}) ||
		len(was.Network.Warnings) != 1 {
		t.Errorf("%+v; it was %+v", got.Network, was.Network)
	}
	var e *broker.Error
	unfit := was.Checked(nil, errors.New("it would cut the WAN"))
	if !errors.As(unfit.Err, &e) || e.Kind != broker.Malformed || e.Broker != "b" ||
		!strings.Contains(e.Error(), "it would cut the WAN") {
		t.Errorf("%v", unfit.Err)
	}
}
