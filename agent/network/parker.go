package network

import (
	"bytes"
	"cmp"
	"net/netip"
	"reflect"
	"strconv"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/json"
	rules "wguplink/agent/parker"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

const (
	// checkMost is the longest wait between two rounds of handshakes when no gateway answers. A network's own servers
	// are asked, not a broker's many, and its operators wish for about so much (wgkex, PARKER.md).
	checkMost = 10 * time.Second
	// voidAfter is when a session without an answer is void: then no default route may lead into it, even while there
	// is no WAN to look for another.
	voidAfter = peerselector.RejectAfter
)

// parker is a network whose gateways, here called concentrators, and what the node itself is, come from a signed
// configuration. Each concentrator has a device of its own, and all of them have their sessions, so that the next one
// is ready. Which one is in use shows in the default routes alone.
type parker struct {
	cfg    config.Uplink
	signed *broker.Network // nil until there is one
}

func (p *parker) Traits() Traits {
	t := Traits{Standby: true, Fetches: true, Exits: true, BackoffMax: checkMost, VoidAfter: voidAfter}
	if p.signed != nil {
		t.NetworkMTU = p.signed.MTU
	}
	return t
}

// concentrator finds the one with that key; nil when there is none.
func (p *parker) concentrator(k peerselector.Key) *broker.Concentrator {
	if p.signed == nil {
		return nil
	}
	for i := range p.signed.Concentrators {
		if c := &p.signed.Concentrators[i]; c.Peer.PublicKey == k {
			return c
		}
	}
	return nil
}

func (p *parker) Candidates() (all []peerselector.Peer) {
	if p.signed == nil {
		return nil
	}
	for _, c := range p.signed.Concentrators {
		all = append(all, c.Peer)
	}
	return all
}

func (p *parker) Known(earlier peerselector.Peer) (peerselector.Peer, bool) {
	if c := p.concentrator(earlier.PublicKey); c != nil {
		return c.Peer, true
	}
	return earlier, false
}

func (p *parker) name(c *broker.Concentrator) string { return p.cfg.Interface + strconv.Itoa(c.ID) }

func (p *parker) Devices() (names []string) {
	if p.signed == nil {
		return nil
	}
	for i := range p.signed.Concentrators {
		names = append(names, p.name(&p.signed.Concentrators[i]))
	}
	return names
}

func (p *parker) Device(k peerselector.Key) string {
	if c := p.concentrator(k); c != nil {
		return p.name(c)
	}
	return ""
}

func (p *parker) Keeps(k peerselector.Key) bool { return p.concentrator(k) != nil }

func (p *parker) MTU() int {
	if p.cfg.MTU == 0 && p.signed != nil {
		return p.signed.MTU
	}
	return p.cfg.MTU
}

func (p *parker) Desired(v View) (tunnel.Desired, bool) {
	d := tunnel.Desired{Name: p.cfg.Name, Exit: &tunnel.Exit{Keep: v.WAN}}
	n := p.signed
	if n == nil {
		return d, false
	}
	for i := range n.Concentrators {
		c := &n.Concentrators[i]
		dev := device(&p.cfg, p.name(c), v)
		dev.Unrouted, dev.Claim = true, true
		dev.Addresses = []tunnel.Address{
			{Prefix: netip.PrefixFrom(n.Address4, n.Address4.BitLen()), Peer: c.Address4},
			{Prefix: netip.PrefixFrom(n.Address6, n.Address6.BitLen()), Peer: c.Address6},
		}
		if in := v.Peers.Get(c.Peer.PublicKey); in != nil && in.Endpoint.IsValid() {
			dev.MTU = rules.MTU(v.MTU, in.Endpoint.Addr(), v.WANMTU)
			q := peer(&p.cfg, in)
			q.AllowedIPs = in.AllowedIPs // it shares this device with no other
			if in.Keepalive != 0 {
				q.Keepalive = in.Keepalive
			}
			dev.Peers = []tunnel.Peer{q}
		}
		d.Devices = append(d.Devices, dev)
	}
	// Where the exit is itself what hides the WAN, it is of no use without it.
	if v.Current != nil && !v.Void && !v.Hidden {
		if c := p.concentrator(v.Current.PublicKey); c != nil {
			d.Exit.Device, d.Exit.Via4, d.Exit.Via6 = p.name(c), c.Address4, c.Address6
			if most := p.clientMTU(d.Devices, v); n.XLATRange6.IsValid() && most != 0 {
				d.Exit.MTU4 = most - rules.XLAT4
			}
		}
	}
	return d, true
}

// clientMTU is what all tunnels with a session take, when their devices are these, in bytes; 0 when there is none.
func (p *parker) clientMTU(devices []tunnel.Device, v View) int {
	var live []rules.Tunnel
	for i := range p.signed.Concentrators {
		c := &p.signed.Concentrators[i]
		in := v.Peers.Get(c.Peer.PublicKey)
		if in == nil || in.Handshake == 0 {
			continue
		}
		for _, dev := range devices {
			if dev.Interface == p.name(c) {
				age := time.Duration(in.Handshake.Age(v.Now)) * time.Second
				live = append(live, rules.Tunnel{MTU: dev.MTU, Age: age})
			}
		}
	}
	return rules.ClientMTU(live)
}

// Check implements Kind.
func (p *parker) Check(n *broker.Network, w wan.Local) (warnings []string, err error) {
	return rules.Check(n, w)
}

func (p *parker) Assign([]netip.Prefix) bool { return false }

// Take makes n the valid configuration. Devices, sessions and addresses that are the same stay.
func (p *parker) Take(n *broker.Network) Change {
	old := p.signed
	p.signed = n
	switch {
	case old == nil || !reflect.DeepEqual(old.Concentrators, n.Concentrators):
		return Gateways
	case !reflect.DeepEqual(applied(old), applied(n)):
		return Settings
	}
	return Nothing
}

// applied is what of a configuration is applied.
func applied(n *broker.Network) broker.Network {
	a := *n
	a.Config, a.Saved, a.Time, a.Retry = nil, nil, time.Time{}, 0
	return a
}

func (p *parker) Describe(s *status.Snapshot, e *hooks.Event, v View) {
	n := p.signed
	if n == nil {
		return
	}
	xlat := ""
	if n.XLATRange6.IsValid() {
		xlat = n.XLATRange6.String()
	}
	if s != nil {
		s.Warnings = append(s.Warnings, n.Warnings...)
		s.Network = &status.Network{
			ID: n.ID, Address4: n.Address4.String(), Address6: n.Address6.String(), Range4: n.Range4.String(),
			Range6: n.Range6.String(), XLATRange6: xlat,
		}
		for i := range n.Concentrators {
			s.Network.Tunnels = append(s.Network.Tunnels, p.tunnel(&n.Concentrators[i], v))
		}
	}
	if e != nil {
		e.ID, e.Address4, e.Address6, e.Range4, e.Range6 = n.ID, n.Address4.String(), n.Address6.String(),
			n.Range4.String(), n.Range6.String()
		e.XlatRange6 = xlat
		e.ClientMTU = cmp.Or(p.clientMTU(v.Applied, v), e.MTU)
		e.Config = json.RawMessage(bytes.TrimSpace(n.Config))
	}
}

func (p *parker) tunnel(c *broker.Concentrator, v View) status.Tunnel {
	t := status.Tunnel{Interface: p.name(c), Gateway: c.Peer.Name}
	if in := v.Peers.Get(c.Peer.PublicKey); in != nil {
		t.HandshakeAt = in.Handshake
		if in.Endpoint.IsValid() {
			t.Endpoint = in.Endpoint.String()
		}
	}
	return t
}
