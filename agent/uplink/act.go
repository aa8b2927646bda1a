package uplink

import (
	"fmt"
	"strings"
	"time"

	"wguplink/agent/mtu"
	"wguplink/agent/network"
	"wguplink/agent/peers"
	"wguplink/agent/registration"
	"wguplink/agent/status"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// use is what is known of the gateway in use, beside its peer.
type use struct {
	established status.Uptime // when it was promoted
	since       time.Time     // the same; the zero Time when none was
	switches    int           // gateways promoted since the start
	portTurn    int           // how often another source port was chosen
}

// handle gives the engine events and carries its actions out. What follows from them are events again.
func (l *loop) handle(events ...peerselector.Event) {
	for len(events) > 0 {
		ev, now := events[0], time.Now()
		events = events[1:]
		before := lookAt(l.engine, now)
		l.enter(ev, now)
		for _, a := range l.engine.Handle(ev, now) {
			events = append(events, l.carry(a, before, ev)...)
		}
		if _, ok := l.engine.Current(); before.name != "" && !ok {
			l.journal.leave(before.name, before.why(ev, len(l.wishes) > 0))
		}
	}
	suspect := l.engine.State() == peerselector.Suspect
	if suspect {
		l.line.Spoil()
	}
	cur, _ := l.engine.Current()
	l.twin.watch(cur.PublicKey, suspect, time.Now())
}

// carry carries one action out.
func (l *loop) carry(a peerselector.Action, before inUse, ev peerselector.Event) []peerselector.Event {
	if p, ok := a.(peerselector.Probe); ok {
		l.probes = append(l.probes, p.Peer)
		return nil
	}
	l.rest.ended = true
	switch a := a.(type) {
	case peerselector.Install:
		if l.o.Tries != nil {
			l.o.Tries()
		}
		failed := l.peers.Install(a.Peer, a.Attempt)
		l.ledger.began(a.Peer.PublicKey, l.endpoint(a.Peer.PublicKey), time.Now())
		return failed
	case peerselector.Promote:
		l.promote(a.Peer, before, ev)
	case peerselector.Reaim:
		l.peers.Reaim(a.Peer.PublicKey)
	case peerselector.Renew:
		l.peers.Renew(a.Peer.PublicKey)
	case peerselector.Remove:
		left := ""
		if a.Peer.PublicKey == before.key {
			left, _, _ = strings.Cut(before.why(ev, len(l.wishes) > 0), " ")
		}
		l.ledger.removed(a.Peer.PublicKey, l.endpoint(a.Peer.PublicKey), left)
		l.peers.Remove(a.Peer.PublicKey, l.kind.Keeps(a.Peer.PublicKey))
	case peerselector.AskBroker:
		l.registration.Ask()
	case peerselector.RotatePort:
		l.use.portTurn++
	}
	return nil
}

// enter has the ledger know what an event says of gateways.
func (l *loop) enter(ev peerselector.Event, now time.Time) {
	switch ev := ev.(type) {
	case peerselector.Tick, peerselector.Alive:
	case peerselector.Handshake:
		l.ledger.shook(ev.Key, l.endpoint(ev.Key), now)
	case peerselector.Failed:
		l.ledger.failed(ev.Key, l.peers.Err())
	default:
		l.ledger.named()
	}
}

// endpoint is where a gateway is tried; "" while that is not known.
func (l *loop) endpoint(k peerselector.Key) string {
	if in := l.peers.Get(k); in != nil && in.Endpoint.IsValid() {
		return in.Endpoint.String()
	}
	return ""
}

func (l *loop) promote(p peerselector.Peer, before inUse, ev peerselector.Event) {
	if l.peers.Promote(p) == nil {
		return
	}
	l.counters.Forget([32]byte(p.PublicKey))
	l.glance.promoted()
	l.line.Promoted()
	l.use.switches++
	l.use.established, l.use.since = status.Now(), time.Now()
	l.store.saveGateway(&l.cfg, p)
	l.journal.enter(p.Name, before.name, before.why(ev, len(l.wishes) > 0))
}

// replied is for each answer to a probe.
func (l *loop) replied(r Reply) {
	cur, ok := l.engine.Current()
	if !ok || cur.LinkAddress != r.From {
		return
	}
	l.counters.Answered([32]byte(cur.PublicKey), r.From)
	l.glance.answered()
	l.handle(peerselector.Alive{Key: cur.PublicKey, Reply: true, RTT: r.RTT})
	l.ledger.replied(cur.PublicKey, r.RTT)
	in := l.peers.Get(cur.PublicKey)
	if in == nil || !l.line.Due() || l.kind.Traits().Borrowed || l.devices.err != nil || !l.wan.Up() {
		return
	}
	l.rest.ended = true
	known, err := l.path.MTU(in.Endpoint)
	if err != nil {
		l.log.Debug("path MTU not known", "err", err)
	}
	l.line.Begin(known, in.Endpoint.Addr())
}

func (l *loop) wanChanged(s wan.State) {
	was := l.wan
	l.wan = s
	if s != was {
		l.twin = twin{} // what was silent may have been the line
	}
	l.peers.SetPolicy(l.policy())
	if s.Up() && (was.MTU4 != s.MTU4 || was.MTU6 != s.MTU6 || was.Dev4 != s.Dev4 || was.Dev6 != s.Dev6) {
		l.line.Forget() // another line
	}
}

// policy says which addresses of gateways may be tried.
func (l *loop) policy() peers.Policy {
	p := peers.Policy{Family: l.cfg.AddressFamily, V4: l.wan.V4, V6: l.wan.V6}
	if most := l.kind.Traits().NetworkMTU; most != 0 && l.wan.Dev6 != "" {
		narrow, err := l.path.MTU6(l.wan.Dev6)
		p.Narrow6 = err == nil && narrow < most+mtu.WireGuard6
	}
	return p
}

// registered takes an answer of a broker.
func (l *loop) registered(r registered, now time.Time) {
	a := l.checked(r.Answer)
	l.registration.Take(a, len(l.cfg.Gateways), now)
	l.rekeying.taken = l.rekeying.taken || a.Err == nil && l.key.waiting()
	if a.Err != nil {
		l.handle(peerselector.BrokerFailed{RetryAfter: a.RetryAfter()})
		return
	}
	if len(a.Addresses) > 0 && l.kind.Assign(a.Addresses) { // an older API names none: the last ones stay
		l.log.Info("addresses taken", "broker", a.Broker, "addresses", a.Addresses)
	}
	if n := a.Network; n != nil {
		l.clock.Signed(n.Time, a.Broker)
		change := l.kind.Take(n)
		if change == network.Gateways {
			l.peers.Update(l.kind.Candidates(), true)
			l.handle(peerselector.Static{Peers: l.kind.Candidates()})
		}
		if change != network.Nothing {
			l.log.Info("configuration taken", "id", n.ID, "gateways", len(n.Concentrators), "mtu", n.MTU, "address4",
				n.Address4, "address6", n.Address6)
			l.peers.SetPolicy(l.policy())
		}
		l.store.saveNetwork(n.Saved)
	}
	l.handle(peerselector.BrokerAnswered{Peers: a.Peers})
}

// checked compares a signed configuration with the WAN, and gives the answer with what is strange about it. What cannot
// be read of the WAN is no reason to refuse it.
func (l *loop) checked(a registration.Answer) registration.Answer {
	if a.Err != nil || a.Network == nil {
		return a
	}
	local, err := l.path.Local(l.cfg.WANDevice, l.wan.Dev4, l.wan.Dev6)
	if err != nil {
		l.log.Debug("the signed configuration is not compared with the WAN", "err", err)
		return a
	}
	return a.Checked(l.kind.Check(a.Network, local))
}

func (l *loop) reconnect(r reconnect) {
	if !l.wan.Up() {
		r.done <- result{err: fmt.Errorf("reconnect: no way out: %s", l.wan)}
		return
	}
	if ev, ok := l.wishes.add(r, l.engine); ok {
		l.handle(ev)
	}
}
