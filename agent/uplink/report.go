package uplink

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"time"

	"wguplink/agent/hooks"
	"wguplink/agent/mtu"
	"wguplink/agent/network"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// meshGrace is how long after a gateway was promoted batman-adv may take to hear of it: hosts tell of themselves every
// second, or every five on Gluon.
const meshGrace = 20 * time.Second

// void says that the session of the gateway in use is void.
func (l *loop) void() bool { return l.kind.Traits().Void(l.engine.Silence(time.Now())) }

// alone says that batman-adv has the tunnel, with a gateway at its other end, and hears no neighbour on it.
func (l *loop) alone() bool {
	_, inUse := l.engine.Current()
	return inUse && l.devices.lonely() != ""
}

// view is what the desired state follows from.
func (l *loop) view() network.View {
	v := network.View{
		Key: l.key.forDevices(&l.cfg), PortTurn: l.use.portTurn, Peers: l.peers, Void: l.void(),
		Hidden: l.wan.Mesh && !l.wan.Up(), Now: status.Now(),
	}
	if l.kind.Traits().Exits {
		v.WANMTU = l.wanMTU()
	}
	for _, dev := range []string{l.wan.Dev4, l.wan.Dev6} {
		if dev != "" {
			v.WAN = append(v.WAN, dev)
		}
	}
	var to netip.Addr // the gateway in use
	if cur, ok := l.engine.Current(); ok {
		v.Current = &cur
		if in := l.peers.Get(cur.PublicKey); in != nil {
			to = in.Endpoint.Addr()
		}
	}
	if l.rekeying.beside && v.Current != nil {
		v.Next = l.key.next.Private.Reveal()
	}
	v.MTU = l.line.MTU(l.kind.MTU(), l.wan.MTU(to, l.peers.Families()), to)
	return v
}

// wanMTU is the WAN's for IPv6, in bytes; 0 when it is not known. It is read each time: a router
// advertisement may change it.
func (l *loop) wanMTU() int {
	n, err := l.path.MTU6(cmp.Or(l.cfg.WANDevice, l.wan.Dev6, l.wan.Dev4))
	if err != nil {
		return 0
	}
	return n
}

// mtu is that of the device of the gateway in use, as it was set, in bytes.
func (l *loop) mtu() int {
	cur, _ := l.engine.Current()
	return l.devices.mtu(l.kind.Device(cur.PublicKey))
}

// publish makes known what has changed.
func (l *loop) publish(now time.Time) {
	s := l.snapshot(now)
	var wanSays string
	if l.wan != (wan.State{}) { // else it was not looked at yet
		wanSays = l.wan.String()
	}
	s.WAN = wanSays
	f := l.facts(now)
	s.State, s.Cause, s.Reason = f.Cause()
	if s.Cause == status.Device {
		s.Fault = string(tunnel.FaultOf(l.devices.err))
	}
	s.Stranded = l.watchdog.stranded
	s.Gateways = l.ledger.list(l.engine, f.Link)
	doubtful := f.Link == status.Silent && s.Cause == status.NoAnswer && l.engine.EmptyRounds() == 0
	l.status.Publish(s, doubtful, l.journal.said)
}

func (l *loop) snapshot(now time.Time) status.Snapshot {
	s := status.Snapshot{
		Uplink: l.cfg.Name, PID: os.Getpid(), Interface: l.cfg.Interface, Clock: l.clock.Says(),
		Broker: l.registration.Says(), Switches: l.use.switches,
	}
	if l.key.err == nil {
		s.PublicKey, s.KeyOrigin = l.key.id.Public.String(), l.key.id.Origin
	}
	if err := l.key.id.NotStored; err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s: %v", inMemory, err))
	}
	if l.o.Hooked != nil {
		for _, r := range l.o.Hooked(l.cfg.Name) {
			s.Hooks = append(s.Hooks, status.Hook{Name: r.Hook, Event: r.Event, Exit: r.Exit, Last: r.Last})
		}
	}
	l.kind.Describe(&s, nil, network.View{Peers: l.peers})
	if x := l.devices.applied.Exit; x != nil && x.Device != "" {
		s.Interface = x.Device
		if s.Network != nil {
			s.Network.Exit = x.Device
		}
	}
	if l.devices.err == nil && len(l.devices.applied.Devices) > 0 {
		l.describeDevices(&s)
	}
	if cur, ok := l.engine.Current(); ok {
		s.Gateway = &status.Gateway{Name: cur.Name, PublicKey: cur.PublicKey.String(), Established: l.use.established}
		if cur.LinkAddress.IsValid() {
			s.Gateway.LinkAddress = cur.LinkAddress.String()
		}
		if w := l.rekeyWarning(cur.Name); w != "" {
			s.Warnings = append(s.Warnings, w)
		}
		if w := l.twin.warning(cur.Name, now); w != "" {
			s.Warnings = append(s.Warnings, w)
		}
		if in := l.peers.Get(cur.PublicKey); in != nil {
			s.Gateway.Endpoint, s.Gateway.HandshakeAt = in.Endpoint.String(), in.Handshake
		}
	}
	return s
}

func (l *loop) describeDevices(s *status.Snapshot) {
	r, size := l.devices.report, l.devices.mtu(s.Interface)
	s.Backend, s.MTU = r.Backend.String(), size
	s.Warnings = append(s.Warnings, r.Warnings...)
	if r.Backend == tunnel.Userspace && size > mtu.Userspace {
		s.Warnings = append(s.Warnings, fmt.Sprintf("mtu %d: userspace WireGuard drops packets over %d bytes", size,
			mtu.Userspace))
	}
	fixed := l.kind.MTU()
	if fixed != 0 {
		fixed = size // a kind may want less of one device
	}
	if w := l.line.Warning(fixed); w != "" {
		s.Warnings = append(s.Warnings, w)
	}
	if v := l.devices.applied.VXLAN; v != nil {
		s.VXLAN, s.VXLANMTU = v.Name, v.MTU
	}
	if m := r.Mesh; m != nil {
		s.Batman = &status.Batman{Interface: m.Name, Algorithm: m.Algorithm, Neighbours: m.Neighbours}
	}
}

// facts are what the cause follows from.
func (l *loop) facts(now time.Time) status.Facts {
	f := status.Facts{
		KeyErr: l.key.err, Applied: l.devices.err, WANKnown: l.wan != wan.State{}, WANUp: l.wan.Up(),
		WAN:     l.wan.String(),
		Clocked: l.clock.Passed(), InVain: l.engine.EmptyRounds() > 0, TryErr: l.peers.Err(),
	}
	if l.cfg.Protocol.Registers() {
		f.Register, f.RegErr = l.registration.Trouble()
		f.Known = l.registration.Known()
	}
	cur, ok := l.engine.Current()
	if !ok {
		return f
	}
	f.Gateway, f.Address = cur.Name, cur.LinkAddress.String()
	switch {
	case l.engine.State() == peerselector.Suspect:
		f.Link = status.Silent
	case l.engine.Mute():
		f.Link = status.Mute
	default:
		f.Link = status.Alive
	}
	if !l.use.since.IsZero() && now.Sub(l.use.since) > meshGrace {
		f.Alone = l.devices.lonely()
	}
	return f
}

// tell tells the hooks what has changed.
func (l *loop) tell(now time.Time) {
	if l.o.Hook == nil {
		return
	}
	if e, ok := l.teller.Tell(l.hookFacts(), now); ok {
		l.o.Hook(e)
	}
}

// hookFacts are what hooks are told, but for the kind of event. Without a gateway in use there is no GatewayKey, nor
// what follows from one.
func (l *loop) hookFacts() hooks.Event {
	e := hooks.Event{Uplink: l.cfg.Name, Protocol: l.cfg.Protocol.String()}
	if l.key.err == nil && !l.key.none {
		e.PublicKey = l.key.id.Public.String()
	}
	cur, ok := l.engine.Current()
	if !ok || l.void() {
		return e
	}
	e.Interface, e.Gateway, e.GatewayKey, e.MTU = l.kind.Device(cur.PublicKey), cur.Name,
		cur.PublicKey.String(), l.mtu()
	l.kind.Describe(nil, &e, network.View{Peers: l.peers, Now: status.Now(), Applied: l.devices.applied.Devices})
	return e
}
