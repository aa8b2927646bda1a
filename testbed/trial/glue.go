package trial

import (
	"fmt"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/world"
)

// The times count from the moment when a gateway can carry anything: its glue's look after the handshake.
var (
	glueStart    = Metric{Name: "start at glue gateways: from the glue's look to Ethernet reply", Unit: "s", Target: 1}
	glueFailover = Metric{Name: "glue gateway killed: from the next look to Ethernet reply", Unit: "s", Target: 1}
)

// glueGateway starts a node whose gateways have no worker but a glue that looks every ten seconds, and kills the gateway in use.
func glueGateway(t *Trial) error {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return err
	}
	change := options{"private_key": {key.String()}, "protocol": {"static"}, "broker": nil, "broker_ca": nil, "domain": nil,
		"link_local": {"key"}, "vxlan_port": {fmt.Sprint(world.GluonVXLANPort)}, "vxlan_checksum": {"0"}}
	if err := t.make(world.Options{Gluon: true, Glue: true}, change); err != nil {
		return err
	}
	for _, g := range t.Gateways {
		if err := g.AddKey(peerselector.Key(key.PublicKey())); err != nil {
			return err
		}
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
	began := time.Now()
	var next world.Reply
	if _, err = t.after(t.Named(first.Gateway).Kill, func(r world.Reply) bool {
		next = r
		return t.other(first.Gateway)(r)
	}); err != nil {
		return err
	}
	t.notes = append(t.notes, fmt.Sprintf("%.1f s from the kill to the reply", next.At.Sub(began).Seconds()))
	return t.sinceWay(glueFailover, began, next)
}

// sinceWay notes how long a reply came after the first way to the node that any gateway made since began. A node that leaves a
// gateway before its glue has looked loses that time.
func (t *Trial) sinceWay(m Metric, began time.Time, r world.Reply) error {
	var first time.Time
	for _, g := range t.Gateways {
		at, ok := t.Timeline().Since(world.WayAt(g.Name), began)
		if ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return fmt.Errorf("%s answered without a way to the node", r.Gateway)
	}
	t.seconds(m, r.At.Sub(first))
	return nil
}
