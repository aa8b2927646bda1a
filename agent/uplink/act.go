package uplink

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// resolveTimeout bounds one look-up of a gateway's names. The engine replaces a gateway that takes longer anyhow.
const resolveTimeout = 5 * time.Second

// handle gives the engine an event and carries its actions out.
func (u *Uplink) handle(ev peerselector.Event) {
	changed := false
	for _, a := range u.engine.Handle(ev, time.Now()) {
		if _, ok := a.(peerselector.Probe); ok && changed {
			u.apply() // without the allowed IPs of a new gateway the probe would be lost
			changed = false
		}
		changed = u.do(a) || changed
	}
	if changed {
		u.apply()
	}
	if u.engine.State() == peerselector.Suspect {
		u.line.spoiled = true // small packets may be lost for another reason than large ones
	}
	u.answerWaiting()
}

// do carries one action out; true means that the tunnel has to be applied.
func (u *Uplink) do(a peerselector.Action) bool {
	switch a := a.(type) {
	case peerselector.Install:
		return u.install(a.Peer, a.Attempt)
	case peerselector.Promote:
		return u.promote(a.Peer)
	case peerselector.Reaim:
		u.reaim(a.Peer)
	case peerselector.Renew:
		if in := u.peers[a.Peer.PublicKey]; in != nil {
			u.gen++
			in.gen = u.gen
			return true
		}
	case peerselector.Remove:
		in, there := u.peers[a.Peer.PublicKey]
		if there && !in.promoted && len(in.addrs) == 0 && u.engine.State() != peerselector.Connected {
			u.resolveErr = fmt.Errorf("%v not resolved in time", in.peer.Endpoints)
		}
		delete(u.peers, a.Peer.PublicKey)
		if there && u.cfg.Protocol == config.Parker {
			u.standBy(in)
		}
		return there
	case peerselector.Probe:
		if err := u.echo.Send(u.deviceOf(a.Peer.PublicKey), a.Peer.LinkAddress); err != nil {
			u.log.Debug("probe failed", "err", err)
		}
	case peerselector.AskBroker:
		u.ask()
	case peerselector.RotatePort:
		u.portTurn++
		return u.cfg.ListenPort == 0 && !u.cfg.Borrowed
	}
	return false
}

func (u *Uplink) install(p peerselector.Peer, attempt int) bool {
	in := u.peers[p.PublicKey]
	if attempt == 0 || in == nil {
		in = &installed{peer: p}
		u.peers[p.PublicKey] = in
		delete(u.standby, p.PublicKey)
		u.resolve(in)
	}
	in.attempt = attempt
	return u.aim(in)
}

// aim points the peer at the address of its present attempt, as a new peer; false while there is no address yet.
func (u *Uplink) aim(in *installed) bool {
	if len(in.addrs) == 0 {
		return false
	}
	u.gen++
	in.gen = u.gen
	next := in.attempt
	if u.cfg.AddressFamily == config.Prefer6 {
		next /= 2 // the first try is often lost, because the gateway has not heard of us yet
	}
	in.endpoint = in.addrs[next%len(in.addrs)]
	return true
}

// resolve finds the addresses of a peer's endpoints. Literal ones are there at once; names take a worker.
func (u *Uplink) resolve(in *installed) {
	var found []netip.AddrPort
	names := false
	for _, e := range in.peer.Endpoints {
		if a, err := netip.ParseAddrPort(e); err == nil {
			found = append(found, unmap(a))
		} else {
			names = true
		}
	}
	if !names {
		in.addrs = u.order(found)
		if len(in.addrs) == 0 {
			u.work(u.ctx, func(context.Context) func() {
				return func() {
					u.unresolved(in, fmt.Errorf("none of %v may be used with the address families allowed", in.peer.Endpoints))
				}
			})
		}
		return
	}
	path, endpoints := u.path, in.peer.Endpoints
	u.work(u.ctx, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		addrs, err := wan.Endpoints(ctx, path.Resolve, endpoints)
		return func() { u.resolved(in, addrs, err) }
	})
}

// reaim looks the addresses of the gateway in use up anew, and points it at the next one after the present.
func (u *Uplink) reaim(p peerselector.Peer) {
	in := u.present(p.PublicKey)
	if in == nil || in.reaiming {
		return
	}
	in.reaiming = true
	path := u.path
	u.work(u.ctx, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		addrs, err := wan.Endpoints(ctx, path.Resolve, p.Endpoints)
		return func() { u.reaimed(in, p.Endpoints, addrs, err) }
	})
}

func (u *Uplink) reaimed(in *installed, endpoints []string, addrs []netip.AddrPort, err error) {
	in.reaiming = false
	if !slices.Equal(endpoints, in.peer.Endpoints) {
		u.reaim(in.peer) // it has moved meanwhile
		return
	}
	addrs = u.order(addrs)
	if err != nil || len(addrs) == 0 || u.present(in.peer.PublicKey) != in {
		return // what we have is as good
	}
	next := addrs[(slices.Index(addrs, in.endpoint)+1)%len(addrs)]
	if next == in.endpoint {
		return
	}
	in.addrs, in.endpoint = addrs, next
	in.move++
	u.line.renew()
	u.apply()
}

// resolved goes on with a peer whose names have been looked up, if it is still wanted.
func (u *Uplink) resolved(in *installed, addrs []netip.AddrPort, err error) {
	if u.present(in.peer.PublicKey) != in {
		return
	}
	in.addrs = u.order(addrs)
	if err == nil && len(in.addrs) == 0 {
		err = fmt.Errorf("%v has no address of the families allowed", in.peer.Endpoints)
	}
	if err != nil {
		u.unresolved(in, err)
		return
	}
	if u.aim(in) {
		u.apply()
	}
}

func (u *Uplink) unresolved(in *installed, err error) {
	if u.present(in.peer.PublicKey) != in {
		return
	}
	u.log.Debug("gateway cannot be tried", "gateway", in.peer.Name, "err", err)
	if u.standby[in.peer.PublicKey] == in {
		delete(u.standby, in.peer.PublicKey) // it has another chance; see standByAll
		return
	}
	u.resolveErr = err
	u.handle(peerselector.Failed{Key: in.peer.PublicKey})
}

// order sorts addresses by the configured policy: with auto, the family that worked last comes first.
func (u *Uplink) order(addrs []netip.AddrPort) []netip.AddrPort {
	p := u.families()
	if p.V4 && p.V6 && u.wan.V4 && u.narrow6() && slices.ContainsFunc(addrs, func(a netip.AddrPort) bool { return a.Addr().Unmap().Is4() }) {
		p.V6 = false
	}
	return wan.Order(addrs, p, u.wan)
}

// families are those that the configuration allows, and their order.
func (u *Uplink) families() wan.Preference {
	p := wan.Preference{V4: true, V6: true, First6: u.prefer6}
	switch u.cfg.AddressFamily {
	case config.Prefer6:
		p.First6 = true
	case config.Only6:
		p.V4 = false
	case config.Only4:
		p.V6 = false
	}
	return p
}

func (u *Uplink) promote(p peerselector.Peer) bool {
	in := u.present(p.PublicKey)
	if in == nil {
		return false
	}
	delete(u.standby, p.PublicKey)
	u.peers[p.PublicKey] = in
	in.peer, in.promoted = p, true
	u.counter.Forget([32]byte(p.PublicKey))
	u.switches++
	u.handshake, u.connected = status.Now(), status.Now()
	u.resolveErr = nil
	u.saveGateway(in)
	u.line.done = false
	u.standbyAt = time.Time{}
	u.standByAll()
	return true
}
