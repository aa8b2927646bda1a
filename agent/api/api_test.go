package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/status"
	"wguplink/agent/ubus"
	"wguplink/agent/uplink"
)

// fake is an agent with one uplink and two gateways.
type fake struct {
	reload   error
	mistakes []string
	asked    []string
}

func (f *fake) Status() []status.Snapshot {
	return []status.Snapshot{{Uplink: "mesh", State: status.Connected, Interface: "wg_mesh",
		Gateway: &status.Gateway{Name: "gw1", RxBytes: 1 << 40}}}
}

func (f *fake) Reconnect(_ context.Context, name, gateway string) (uplink.Outcome, error) {
	f.asked = append(f.asked, name+"/"+gateway)
	switch {
	case name == "other":
		return uplink.Outcome{}, fmt.Errorf("%w %q; running are: mesh", uplink.ErrUnknownUplink, name)
	case gateway == "gw9":
		return uplink.Outcome{}, fmt.Errorf("%w %q; known are: gw1, gw2", uplink.ErrUnknownGateway, gateway)
	case gateway == "dead":
		return uplink.Outcome{}, errors.New("reconnect: dead did not answer; in use is gw1")
	}
	return uplink.Outcome{Gateway: "gw2", Changed: true}, nil
}

func (f *fake) Reload(context.Context) ([]string, error) { return f.mistakes, f.reload }

func call(t *testing.T, a Agent, method string, args ubus.Table) (ubus.Table, error) {
	t.Helper()
	for _, m := range Object(a).Methods {
		if m.Name == method {
			return m.Handle(context.Background(), args)
		}
	}
	t.Fatalf("no method %s", method)
	return nil, nil
}

func TestStatus(t *testing.T) {
	answer, err := call(t, &fake{}, "status", nil)
	if err != nil {
		t.Fatal(err)
	}
	uplinks, _ := answer.Table("uplinks")
	mesh, _ := uplinks.Table("mesh")
	gateway, _ := mesh.Table("gateway")
	state, _ := mesh.String("state")
	name, _ := gateway.String("name")
	if rx, _ := gateway.Int("rx_bytes"); state != "connected" || name != "gw1" || rx != 1<<40 {
		t.Errorf("%+v", answer)
	}
}

// The answer is the schema that the status has in its golden file.
func TestSchema(t *testing.T) {
	golden, err := os.ReadFile("../status/testdata/status.json")
	if err != nil {
		t.Fatal(err)
	}
	var s status.Snapshot
	if err := json.Unmarshal(golden, &s); err != nil {
		t.Fatal(err)
	}
	answer, err := statusOf([]status.Snapshot{s})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, golden); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"uplinks":{"mesh":`+want.String()+"}}", string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReconnect(t *testing.T) {
	for _, tt := range []struct {
		args   ubus.Table
		asked  string
		status error // nil: it works
		want   ubus.Table
	}{
		{nil, "/", nil, ubus.Table{{Name: "gateway", Value: "gw2"}, {Name: "changed", Value: true}}},
		{ubus.Table{{Name: "uplink", Value: "mesh"}, {Name: "gateway", Value: "gw2"}}, "mesh/gw2", nil,
			ubus.Table{{Name: "gateway", Value: "gw2"}, {Name: "changed", Value: true}}},
		{ubus.Table{{Name: "uplink", Value: "other"}}, "other/", ubus.StatusNotFound,
			ubus.Table{{Name: "error", Value: `no such uplink "other"; running are: mesh`}}},
		{ubus.Table{{Name: "gateway", Value: "gw9"}}, "/gw9", ubus.StatusNotFound,
			ubus.Table{{Name: "error", Value: `no such gateway "gw9"; known are: gw1, gw2`}}},
		{ubus.Table{{Name: "gateway", Value: "dead"}}, "/dead", nil,
			ubus.Table{{Name: "error", Value: "reconnect: dead did not answer; in use is gw1"}}},
	} {
		f := &fake{}
		got, err := call(t, f, "reconnect", tt.args)
		if diff := cmp.Diff(tt.want, got); diff != "" || tt.status != nil && !errors.Is(err, tt.status) {
			t.Errorf("%+v: %v (-want +got):\n%s", tt.args, err, diff)
		}
		if _, failed := got.String("error"); failed != (err != nil) {
			t.Errorf("%+v: error %v beside %+v", tt.args, err, got)
		}
		if diff := cmp.Diff([]string{tt.asked}, f.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	}
}

func TestReload(t *testing.T) {
	if answer, err := call(t, &fake{}, "reload", nil); err != nil || answer == nil {
		t.Errorf("%+v, %v", answer, err)
	}
	answer, err := call(t, &fake{mistakes: []string{"mtu"}}, "reload", nil)
	if want := (ubus.Table{{Name: "mistakes", Value: ubus.Array{"mtu"}}}); err != nil || !cmp.Equal(answer, want) {
		t.Errorf("%v: %s", err, cmp.Diff(want, answer))
	}
	answer, err = call(t, &fake{reload: errors.New("line 3: no")}, "reload", nil)
	if why, _ := answer.String("error"); !errors.Is(err, ubus.StatusInvalidArgument) || why != "line 3: no" {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestEvent(t *testing.T) {
	got := Event(status.Snapshot{Uplink: "mesh", State: status.Suspect, Cause: status.NoAnswer,
		Reason: "silent", Interface: "wg_mesh",
		Gateway: &status.Gateway{Name: "gw1"}})
	want := ubus.Table{{Name: "uplink", Value: "mesh"}, {Name: "state", Value: "suspect"},
		{Name: "cause", Value: "no_answer"},
		{Name: "reason", Value: "silent"}, {Name: "interface", Value: "wg_mesh"}, {Name: "gateway", Value: "gw1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, ok := Event(status.Snapshot{}).Get("gateway"); ok {
		t.Error("a gateway without one")
	}
}
