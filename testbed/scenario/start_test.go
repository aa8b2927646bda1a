package scenario

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"wguplink/testbed/topology"
)

// The first start of a node without a key, then the second with the key kept.
func TestFirstAndSecondStart(t *testing.T) {
	t.Parallel()
	firstAndSecondStart(t, topology.Jailed, "root:800 600")
}

// The same where there is no ujail.
func TestFirstAndSecondStartAsRoot(t *testing.T) {
	t.Parallel()
	firstAndSecondStart(t, topology.AsRoot, "root:0 600")
}

// firstAndSecondStart ends with the configuration, in which the key was stored, of an owner and mode.
func firstAndSecondStart(t *testing.T, as topology.Service, owner string) {
	t.Helper()
	s := newScene(t, topology.Options{}, withBroker)
	s.agent.As = as
	l2 := s.frames()
	began := s.start()
	s.reply(l2, began)
	key, ok := s.agent.Key(s.ctx)
	if !ok {
		t.Fatal("no key")
	}
	if st := s.status(); st.State != "connected" || st.PublicKey != key.String() || st.Gateway == nil {
		t.Errorf("status %+v", st)
	}
	s.must(s.agent.TakeDown(s.ctx))
	if s.NodeLink("wg_mesh") != nil || s.NodeLink("mesh-vpn") != nil {
		t.Error("devices are left after a real stop")
	}
	again := s.start()
	s.reply(l2, again)
	if k, _ := s.agent.Key(s.ctx); k != key {
		t.Errorf("the key changed from %v to %v", key, k)
	}
	out, err := exec.Command("stat", "-c", "%U:%g %a", filepath.Join(s.agent.Dir, "wguplink")).Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != owner {
		t.Errorf("the configuration belongs to %q (%v), want %q", got, err, owner)
	}
	if n := s.Broker.Counts().V2; n != 2 {
		t.Errorf("%d registrations in two starts", n)
	}
}
