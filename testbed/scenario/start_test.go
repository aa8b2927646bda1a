package scenario

import (
	"testing"

	"wguplink/testbed/world"
)

// The first start of a node without a key, then the second with the key kept.
func TestFirstAndSecondStart(t *testing.T) {
	t.Parallel()
	s := newScene(t, world.Options{}, withBroker)
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
	s.must(s.agent.Stop(s.ctx))
	if s.NodeLink("wg_mesh") != nil || s.NodeLink("mesh-vpn") != nil {
		t.Error("devices are left after SIGTERM")
	}
	again := s.start()
	s.reply(l2, again)
	if k, _ := s.agent.Key(s.ctx); k != key {
		t.Errorf("the key changed from %v to %v", key, k)
	}
	if n := s.Broker.Counts().V2; n != 2 {
		t.Errorf("%d registrations in two starts", n)
	}
}
