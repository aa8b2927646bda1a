package scenario

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/testbed/topology"
)

// A node that ran fastd before keeps its secret as its private key, and is registered with it.
func TestFastdSecretIsTakenOver(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{}, func(topo *topology.Topology) string {
		o := topo.BrokerOptions()
		o["key_import"] = []string{"fastd.mesh_vpn.secret"}
		return topology.UCI(o, topo.Sections())
	})
	var secret wgtypes.Key
	rand.Read(secret[:])
	fastd := "config fastd 'mesh_vpn'\n\toption secret '" + hex.EncodeToString(secret[:]) + "'\n"
	s.must(os.WriteFile(filepath.Join(s.agent.Dir, "fastd"), []byte(fastd), 0o600))
	l2 := s.frames()
	s.reply(l2, s.start())
	if k, ok := s.agent.Key(s.ctx); !ok || k.String() != secret.PublicKey().String() {
		t.Errorf("key %v, want %v", k, secret.PublicKey())
	}
	stored, err := os.ReadFile(filepath.Join(s.agent.Dir, "wguplink"))
	s.must(err)
	if !strings.Contains(string(stored), secret.String()) {
		t.Error("the key is not stored as ours")
	}
	if left, err := os.ReadFile(filepath.Join(s.agent.Dir, "fastd")); err != nil || string(left) != fastd {
		t.Errorf("fastd's file was changed: %v", err)
	}
}
