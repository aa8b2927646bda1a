package measure

import (
	"fmt"
	"time"

	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

// The times count from the moment when the gateway that answers can carry anything: its glue's look after the
// handshake. A node that leaves a gateway before its glue has looked makes more than the one change.
var (
	glueStart    = Metric{Name: "start at glue gateways: from the glue's look to Ethernet reply", Unit: "s", Target: 1}
	glueFailover = Metric{Name: "glue gateway killed: from the next one's look to Ethernet reply", Unit: "s", Target: 1}
	glueSwitches = Metric{Name: "glue gateways: changes beyond the one of the failover", AtMost: true}
)

// glueGateway starts a node whose gateways have no worker but a glue that looks every ten seconds, and kills the
// gateway in use.
func glueGateway(t *Measurement) error {
	if err := t.make(topology.Options{Gluon: true, Glue: true}, nil); err != nil {
		return err
	}
	key, err := t.KnownKey()
	if err != nil {
		return err
	}
	change := options{"private_key": {key.String()}, "protocol": {"static"}, "broker": nil,
		"broker_ca": nil, "domain": nil,
		"link_local": {"key"}, "vxlan_port": {fmt.Sprint(topology.GluonVXLANPort)}, "vxlan_checksum": {"0"}}
	if err := t.Agent.Configure(usual(t.Topology, change)); err != nil {
		return err
	}
	started := time.Now()
	first, _, err := t.start()
	if err != nil {
		return err
	}
	if err := t.sinceWay(glueStart, started, first); err != nil {
		return err
	}
	if err := t.pause(rest); err != nil {
		return err
	}
	before, err := t.switches()
	if err != nil {
		return err
	}
	began := time.Now()
	o, err := t.happens(glueFailover, scenario.KillGateway, first.Gateway)
	if err != nil {
		return err
	}
	t.note("%.1f s from the kill to the reply", o.Took.Seconds())
	if err := t.sinceWay(glueFailover, began, o.Reply); err != nil {
		return err
	}
	after, err := t.switches()
	if err != nil {
		return err
	}
	t.values[glueSwitches.Name] = float64(after - before - 1)
	return nil
}

// sinceWay notes how long a reply came after its gateway's glue had made the way to the node.
func (t *Measurement) sinceWay(m Metric, began time.Time, r topology.Reply) error {
	at, ok := t.Timeline().Since(topology.WayAt(r.Gateway), began)
	if !ok {
		return fmt.Errorf("%s answered without a way to the node", r.Gateway)
	}
	t.seconds(m, r.At.Sub(at))
	return nil
}
