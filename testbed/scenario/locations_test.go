package scenario

import (
	"testing"

	"wguplink/testbed/topology"
)

func TestLocations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		known bool
		want  string
	}{
		{true, "CITY-gw1\nCITY-gw2"},
		{false, "uplink mesh: the broker knows no locations"},
	} {
		s := newScene(t, topology.Options{Gateways: 2, Locations: tt.known}, withBroker)
		out, code, err := s.agent.Run(s.ctx, "locations")
		s.must(err)
		if code != 0 || out != tt.want {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	}
}
