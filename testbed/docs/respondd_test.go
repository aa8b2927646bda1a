package docs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answer has the types that Yanic's collector reads (data/statistics.go and data/nodeinfo.go of its version 91a8825):
// one field of another type, and it drops the whole answer of the node. What it does not know it passes over; custom
// fields are texts.
type answer struct {
	Statistics struct {
		Gateway        string `json:"gateway"`
		Gateway6       string `json:"gateway6"`
		GatewayNexthop string `json:"gateway_nexthop"`
		MeshVPN        *struct {
			Groups map[string]*group `json:"groups"`
			// As docs/monitoring.md has them.
			Gateway, Backend, State, Cause, Reason string
		} `json:"mesh_vpn"`
	} `json:"statistics"`
	Nodeinfo struct {
		Software struct {
			WireGuard *struct {
				Enabled   bool   `json:"enabled"`
				PublicKey string `json:"public_key"`
				Version   string `json:"version"`
			} `json:"wireguard"`
		} `json:"software"`
	} `json:"nodeinfo"`
}

type group struct {
	Peers map[string]*struct {
		Established float64 `json:"established"`
	} `json:"peers"`
	Groups map[string]*group `json:"groups"`
}

// TestRespondd: the golden answers of respondd's module have the types that maps want.
func TestRespondd(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(top, "package/test/golden/respondd.answers"))
	if err != nil {
		t.Fatal(err)
	}
	var all []answer
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if a.Statistics.MeshVPN == nil || a.Nodeinfo.Software.WireGuard == nil {
			t.Errorf("%s: a part is missing", line)
		}
		all = append(all, a)
	}
	if len(all) != 4 || t.Failed() {
		t.Fatalf("%d answers", len(all))
	}
	connected, searching := all[0].Statistics.MeshVPN, all[1].Statistics.MeshVPN
	if p := connected.Groups["mesh"].Peers["gw1"]; p == nil || p.Established != 4000 || connected.Gateway != "gw1" ||
		connected.State != "connected" {
		t.Errorf("connected: %+v", connected)
	}
	if p, ok := searching.Groups["mesh"].Peers["gw1"]; p != nil || !ok || searching.Reason == "" ||
		searching.Cause != "no_handshake" {
		t.Errorf("searching: %+v", searching)
	}
}
