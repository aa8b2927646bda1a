package hooks

import (
	"testing"
	"time"

	"wguplink/agent/json"
)

func TestSame(t *testing.T) {
	event := func(config string) Event {
		return Event{Uplink: "parker", GatewayKey: "k", Config: json.RawMessage(config)}
	}
	a := event(`{"nonce":"1","time":1000,"id":7,"extra":{"x":[1,2]}}`)
	for _, tt := range []struct {
		config string
		same   bool
	}{
		{`{"nonce":"1","time":1000,"id":7,"extra":{"x":[1,2]}}`, true},
		{`{"extra":{"x":[1,2]},"nonce":"2","time":2000,"id":7}`, true}, // as each answer differs
		{`{"nonce":"1","time":1000,"id":8,"extra":{"x":[1,2]}}`, false},
		{`{"nonce":"1","time":1000,"id":7,"extra":{"x":[1,3]}}`, false}, // what only a hook knows
		{`{"nonce":"1","time":1000,"id":7}`, false},
	} {
		if got := same(a, event(tt.config)); got != tt.same {
			t.Errorf("%s: %v", tt.config, got)
		}
	}
	b := a
	b.Gateway = "c2"
	if same(a, b) {
		t.Error("another gateway is the same")
	}
}

func TestTeller(t *testing.T) {
	began := time.Unix(0, 0)
	none := Event{Uplink: "mesh", PublicKey: "p"}
	gw1 := Event{Uplink: "mesh", PublicKey: "p", GatewayKey: "1"}
	gw2 := Event{Uplink: "mesh", PublicKey: "p", GatewayKey: "2"}
	tell := NewTeller(began)
	if _, ok := tell.Down(); ok {
		t.Error("down before anything was told")
	}
	for i, tt := range []struct {
		at    time.Duration
		facts Event
		want  string // "" for nothing
	}{
		{0, none, ""}, // it may work within a moment
		{time.Second, gw1, Up},
		{2 * time.Second, gw1, ""},
		{3 * time.Second, gw2, Change},
		{4 * time.Second, none, Down},
		{5 * time.Second, none, ""},
		{6 * time.Second, gw1, Up},
	} {
		e, ok := tell.Tell(tt.facts, began.Add(tt.at))
		if e.Event != tt.want || ok != (tt.want != "") {
			t.Errorf("%d: %+v, %v", i, e, ok)
		}
	}
	if _, ok := tell.Next(); ok {
		t.Error("something is left to be told")
	}
	if e, ok := tell.Down(); !ok || e.Event != Down || e.PublicKey != "p" || e.GatewayKey != "" {
		t.Errorf("%+v, %v", e, ok)
	}

	tell = NewTeller(began)
	at, ok := tell.Next()
	if !ok || at != began.Add(time.Minute) {
		t.Errorf("next %v, %v", at, ok)
	}
	if e, ok := tell.Tell(none, at); !ok || e.Event != Down {
		t.Errorf("%+v, %v", e, ok)
	}
	if _, ok := tell.Down(); ok {
		t.Error("told twice that it is down")
	}
}
