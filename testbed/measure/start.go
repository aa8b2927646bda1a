package measure

import (
	"fmt"
	"math/rand/v2"
	"time"

	"wguplink/testbed/httpfault"
	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

var (
	// A worker looks for new keys once a second: until then no gateway can answer.
	startAlive = Metric{Name: "start to Ethernet reply", Unit: "ms", Target: 1500}
	startKnown = Metric{Name: "start: gateway has the key to Ethernet reply", Unit: "ms", Target: 250}
	startDead  = Metric{Name: "start to Ethernet reply", Unit: "s", Target: 2.5}

	startRefused  = Metric{Name: "start to Ethernet reply, connections refused", Unit: "ms", Target: 2500}
	killedRefused = Metric{Name: "gateway killed to Ethernet reply, connections refused", Unit: "s", Target: 10}
	startHanging  = Metric{Name: "start to Ethernet reply, no answer", Unit: "ms", Target: 2500}
	killedHanging = Metric{Name: "gateway killed to Ethernet reply, no answer", Unit: "s", Target: 10}
)

func startAllAlive(t *Measurement) error {
	if err := t.make(topology.Options{}, nil); err != nil {
		return err
	}
	first, took, err := t.start()
	if err != nil {
		return err
	}
	t.seconds(startAlive, took)
	known, ok := t.Timeline().Since(topology.KeyAt(first.Gateway), time.Time{})
	if !ok {
		return fmt.Errorf("%s answered without the node's key", first.Gateway)
	}
	t.seconds(startKnown, first.At.Sub(known))
	return nil
}

// startMostDead has one gateway alive of four. A broker may name a dead one for minutes: here it does in every other
// run, the first among them.
func startMostDead(t *Measurement) error {
	if err := t.make(topology.Options{Gateways: 4}, nil); err != nil {
		return err
	}
	order := rand.Perm(len(t.Gateways))
	alive, named := order[0], order[1]
	if t.Run%2 == 1 {
		named = order[rand.IntN(len(order))]
	}
	for i, g := range t.Gateways {
		peers := 50
		if i == named {
			peers = 0
		}
		if err := t.SetPeers(t.ctx, g.Name, peers); err != nil {
			return err
		}
		if i != alive {
			if err := g.Kill(); err != nil {
				return err
			}
		}
	}
	_, took, err := t.start()
	t.seconds(startDead, took)
	return err
}

// brokerRefuses has a broker whose port is closed.
func brokerRefuses(t *Measurement) error {
	return t.withoutBroker(startRefused, killedRefused, options{"broker": {"https://" + topology.BrokerName + ":4443"}})
}

// brokerHangs has a broker that takes requests and never answers.
func brokerHangs(t *Measurement) error {
	return t.withoutBroker(startHanging, killedHanging, options{})
}

// withoutBroker starts a node whose key the gateways know from better days, and kills its gateway.
func (t *Measurement) withoutBroker(start, kill Metric, change options) error {
	if err := t.make(topology.Options{}, nil); err != nil {
		return err
	}
	key, err := t.KnownKey()
	if err != nil {
		return err
	}
	change["private_key"] = []string{key.String()}
	if err := t.Agent.Configure(usual(t.Topology, change)); err != nil {
		return err
	}
	t.Broker.SetFault(wgkex.V1, httpfault.Hang())
	t.Broker.SetFault(wgkex.V2, httpfault.Hang())
	first, took, err := t.start()
	if err != nil {
		return err
	}
	t.seconds(start, took)
	if err := t.pause(rest); err != nil {
		return err
	}
	if _, err := t.happens(kill, scenario.KillGateway, first.Gateway); err != nil {
		return err
	}
	if n := t.Broker.Counts().Chosen; len(n) != 0 {
		return fmt.Errorf("the broker named gateways, which it was not to: %v", n)
	}
	return nil
}
