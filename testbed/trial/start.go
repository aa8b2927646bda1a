package trial

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/wgkex"
	"wguplink/testbed/world"
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

func startAllAlive(t *Trial) error {
	if err := t.make(world.Options{}, nil); err != nil {
		return err
	}
	first, took, err := t.start()
	if err != nil {
		return err
	}
	t.seconds(startAlive, took)
	known, ok := t.Timeline().Since(world.KeyAt(first.Gateway), time.Time{})
	if !ok {
		return fmt.Errorf("%s answered without the node's key", first.Gateway)
	}
	t.seconds(startKnown, first.At.Sub(known))
	return nil
}

// startMostDead has one gateway alive of four. A broker may name a dead one for minutes: here it does in every other run,
// the first among them.
func startMostDead(t *Trial) error {
	if err := t.make(world.Options{Gateways: 4}, nil); err != nil {
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
func brokerRefuses(t *Trial) error {
	return t.withoutBroker(startRefused, killedRefused, options{"broker": {"https://" + world.BrokerName + ":4443"}})
}

// brokerHangs has a broker that takes requests and never answers.
func brokerHangs(t *Trial) error { return t.withoutBroker(startHanging, killedHanging, options{}) }

// withoutBroker starts a node whose key the gateways know from better days, and kills its gateway.
func (t *Trial) withoutBroker(start, kill Metric, change options) error {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return err
	}
	change["private_key"] = []string{key.String()}
	if err := t.make(world.Options{}, change); err != nil {
		return err
	}
	t.Broker.SetFault(wgkex.V1, wgkex.Hang())
	t.Broker.SetFault(wgkex.V2, wgkex.Hang())
	for _, g := range t.Gateways {
		if err := g.AddKey(peerselector.Key(key.PublicKey())); err != nil {
			return err
		}
	}
	first, took, err := t.start()
	if err != nil {
		return err
	}
	t.seconds(start, took)
	if err := t.pause(rest); err != nil {
		return err
	}
	took, err = t.after(t.Named(first.Gateway).Kill, t.other(first.Gateway))
	if err != nil {
		return err
	}
	t.seconds(kill, took)
	if n := t.Broker.Counts().Chosen; len(n) != 0 {
		return fmt.Errorf("the broker named gateways, which it was not to: %v", n)
	}
	return nil
}
