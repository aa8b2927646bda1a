package derive_test

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wguplink/agent/derive"
	"wguplink/peerselector"
)

// golden reads a file of vectors: addresses that Freifunk Munich publishes for its gateways, ids made by Gluon's own
// Lua.
func golden(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "gluon", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestLinkLocal(t *testing.T) {
	var vectors []struct {
		PublicKey  string     `json:"public_key"`
		OfKey      netip.Addr `json:"link_local_of_key"`
		AndNewline netip.Addr `json:"link_local_of_key_and_newline"`
	}
	golden(t, "link_local.json", &vectors)
	if len(vectors) != 5 {
		t.Fatalf("%d vectors, want 5", len(vectors))
	}
	for _, v := range vectors {
		raw, err := base64.StdEncoding.DecodeString(v.PublicKey)
		if err != nil || len(raw) != len(peerselector.Key{}) {
			t.Fatalf("%s: %d bytes, %v", v.PublicKey, len(raw), err)
		}
		key := peerselector.Key(raw)
		if got := derive.LinkLocal(key, false); got != v.OfKey {
			t.Errorf("%s: %v, want %v", key, got, v.OfKey)
		}
		if got := derive.LinkLocal(key, true); got != v.AndNewline {
			t.Errorf("%s and newline: %v, want %v", key, got, v.AndNewline)
		}
		if a := derive.LinkLocal(key, true); !a.IsLinkLocalUnicast() || a.Zone() != "" {
			t.Errorf("%s: %v is not a link-local address without zone", key, a)
		}
	}
}

func TestVXLANID(t *testing.T) {
	var vectors []struct {
		Seed string `json:"domain_seed"`
		Key  string `json:"key"`
		ID   uint32 `json:"vxlan_id"`
	}
	golden(t, "vxlan_id.json", &vectors)
	if len(vectors) != 8 {
		t.Fatalf("%d vectors, want 8", len(vectors))
	}
	for _, v := range vectors {
		for _, seed := range []string{v.Seed, strings.ToLower(v.Seed), strings.ToUpper(v.Seed)} {
			got, err := derive.VXLANID(seed, v.Key)
			if err != nil || got != v.ID {
				t.Errorf("%s %s: %d, %v, want %d", seed, v.Key, got, err, v.ID)
			}
		}
	}
}

func TestVXLANIDRefuses(t *testing.T) {
	for _, seed := range []string{
		"",
		"00",
		strings.Repeat("0", derive.SeedLen-1),
		strings.Repeat("0", derive.SeedLen+1),
		strings.Repeat("0", derive.SeedLen-1) + "g",
		strings.Repeat("0", derive.SeedLen-1) + "\n",
		"0x" + strings.Repeat("0", derive.SeedLen-2),
	} {
		if id, err := derive.VXLANID(seed, "gluon-mesh-vpn-vxlan"); err == nil ||
			!strings.Contains(err.Error(), "domain seed") {
			t.Errorf("seed %q: %d, %v, want an error", seed, id, err)
		}
	}
}
