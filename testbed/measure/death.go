package measure

import (
	"time"

	"wguplink/testbed/httpfault"
	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
	"wguplink/testbed/wgkex"
)

var (
	killed     = Metric{Name: "gateway killed to Ethernet reply", Unit: "s", Target: 4}
	blackholed = Metric{Name: "gateway unreachable to Ethernet reply", Unit: "s", Target: 4}
	keyLost    = Metric{Name: "key lost at one gateway to Ethernet reply", Unit: "s", Target: 10}
	keysLost   = Metric{Name: "key lost at all gateways to Ethernet reply", Unit: "s", Target: 10}
	onlyKilled = Metric{Name: "only known gateway killed, broker slow, to Ethernet reply", Unit: "s", Target: 15}
	rebooted   = Metric{Name: "gateway down to Ethernet reply", Unit: "s", Target: 4}
)

// step has a step happen to a node that is connected, and notes how long the mesh was gone.
func (t *Measurement) step(m Metric, s scenario.Step) error {
	first, err := t.connect(topology.Options{}, nil)
	if err == nil {
		_, err = t.happens(m, s, first.Gateway)
	}
	return err
}

func killGateway(t *Measurement) error { return t.step(killed, scenario.KillGateway) }

func blackholeGateway(t *Measurement) error { return t.step(blackholed, scenario.CutGateway) }

func gatewayLosesKey(t *Measurement) error { return t.step(keyLost, scenario.LoseKey) }

// drip is between two bytes of the slow broker's answer. The answer has about 220 of them: some three seconds, as a
// router with a slow processor needs for TLS under load.
const drip = 15 * time.Millisecond

// killOnlyGateway has no gateway in its configuration, and a broker that names one at a time: only the broker knows the
// next one.
func killOnlyGateway(t *Measurement) error {
	if err := t.make(topology.Options{}, nil); err != nil {
		return err
	}
	if err := t.Agent.Configure(topology.UCI(t.BrokerOptions(), debug)); err != nil {
		return err
	}
	first, _, err := t.start()
	if err != nil {
		return err
	}
	t.Broker.SetFault(wgkex.V2, httpfault.Drip(drip))
	if err := t.pause(rest); err != nil {
		return err
	}
	_, err = t.happens(onlyKilled, scenario.KillGateway, first.Gateway)
	return err
}

// gatewayReboot has a gateway that is back soon, but has to be told of its nodes again. Any that answers is good.
func gatewayReboot(t *Measurement) error {
	first, err := t.connect(topology.Options{}, nil)
	if err != nil {
		return err
	}
	g := t.Named(first.Gateway)
	began := time.Now()
	if err := g.Kill(); err != nil {
		return err
	}
	dead := time.Now()
	if err := t.pause(bootTime); err != nil {
		return err
	}
	if err := g.Restart(false); err != nil {
		return err
	}
	r, err := t.frames.Await(t.ctx, dead, nil)
	if err != nil {
		return err
	}
	t.seconds(rebooted, r.At.Sub(began))
	return nil
}

// bootTime is how long a gateway is away in a quick reboot.
const bootTime = 3 * time.Second

// sinceRegistration is how long a node has been registered when all gateways lose its key. Gateways forget keys after
// hours of silence, or in a restart; the agent takes none for lost within half a minute of its registration.
const sinceRegistration = 35 * time.Second

// allLoseKey leaves no gateway to go to: the broker has to be asked again.
func allLoseKey(t *Measurement) error {
	first, err := t.connect(topology.Options{}, nil)
	if err != nil {
		return err
	}
	if err := t.pause(sinceRegistration - rest); err != nil {
		return err
	}
	_, err = t.happens(keysLost, scenario.LoseAllKeys, first.Gateway)
	return err
}
