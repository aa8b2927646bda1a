package scenario

import (
	"testing"
	"time"

	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

// awaitBroker waits until the broker has these workers online, by name in the order in which it heard of them.
func awaitBroker(s *scene, ok func(online []string) bool) {
	s.t.Helper()
	for {
		heard := s.Broker.Heard()
		online := s.Broker.Online(topology.Domain)
		if ok(online) {
			return
		}
		select {
		case <-heard:
		case <-s.ctx.Done():
			s.t.Fatalf("the broker has %v online", online)
		}
	}
}

// A broker whose connection came up before its subscription names no gateway for ever. The configured ones, which have
// the key from it all the same, are used.
func TestBrokerDeaf(t *testing.T) {
	t.Parallel()
	s := newScene(t, topology.Options{},
		func(topo *topology.Topology) string { return topology.UCI(topo.BrokerOptions(), topo.Sections()) })
	s.Broker.SetDeaf(true)
	l2 := s.frames()
	at := s.start()
	s.reply(l2, at)
	nodeConnected(s)
	if c := s.Broker.Counts(); c.V2 == 0 || len(c.Chosen) != 0 {
		t.Errorf("requests %+v", c)
	}
}

// A worker that is killed is online until the MQTT server misses it, and then its will takes it off the list; one that
// leaves takes itself off; one that starts is back.
func TestWorkerGoesAndComes(t *testing.T) {
	t.Parallel()
	s := brokerScene(t, topology.Options{Gateways: 2}, brokerOptions{})
	gw1, gw2 := s.Gateways[0], s.Gateways[1]
	gw1.Worker.Cut()
	awaitBroker(s, func(online []string) bool { return len(online) == 1 && online[0] == "gw2" })
	gw2.Worker.Leave()
	awaitBroker(s, func(online []string) bool { return len(online) == 0 })
	if got := s.Broker.Peers(topology.Domain, "gw2"); got != wgkex.Offline {
		t.Errorf("%d peers at a worker that has left", got)
	}
	s.must(gw1.Worker.Start())
	s.must(gw2.Worker.Start())
	awaitBroker(s, func(online []string) bool { return len(online) == 2 })
	s.reply(s.frames(), s.start())
}

// Mosquitto is started anew, with what it kept and without. Workers and broker join it again, and a node can come up.
func TestMosquittoRestart(t *testing.T) {
	t.Parallel()
	for name, persistence := range map[string]bool{"persistence": true, "no persistence": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := brokerScene(t, topology.Options{}, brokerOptions{})
			s.must(s.Mosquitto.Stop(s.ctx))
			heard := s.Broker.Heard()
			s.must(s.Mosquitto.Start(s.ctx, persistence))
			select {
			case <-heard: // of a worker that has joined again
			case <-s.ctx.Done():
				t.Fatal("no worker came back")
			}
			l2 := s.frames()
			at := time.Now()
			s.start()
			s.reply(l2, at)
			if c := s.Broker.Counts(); c.V2 == 0 {
				t.Errorf("requests %+v", c)
			}
		})
	}
}
