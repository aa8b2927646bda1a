package scenario

import (
	"testing"

	"wguplink/testbed/dnsd"
	"wguplink/testbed/world"
)

// Name servers that know nothing of EDNS0 do not keep a node from its broker and its gateways.
func TestOldNameServers(t *testing.T) {
	t.Parallel()
	for _, mode := range []dnsd.Mode{dnsd.FormErrEDNS, dnsd.NotImpEDNS, dnsd.DropEDNS} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, world.Options{}, withBroker)
			s.DNS.SetMode(mode)
			l2 := s.frames()
			s.reply(l2, s.start())
			if n := s.Broker.Counts().V2; n == 0 {
				t.Error("the broker's name was not found")
			}
		})
	}
}
