//go:build go1.25

package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/slog"
	"wguplink/peerselector"
)

var both = Policy{V4: true, V6: true}

func set(p Policy) *Set {
	s := New(slog.New(slog.DiscardHandler))
	s.SetPolicy(p)
	return s
}

func gateway(n byte, endpoints ...string) peerselector.Peer {
	return peerselector.Peer{Name: fmt.Sprint("gw", n), PublicKey: peerselector.Key{n}, Endpoints: endpoints}
}

func addrs(texts ...string) (all []netip.AddrPort) {
	for _, s := range texts {
		all = append(all, netip.MustParseAddrPort(s))
	}
	return all
}

const (
	v4 = "192.0.2.1:1"
	v6 = "[2001:db8::1]:1"
)

func TestAttempts(t *testing.T) {
	for _, tt := range []struct {
		policy Policy
		want   []string // by attempt
	}{
		{both, []string{v6, v4, v6}},
		{Policy{V4: true}, []string{v4, v6, v4}},
		{Policy{V4: true, V6: true, Family: config.Only4}, []string{v4, v4}},
		{Policy{V4: true, V6: true, Family: config.Only6}, []string{v6, v6}},
		{Policy{V4: true, V6: true, Family: config.Prefer6}, []string{v6, v6, v4, v4}},
		{Policy{V4: true, V6: true, Narrow6: true}, []string{v4, v4}},
	} {
		s := set(tt.policy)
		p := gateway(1, v4, v6)
		last := 0
		for i, want := range tt.want {
			if ev := s.Install(p, i); len(ev) > 0 {
				t.Errorf("%+v: %v", tt.policy, ev)
			}
			if got := s.Get(p.PublicKey); got.Endpoint.String() != want || got.Creation == last {
				t.Errorf("%+v: attempt %d at %v, want %s", tt.policy, i, got.Endpoint, want)
			} else {
				last = got.Creation
			}
		}
	}
}

// The family that worked last comes first.
func TestFamilyThatWorked(t *testing.T) {
	s := set(both)
	p := gateway(1, v4, v6)
	s.Install(p, 0)
	s.Shook(p.PublicKey, netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"))
	if got := s.Get(p.PublicKey); got.Endpoint.String() != v4 || got.Handshake == 0 {
		t.Errorf("%+v", got)
	}
	s.Install(p, 0)
	if got := s.Get(p.PublicKey).Endpoint.String(); got != v4 {
		t.Errorf("IPv4 worked, tried is %s", got)
	}
	s.Shook(peerselector.Key{9}, netip.MustParseAddrPort(v6)) // a stranger
	if s.Roamed(p.PublicKey, netip.MustParseAddrPort(v4)) || !s.Roamed(p.PublicKey, netip.MustParseAddrPort(v6)) {
		t.Error("roaming is not noticed")
	}
	if !s.Usable(netip.MustParseAddrPort(v4)) {
		t.Error("IPv4 may not be used")
	}
}

func TestNames(t *testing.T) {
	s := set(both)
	p := gateway(1, "gw.example.org:1")
	s.Install(p, 0)
	look := s.Lookups()
	if len(look) != 1 || look[0].Endpoints[0] != "gw.example.org:1" || s.Get(p.PublicKey).Endpoint.IsValid() {
		t.Fatalf("%+v", look)
	}
	s.Install(p, 1) // it goes on being looked up
	if again := s.Lookups(); len(again) != 1 || again[0].Number != look[0].Number {
		t.Errorf("%+v", again)
	}
	late := look[0]
	late.Number = 99
	if moved, ev := s.Resolved(late, addrs(v4), nil); moved || ev != nil || s.Get(p.PublicKey).Endpoint.IsValid() {
		t.Error("an answer that is not wanted any more is taken")
	}
	s.Resolved(look[0], addrs(v4, v6), nil)
	if len(s.Lookups()) > 0 || s.Get(p.PublicKey).Endpoint.String() != v4 { // of the second attempt
		t.Errorf("%+v", s.Get(p.PublicKey))
	}
	for _, tt := range []struct {
		found []netip.AddrPort
		err   error
		want  string
	}{
		{nil, errors.New("NXDOMAIN"), "NXDOMAIN"},
		{addrs("[2001:db8::1]:1"), nil, "name gw.example.org has no address of an address family that is allowed"},
	} {
		s := set(Policy{V4: true, Family: config.Only4})
		s.Install(p, 0)
		_, ev := s.Resolved(s.Lookups()[0], tt.found, tt.err)
		if len(ev) != 1 || ev[0] != (peerselector.Failed{Key: p.PublicKey}) {
			t.Errorf("%v", ev)
		}
		s.Remove(p.PublicKey, false) // as the engine wants it then
		if s.Err() == nil || !strings.Contains(s.Err().Error(), tt.want) {
			t.Errorf("%v, want %s", s.Err(), tt.want)
		}
	}
	s.Install(p, 0)
	s.Remove(p.PublicKey, false)
	if s.Err() == nil || !strings.Contains(s.Err().Error(),
		"gw.example.org is not resolved, there is no answer in time") ||
		s.Len() != 0 || len(s.Lookups()) != 0 {
		t.Errorf("%v", s.Err())
	}
	s.Install(gateway(2, v4), 0)
	s.Promote(gateway(2, v4))
	if s.Err() != nil {
		t.Error("a gateway is in use, and the reason why another was not stays")
	}
	if ev := s.Install(gateway(3), 0); len(ev) != 1 {
		t.Error("a gateway without an endpoint can be tried")
	}
}

func TestReaim(t *testing.T) {
	s := set(both)
	p := gateway(1, "gw.example.org:1")
	s.Reaim(p.PublicKey) // not there
	s.Install(p, 0)
	s.Resolved(s.Lookups()[0], addrs(v4), nil)
	s.Promote(p)
	was := *s.Get(p.PublicKey)
	for i, tt := range []struct {
		found []netip.AddrPort
		err   error
		want  string
	}{
		{nil, errors.New("timeout"), v4},
		{nil, nil, v4},
		{addrs(v4), nil, v4},
		{addrs(v4, "192.0.2.2:1"), nil, "192.0.2.2:1"},
		{addrs(v4, "192.0.2.2:1"), nil, v4},
	} {
		s.Reaim(p.PublicKey)
		s.Reaim(p.PublicKey)
		if len(s.Lookups()) != 1 {
			t.Fatalf("%d: %+v", i, s.Lookups())
		}
		before := s.Get(p.PublicKey).Endpoint
		moved, ev := s.Resolved(s.Lookups()[0], tt.found, tt.err)
		got := s.Get(p.PublicKey)
		if got.Endpoint.String() != tt.want || moved != (before != got.Endpoint) || len(ev) > 0 ||
			got.Creation != was.Creation {
			t.Errorf("%d: %+v, moved %v, %v", i, got, moved, ev)
		}
	}
	if got := s.Get(p.PublicKey); got.Move != was.Move+2 || !got.Promoted {
		t.Errorf("%+v", got)
	}
}

func TestStandBy(t *testing.T) {
	s := set(both)
	now := time.Unix(1e9, 0)
	all := []peerselector.Peer{gateway(1, v4), gateway(2, "192.0.2.2:1"), gateway(3, "c.example.org:1"), gateway(4)}
	s.Install(all[0], 0)
	s.StandBy(nil, now)
	s.StandBy(all, now)
	if s.Len() != 3 || len(s.Racing()) != 1 || len(s.Lookups()) != 1 || s.Get(all[3].PublicKey) != nil {
		t.Fatalf("%d peers, %+v", s.Len(), s.Lookups())
	}
	if _, ev := s.Resolved(s.Lookups()[0], nil, errors.New("timeout")); len(ev) > 0 || s.Len() != 2 {
		t.Error("a name that is not resolved concerns the engine")
	}
	s.StandBy(all, now.Add(time.Second))
	if s.Len() != 2 {
		t.Error("looked up again at once")
	}
	s.StandBy(all, now.Add(time.Minute))
	if s.Len() != 3 {
		t.Error("not looked up again")
	}

	// One that leaves the race stands by with its session; into the race it comes with a new one.
	session := s.Get(all[0].PublicKey).Creation
	s.Promote(all[0])
	s.Remove(all[0].PublicKey, true)
	if got := s.Get(all[0].PublicKey); got == nil || got.Promoted || got.Creation != session || len(s.Racing()) != 0 {
		t.Errorf("%+v", got)
	}
	s.Promote(all[1])
	s.Install(all[0], 0)
	s.Renew(all[0].PublicKey)
	if got := s.Get(all[0].PublicKey); got.Creation == session || len(s.Racing()) != 2 || s.Racing()[0].Name != "gw1" {
		t.Errorf("%+v", got)
	}
	s.Remove(peerselector.Key{9}, true)
	if s.Promote(gateway(9, v4)) != nil {
		t.Error("a stranger is promoted")
	}
	s.Clear()
	if s.Len() != 0 {
		t.Error("not forgotten")
	}
}

func TestUpdate(t *testing.T) {
	s := set(both)
	a, b, c := gateway(1, v4), gateway(2, "192.0.2.2:1"), gateway(3, "192.0.2.3:1")
	s.Install(a, 0)
	s.Adopt(b, netip.MustParseAddrPort("192.0.2.2:1"), false)
	s.Adopt(c, netip.MustParseAddrPort("192.0.2.3:1"), true)
	if got := s.Get(c.PublicKey); !got.Promoted || len(s.Racing()) != 2 {
		t.Errorf("%+v", got)
	}
	a.Name = "renamed"
	c.Endpoints = []string{"192.0.2.33:1"}
	s.Update([]peerselector.Peer{a, c}, false)
	if s.Get(a.PublicKey).Name != "renamed" || s.Get(b.PublicKey) == nil || len(s.Lookups()) != 0 {
		t.Errorf("%+v", s.Get(a.PublicKey))
	}
	c.Endpoints = []string{"192.0.2.34:1"}
	s.Update([]peerselector.Peer{a, c}, true)
	if s.Get(b.PublicKey) != nil {
		t.Error("one that is no gateway any more stands by")
	}
	s.Resolved(s.Lookups()[0], addrs("192.0.2.34:1"), nil)
	if got := s.Get(c.PublicKey); got.Endpoint.String() != "192.0.2.34:1" || got.Move != 1 || got.Creation != 0 {
		t.Errorf("%+v", got)
	}
}

// What follows from the addresses is asked for anew only when they may be others.
func TestAddresses(t *testing.T) {
	s := set(both)
	p, q := gateway(1, v4, v6), gateway(2, "gw.example.org:1")
	for _, tt := range []struct {
		what    string
		do      func()
		changes bool
		want    []netip.AddrPort
	}{
		{"nothing", func() {}, false, nil},
		{"a gateway with addresses", func() { s.Install(p, 0) }, true, addrs(v4, v6)},
		{"a look", func() { s.Get(p.PublicKey); s.Racing(); s.Lookups() }, false, addrs(v4, v6)},
		{"a handshake", func() { s.Shook(p.PublicKey, s.Get(p.PublicKey).Endpoint) }, false, addrs(v4, v6)},
		{"promoted", func() { s.Promote(p) }, false, addrs(v4, v6)},
		{"heard from elsewhere", func() { s.Roamed(p.PublicKey, netip.MustParseAddrPort("192.0.2.77:1")) }, true,
			addrs(v4, "192.0.2.77:1", v6)},
		{"heard from there again", func() { s.Shook(p.PublicKey, netip.MustParseAddrPort("192.0.2.77:1")) }, false,
			addrs(v4, "192.0.2.77:1", v6)},
		{"a name", func() { s.Install(q, 0); s.Remove(p.PublicKey, false) }, true, nil},
		{"resolved", func() { s.Resolved(s.Lookups()[0], addrs(v4), nil) }, true, addrs(v4)},
		{"forgotten", s.Clear, true, nil},
	} {
		before := s.Changes()
		tt.do()
		if got := s.Addresses(); (s.Changes() != before) != tt.changes || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v; changes %d, then %d", tt.what, got, tt.want, before, s.Changes())
		}
	}
}
