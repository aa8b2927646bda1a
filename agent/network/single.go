package network

import (
	"net/netip"
	"slices"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// single is a network whose gateways share one WireGuard device, with or without a VXLAN over it.
type single struct {
	cfg config.Uplink
	// borrowed says that another program makes and configures the device, as netifd does for the drop-in.
	borrowed bool
	// assigned are our own addresses in the tunnel that a broker has handed out.
	assigned []netip.Prefix
	former   []netip.Prefix // those before the last change
}

func (s *single) Traits() Traits                  { return Traits{Borrowed: s.borrowed} }
func (s *single) Candidates() []peerselector.Peer { return s.cfg.Gateways }
func (s *single) Devices() []string               { return []string{s.cfg.Interface} }
func (s *single) Device(peerselector.Key) string  { return s.cfg.Interface }
func (s *single) Keeps(peerselector.Key) bool     { return false }
func (s *single) MTU() int                        { return s.cfg.MTU }
func (s *single) Take(*broker.Network) Change     { return Nothing }

func (s *single) Check(*broker.Network, wan.Local) ([]string, error) { return nil, nil }

func (s *single) Assign(own []netip.Prefix) bool {
	if s.cfg.Mode != config.ModeLayer3 || slices.Equal(s.assigned, own) {
		return false
	}
	s.former, s.assigned = s.assigned, own
	return true
}

func (s *single) Describe(*status.Snapshot, *hooks.Event, View) {}

func (s *single) Known(p peerselector.Peer) (peerselector.Peer, bool) {
	if s.cfg.Protocol.Registers() {
		return p, true // a broker may have named it
	}
	for _, g := range s.cfg.Gateways {
		if g.PublicKey == p.PublicKey {
			return p, true
		}
	}
	return p, false
}

func (s *single) Desired(v View) (tunnel.Desired, bool) {
	dev := device(&s.cfg, s.cfg.Interface, v)
	dev.Addresses = []tunnel.Address{{Prefix: netip.PrefixFrom(v.Key.Link, s.cfg.LinkPrefix)}}
	dev.Gone = s.former
	for _, p := range s.assigned {
		dev.Addresses = append(dev.Addresses, tunnel.Address{Prefix: p})
	}
	for _, p := range v.Peers.Racing() {
		if p.Endpoint.IsValid() {
			dev.Peers = append(dev.Peers, peer(&s.cfg, p))
		}
	}
	if dev.Unrouted = s.cfg.Unrouted; s.cfg.Unrouted {
		dev.Reach = reach(v)
	}
	if dev.Borrowed = s.borrowed; s.borrowed {
		for _, g := range s.cfg.Gateways {
			dev.Leftovers = append(dev.Leftovers, wgtypes.Key(g.PublicKey))
		}
	}
	d := tunnel.Desired{Name: s.cfg.Name, Devices: []tunnel.Device{dev}}
	if next, ok := beside(&s.cfg, v); ok {
		d.Devices = append(d.Devices, next)
	}
	if s.cfg.Mode == config.ModeVXLAN {
		d.VXLAN = s.vxlan(v)
	}
	return d, true
}

// reach are the link addresses of the gateways that may be in use: what is probed has to be routed, also where a
// routing daemon sees to the routes.
func reach(v View) (all []netip.Prefix) {
	for _, p := range v.Peers.Racing() {
		if a := p.LinkAddress; p.Promoted && a.IsValid() {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return all
}

func (s *single) vxlan(v View) *tunnel.VXLAN {
	x := s.cfg.VXLAN
	if x.MTU == 0 {
		x.MTU = v.MTU - config.VXLANOverhead
	}
	out := &tunnel.VXLAN{
		Name: x.Name, ID: x.ID, Port: x.Port, MTU: x.MTU, Checksum: x.Checksum, Master: s.cfg.Batman,
		Throughput: s.cfg.BatmanLink.Throughput, HopPenalty: s.cfg.BatmanLink.HopPenalty,
	}
	if out.Throughput == 0 {
		out.Throughput = s.cfg.LimitEgress // what may go out at most is the best guess
	}
	// During a switch two are promoted for a moment: the engine names the one that counts.
	if v.Current != nil {
		out.Remote = v.Current.LinkAddress
	}
	return out
}
