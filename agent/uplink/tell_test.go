package uplink

import (
	"encoding/json"
	"testing"

	"wguplink/agent/hooks"
)

func TestSameFacts(t *testing.T) {
	event := func(config string) hooks.Event {
		return hooks.Event{Uplink: "parker", GatewayKey: "k", Config: json.RawMessage(config)}
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
		if got := sameFacts(a, event(tt.config)); got != tt.same {
			t.Errorf("%s: %v", tt.config, got)
		}
	}
	b := a
	b.Gateway = "c2"
	if sameFacts(a, b) {
		t.Error("another gateway is the same")
	}
}
