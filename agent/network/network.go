// Package network knows the kinds of network that an uplink can belong to. For each kind it tells the gateways that are
// known without asking a server, the device of each, the destinations of the uplink, and the kernel state that follows
// from all of that. It is the one place that tells the kinds apart.
package network

import (
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/peers"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// Kind is one kind of network. Its methods but Take are without effect.
type Kind interface {
	Traits() Traits
	// Candidates are the gateways that are known without a list from a broker.
	Candidates() []peerselector.Peer
	// Known gives what is said now of a gateway that was in use at an earlier run; ok is false when it is no gateway
	// any more.
	Known(earlier peerselector.Peer) (now peerselector.Peer, ok bool)
	// Devices names the WireGuard devices that there should be.
	Devices() []string
	// Device names the one that a gateway is on; "" when there is none.
	Device(gateway peerselector.Key) string
	// Keeps says that a gateway that leaves the race keeps its session, and stands by.
	Keeps(gateway peerselector.Key) bool
	// MTU is the one that the configuration prescribes for the WireGuard devices, in bytes; 0 when it is ours to
	// choose.
	MTU() int
	// Desired is the kernel state wanted; ok is false while that is not known: then what an agent before us has left is
	// left at work.
	Desired(View) (d tunnel.Desired, ok bool)
	// Check compares a signed configuration with what the WAN has, before it is taken. The error says that it would cut
	// the WAN.
	Check(*broker.Network, wan.Local) (warnings []string, err error)
	// Take makes a signed configuration the valid one. The kinds that have none ignore it.
	Take(*broker.Network) Change
	// Assign takes our own addresses in the tunnel from a broker, beside the configured ones, and says whether they are
	// others now. The kinds that have no use for them ignore them.
	Assign([]netip.Prefix) (changed bool)
	// Describe adds what a kind knows to the status and to what hooks are told. Both may be nil.
	Describe(*status.Snapshot, *hooks.Event, View)
}

// Traits are what an uplink does differently, by its kind.
type Traits struct {
	// Standby says that gateways that are not in use keep their sessions, on devices of their own.
	Standby bool
	// Fetches says that a part of the configuration lies with the servers, and is asked for again and again.
	Fetches bool
	// Exits says that the default routes are ours to set.
	Exits bool
	// Borrowed says that the devices are made, and given their key, by another program.
	Borrowed bool
	// BackoffMax is the longest wait between two rounds of handshakes when no gateway answers; 0 for the usual one.
	BackoffMax time.Duration
	// NetworkMTU is the MTU that the network's servers prescribe for the WireGuard devices, in bytes; 0 when they do
	// not.
	NetworkMTU int
	// VoidAfter is the silence after which the gateway in use counts as gone for hooks and default routes; 0 for never.
	VoidAfter time.Duration
}

// Void says that after that silence the session of the gateway in use is void.
func (t Traits) Void(silence time.Duration) bool { return t.VoidAfter != 0 && silence >= t.VoidAfter }

// Change is what a new configuration has changed.
type Change uint8

// The changes.
const (
	Nothing  Change = iota // of what is applied
	Settings               // addresses or numbers, but no gateway
	Gateways               // the list of gateways
)

// Key is what an uplink puts onto its devices.
type Key struct {
	Private *wgtypes.Key // nil when it is not ours to set
	Link    netip.Addr   // our own link address
}

// View is what a desired state follows from, beside the configuration.
type View struct {
	Key      Key
	MTU      int // of the WireGuard devices, bytes; a kind may want less of one, by where its gateway is
	WANMTU   int // of the WAN, for IPv6, bytes; 0 when it is not known
	PortTurn int // how often another source port was chosen
	// WAN are the devices that the WAN is reached by.
	WAN []string
	// Peers are those on the devices.
	Peers *peers.Set
	// Current is the gateway in use; nil when there is none.
	Current *peerselector.Peer
	// Void says that its session is void.
	Void bool
	// Now is the present, on the scale of the peers' handshakes.
	Now status.Uptime
	// Applied are the devices as they were last set.
	Applied []tunnel.Device
	// Next is a private key that shall shake hands with the gateway in use on a device beside; nil for none.
	Next *wgtypes.Key
	// Hidden says that there is no way to the WAN, because routes lead into our own mesh.
	Hidden bool
}

// New makes the kind of network that a configuration asks for.
func New(cfg config.Uplink) Kind {
	if config.BrokerSupport { // else none of it is linked, which a condition with more in it would not do
		if cfg.Protocol == config.Parker {
			return &parker{cfg: cfg}
		}
	}
	return &single{cfg: cfg, borrowed: cfg.Borrowed}
}

// Another says that nothing of an uplink's network may be kept from one configuration to the next.
func Another(a, b config.Uplink) bool {
	return a.Protocol != b.Protocol || a.Domain != b.Domain || a.Borrowed != b.Borrowed
}

// Renew gives the kind for a new configuration of the same network.
func Renew(k Kind, cfg config.Uplink) Kind {
	next := New(cfg)
	switch n := next.(type) {
	case *parker:
		n.signed = k.(*parker).signed
	case *single:
		old := k.(*single)
		if cfg.Mode == config.ModeLayer3 {
			n.assigned, n.former = old.assigned, old.former
		} else {
			n.former = slices.Concat(old.assigned, old.former)
		}
	}
	return next
}

// device is what all WireGuard devices of an uplink have in common.
func device(cfg *config.Uplink, name string, v View) tunnel.Device {
	return tunnel.Device{
		Interface: name, Backend: Backend(cfg.Backend), FwMark: cfg.FwMark, ListenPort: cfg.ListenPort,
		PortTurn: v.PortTurn, MTU: v.MTU,
		Limit: tunnel.Limit{Ingress: cfg.LimitIngress, Egress: cfg.LimitEgress}, PrivateKey: v.Key.Private,
	}
}

// Beside names the device beside one, on which a new key shakes hands. A name has at most 15 bytes (IFNAMSIZ).
func Beside(device string) string {
	const most, end = 15, "-new"
	return device[:min(len(device), most-len(end))] + end
}

// beside is the device for a new key: it has the gateway in use as its only peer, and carries nothing.
func beside(cfg *config.Uplink, v View) (dev tunnel.Device, ok bool) {
	if v.Next == nil || v.Current == nil {
		return dev, false
	}
	p := v.Peers.Get(v.Current.PublicKey)
	if p == nil || !p.Endpoint.IsValid() {
		return dev, false
	}
	return tunnel.Device{
		Interface: Beside(cfg.Interface), Backend: Backend(cfg.Backend), FwMark: cfg.FwMark, MTU: v.MTU,
		PrivateKey: v.Next,
		Unrouted:   true, Peers: []tunnel.Peer{{PublicKey: wgtypes.Key(p.PublicKey), Endpoint: p.Endpoint,
			Keepalive: cfg.Keepalive}},
	}, true
}

// Backend is the one of the tunnel that a word of the configuration asks for.
func Backend(b config.Backend) tunnel.Backend {
	switch b {
	case config.Kernel:
		return tunnel.Kernel
	case config.Userspace:
		return tunnel.Userspace
	}
	return tunnel.Auto
}

// peer is a gateway on its device.
func peer(cfg *config.Uplink, p *peers.Peer) tunnel.Peer {
	out := tunnel.Peer{
		PublicKey: wgtypes.Key(p.PublicKey), Endpoint: p.Endpoint, Keepalive: cfg.Keepalive, Generation: p.Creation,
		Move: p.Move,
	}
	if p.Promoted {
		out.AllowedIPs = p.AllowedIPs
		if p.Keepalive != 0 {
			out.Keepalive = p.Keepalive
		}
	}
	return out
}
