package mqtt

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a/+", "a/b", true},
		{"a/+", "a/", true},
		{"a/+", "a/b/c", false},
		{"+/b", "a/b", true},
		{"a/#", "a/b/c", true},
		{"a/#", "a", true},
		{"a/#", "b/c", false},
		{"#", "a/b", true},
	} {
		if got := Match(tt.filter, tt.topic); got != tt.want {
			t.Errorf("Match(%q, %q) is %v", tt.filter, tt.topic, got)
		}
	}
}

func TestMemory(t *testing.T) {
	var bus Memory
	var got []Message
	say := func(topic, payload string, retain bool) {
		t.Helper()
		if err := bus.Publish(Message{Topic: topic, Payload: []byte(payload), Retain: retain}); err != nil {
			t.Fatal(err)
		}
	}
	say("x/kept", "old", true)
	say("x/kept", "new", true)
	say("x/gone", "old", true)
	say("x/gone", "", true)
	say("x/lost", "1", false)
	say("y/kept", "1", true)
	if err := bus.Subscribe("x/+", func(m Message) { got = append(got, m) }); err != nil {
		t.Fatal(err)
	}
	say("x/live", "2", true)
	say("y/live", "2", false)
	want := []Message{{Topic: "x/kept", Payload: []byte("new"), Retain: true}, {Topic: "x/live", Payload: []byte("2")}}
	if diff := cmp.Diff(want, slices.Clone(got)); diff != "" {
		t.Error(diff)
	}
}
