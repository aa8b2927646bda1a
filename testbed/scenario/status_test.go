package scenario

import (
	"testing"

	"wguplink/testbed/topology"
)

// The status is the running agent's, not that of a file that an earlier moment has left; without ubus the file counts.
func TestStatusAsksTheAgent(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{},
		func(topo *topology.Topology) string { return topology.UCI(topo.BrokerOptions()) })
	s.reply(s.frames(), s.start())
	nodeConnected(s)
	s.must(s.Node.WriteFile("/var/run/wguplink/mesh.json", `{"uplink":"mesh","state":"connecting","cause":"no_wan"}`))
	if st := s.status(); st.State != "connected" || st.Cause != "" {
		t.Errorf("status %+v", st)
	}
	s.UbusDown()
	if st := s.status(); st.State != "connecting" {
		t.Errorf("status without ubus %+v", st)
	}
}
