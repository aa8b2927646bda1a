package wgpeerselector

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/agent/ubus"
	"wguplink/peerselector"
)

func TestStatus(t *testing.T) {
	u := config.Uplink{Gateways: []peerselector.Peer{
		{Name: "gw1", PublicKey: key(t, keyA)}, {Name: "cfg023511", PublicKey: key(t, keyB)},
		{Name: "gw3", PublicKey: key(t, keyC)},
	}}
	const (
		none   = `{"peers":{"gw1":{},"cfg023511":{},"gw3":{}}}`
		second = `{"peers":{"gw1":{},"cfg023511":{"established":1490},"gw3":{}}}`
		now    = status.Uptime(5_000_999)
	)
	gateway := func(key string, handshake status.Uptime) *status.Gateway {
		// Another name: sections can be renamed while the agent runs.
		return &status.Gateway{Name: "gw1", PublicKey: key, Established: 3_510_500, HandshakeAt: handshake}
	}
	for name, tt := range map[string]struct {
		s    status.Snapshot
		want string
	}{
		"nothing yet":         {status.Snapshot{}, none},
		"connecting":          {status.Snapshot{State: status.Connecting}, none},
		"connected":           {status.Snapshot{State: status.Connected, Gateway: gateway(keyB, 4_990_000)}, second},
		"suspect":             {status.Snapshot{State: status.Suspect, Gateway: gateway(keyB, 4_990_000)}, second},
		"connecting again":    {status.Snapshot{State: status.Connecting, Gateway: gateway(keyB, 4_990_000)}, none},
		"stopped":             {status.Snapshot{State: status.Stopped, Gateway: gateway(keyB, 4_990_000)}, none},
		"149 s old handshake": {status.Snapshot{State: status.Connected, Gateway: gateway(keyB, now-149_999)}, second},
		"150 s old handshake": {status.Snapshot{State: status.Connected, Gateway: gateway(keyB, now-150_000)}, none},
		"handshake unknown":   {status.Snapshot{State: status.Connected, Gateway: gateway(keyB, 0)}, none},
		"a peer of before": {status.Snapshot{State: status.Connected,
			Gateway: gateway("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAM=", 4_990_000)}, none},
	} {
		b, err := json.Marshal(Status(u, tt.s, now))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, string(b)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestStatusTypes has what goes over the wire: int32 as the Lua original's numbers, and tables, also empty ones.
func TestStatusTypes(t *testing.T) {
	u := config.Uplink{Gateways: []peerselector.Peer{{Name: "gw1", PublicKey: key(t, keyA)},
		{Name: "gw2", PublicKey: key(t, keyB)}}}
	s := status.Snapshot{State: status.Connected, Gateway: &status.Gateway{PublicKey: keyA, Established: 1000,
		HandshakeAt: 1 << 42}}
	for now, want := range map[status.Uptime]int32{1000: 0, 999: 0, 61_999: 60, 1 << 42: 1<<31 - 1} {
		want := ubus.Table{{Name: "peers", Value: ubus.Table{
			{Name: "gw1", Value: ubus.Table{{Name: "established", Value: want}}},
			{Name: "gw2", Value: ubus.Table{}},
		}}}
		if d := cmp.Diff(want, Status(u, s, now)); d != "" {
			t.Errorf("at %d (-want +got):\n%s", now, d)
		}
	}
	s.Gateway.HandshakeAt = 0
	if d := cmp.Diff(Status(u, status.Snapshot{}, 1000), Status(u, s, 1000)); d != "" {
		t.Errorf("connected, and no handshake is known (-want +got):\n%s", d)
	}
	if d := cmp.Diff(ubus.Table{{Name: "peers", Value: ubus.Table{}}}, Status(config.Uplink{}, s, 1)); d != "" {
		t.Errorf("no peers (-want +got):\n%s", d)
	}
}
