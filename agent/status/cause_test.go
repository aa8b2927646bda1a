package status

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"wguplink/agent/slog"
)

func TestCause(t *testing.T) {
	err := errors.New("the error")
	up := Facts{WANKnown: true, WANUp: true, Clocked: true, Gateway: "gw1", Address: "fe80::1"}
	with := func(change func(*Facts)) Facts {
		f := up
		change(&f)
		return f
	}
	for _, tt := range []struct {
		facts  Facts
		state  State
		cause  Cause
		reason string
	}{
		{Facts{}, Starting, None, ""},
		{Facts{WANKnown: true, WAN: "no default route"}, Connecting, NoWAN, "no default route"},
		{with(func(f *Facts) { f.KeyErr, f.Applied = err, err }), Connecting, BadKey, "the error"},
		{with(func(f *Facts) { f.Applied, f.Link = err, Alive }), Impaired, Device, "the error"},
		{with(func(f *Facts) { f.WANUp, f.WAN, f.Link = false, "no route", Silent }), Suspect, NoWAN, "no route"},
		{with(func(f *Facts) { f.Link = Alive }), Connected, None, ""},
		{with(func(f *Facts) { f.Link, f.Alone = Alive, "bat0" }), Impaired, NoNeighbour,
			"the tunnel to gw1 is fine, but bat0 hears no neighbour behind it"},
		{with(func(f *Facts) { f.Link = Mute }), Suspect, NoAnswer,
			"gw1 shook hands, but fe80::1 does not answer inside the tunnel"},
		{with(func(f *Facts) { f.Link = Silent }), Suspect, NoAnswer, "gw1 is silent; trying others beside it"},
		{with(func(f *Facts) { f.Clocked = false }), Connecting, Clock, "asking for the time"},
		{with(func(f *Facts) { f.Register, f.RegErr, f.InVain = BrokerRefused, err, true }), Connecting,
			BrokerRefused, "the error"},
		{up, Connecting, None, ""},
		{with(func(f *Facts) { f.InVain = true }), Connecting, NoHandshake, "no gateway answers"},
		{with(func(f *Facts) { f.InVain, f.TryErr = true, err }), Connecting, NoHandshake,
			"no gateway answers; the error"},
		{with(func(f *Facts) { f.InVain, f.Known = true, "x exists" }), Connecting, NoHandshake,
			`no gateway answers; the registration says "x exists": is it another node's entry? then set option node_name`},
		{with(func(f *Facts) { f.Link, f.Known = Alive, "x exists" }), Connected, None, ""},
	} {
		state, cause, reason := tt.facts.Cause()
		if state != tt.state || cause != tt.cause || reason != tt.reason {
			t.Errorf("%+v: %s, %s, %q; want %s, %s, %q", tt.facts, state, cause, reason, tt.state, tt.cause, tt.reason)
		}
	}
}

func TestPublish(t *testing.T) {
	var log bytes.Buffer
	told := 0
	p := &Publisher{RunDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil)),
		Changed: func(Snapshot) { told++ }}
	if _, ok := p.Last(); ok {
		t.Error("published before the first")
	}
	at := func(s State, c Cause, gateway string) Snapshot {
		out := Snapshot{Uplink: "mesh", State: s, Cause: c, Reason: "why"}
		if gateway != "" {
			out.Gateway = &Gateway{Name: gateway, PublicKey: gateway}
		}
		return out
	}
	for i, tt := range []struct {
		s        Snapshot
		doubtful bool
		lines    int // of the log by then
	}{
		{at(Starting, None, ""), false, 0},
		{at(Connecting, NoWAN, ""), false, 1},
		{at(Connecting, NoWAN, ""), false, 1},
		{at(Connected, None, "gw1"), false, 2},
		{at(Suspect, NoAnswer, "gw1"), true, 2},
		{at(Connected, None, "gw1"), false, 2},
		{at(Connected, None, "gw2"), false, 3},
	} {
		p.Publish(tt.s, tt.doubtful, "")
		if n := strings.Count(log.String(), "\n"); n != tt.lines {
			t.Errorf("%d: %d lines: %s", i, n, &log)
		}
		s, ok := p.Last()
		read, err := Read(p.RunDir, "mesh", s.Since)
		if !ok || err != nil || read.State != tt.s.State || read.Cause != tt.s.Cause || s.Since == 0 {
			t.Errorf("%d: %+v, %v", i, read, err)
		}
	}
	if told != 4 {
		t.Errorf("told %d times", told)
	}
	// A run directory that cannot be written to changes nothing of that.
	if err := os.RemoveAll(p.RunDir); err != nil {
		t.Fatal(err)
	}
	p.Publish(at(Connecting, NoHandshake, ""), false, "")
	if s, _ := p.Last(); s.Cause != NoHandshake {
		t.Errorf("%+v", s)
	}
}
