package topology

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/derive"
	"wguplink/peerselector"
	"wguplink/testbed/gateway"
	"wguplink/testbed/netlab"
)

// Gateway is one gateway host, with the worker on it.
type Gateway struct {
	*gateway.Gateway
	Name   string
	Host   *netlab.Host
	V4, V6 netip.Addr
	Link   netip.Addr
	DNS    string // its name
	Worker *Worker
	glue   *glueTask // nil without Options.Glue
}

// AddKey makes a node known, as worker or operator do. With Options.Glue the way to it comes with the glue's next look.
func (g *Gateway) AddKey(key peerselector.Key) error {
	if g.glue != nil {
		return g.AddPeer(key)
	}
	return g.Gateway.AddKey(key)
}

// Kill is the abrupt death of the gateway with its worker or glue. The broker hears of it when the MQTT server misses
// the worker, after up to 7.5 s.
func (g *Gateway) Kill() error {
	g.Worker.Cut()
	g.glue.stop()
	return g.Gateway.Kill()
}

// Restart kills the gateway, if it is up, and starts it and its worker again; see gateway.Gateway.Restart.
func (g *Gateway) Restart(keepKeys bool) error {
	g.Worker.Cut()
	keys := g.Keys()
	if err := g.Gateway.Restart(keepKeys && g.glue == nil); err != nil {
		return err
	}
	if g.glue == nil {
		return g.Worker.Start()
	}
	if !keepKeys {
		keys = nil
	}
	for _, key := range keys {
		if err := g.AddPeer(key); err != nil {
			return err
		}
	}
	g.glue.start()
	return nil
}

// gatewayWAN gives the addresses of the ith gateway or concentrator, counted from 1.
func gatewayWAN(i int) (v4, v6 netip.Prefix) {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(4*i + 2)}), 30),
		netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::2/64", 100+i))
}

func (topo *Topology) addGateway(i int) error {
	name := fmt.Sprintf("gw%d", i)
	h, err := topo.Lab.Host(name)
	if err != nil {
		return err
	}
	v4, v6 := gatewayWAN(i)
	if err := topo.attach(h, name, v4, v6); err != nil {
		return err
	}
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return fmt.Errorf("gateway %s: %w", name, err)
	}
	link := derive.LinkLocal(peerselector.Key(key.PublicKey()), true)
	c := gateway.Config{
		Name: name, Do: h.Do, PrivateKey: key, ListenPort: gatewayPort, LinkAddress: link,
		VXLAN: gateway.VXLAN{ID: topo.o.VXLANID, Port: VXLANPort,
			Addrs: []netip.Prefix{netip.MustParsePrefix(gatewayL2)}},
	}
	if topo.o.Gluon {
		link = GluonLink
		c.LinkAddress, c.VXLAN.Port, c.VXLAN.ZeroChecksum = link, GluonVXLANPort, true
		c.LinkLocal = func(k peerselector.Key) netip.Addr { return derive.LinkLocal(k, false) }
	}
	if topo.o.Layer3 {
		c.VXLAN, c.Layer3 = gateway.VXLAN{}, Layer3Gateway(i)
		if err := h.Forward(); err != nil {
			return err
		}
	}
	g, err := gateway.New(c)
	if err != nil {
		return err
	}
	if err := g.Start(); err != nil {
		return err
	}
	made := &Gateway{Gateway: g, Name: name, Host: h, V4: v4.Addr(), V6: v6.Addr(), Link: link,
		DNS: name + ".example.org"}
	made.Worker = &Worker{topo: topo, g: made}
	if topo.o.Glue {
		made.glue = &glueTask{topo: topo, g: made}
		made.glue.start()
	}
	topo.Gateways = append(topo.Gateways, made)
	return nil
}

// Know makes a node known to all gateways, as their operators do.
func (topo *Topology) Know(key peerselector.Key) error {
	var errs []error
	for _, g := range topo.Gateways {
		errs = append(errs, g.AddKey(key))
	}
	return errors.Join(errs...)
}

// KnownKey makes the private key of a node that all gateways know.
func (topo *Topology) KnownKey() (wgtypes.Key, error) {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return key, err
	}
	return key, topo.Know(peerselector.Key(key.PublicKey()))
}

// Named gives the gateway of that name.
func (topo *Topology) Named(name string) *Gateway {
	for _, g := range topo.Gateways {
		if g.Name == name {
			return g
		}
	}
	return nil
}
