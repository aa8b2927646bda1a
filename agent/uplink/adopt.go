package uplink

import (
	"net/netip"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// adopt takes up the work of an agent before us: a gateway that is still at work on the device stays in use, and
// whether it is alive shows within seconds, as for any other. One whose device is gone is tried first.
func (l *loop) adopt() {
	if l.key.err != nil || l.kind.Traits().Fetches && !l.restore() {
		return
	}
	p, ok := l.store.gateway(&l.cfg)
	if !ok {
		return
	}
	if p, ok = l.kind.Known(p); !ok {
		return
	}
	endpoint, ok := l.atWork(p)
	if !ok {
		endpoint, ok = l.atWorkBefore(p)
	}
	if ok {
		l.peers.Adopt(p, endpoint, true)
		l.handle(peerselector.Adopted{Peer: p})
		l.use.established, l.use.since = status.Now(), time.Now()
		l.log.Info("going on with the gateway in use", "gateway", p.Name)
		return
	}
	l.handle(peerselector.Remembered{Peer: p})
}

// atWorkBefore is atWork with the key that an agent before us has left on the device. The one in the configuration,
// which may be known to no gateway, waits then, as at a reload.
func (l *loop) atWorkBefore(p peerselector.Peer) (endpoint netip.AddrPort, ok bool) {
	if t := l.kind.Traits(); t.Fetches || t.Borrowed {
		return endpoint, false
	}
	dev, err := l.devices.kernel.Status(l.kind.Device(p.PublicKey))
	if err != nil || dev.PrivateKey == (wgtypes.Key{}) {
		return endpoint, false
	}
	configured := l.key.id
	l.key.id, l.key.next = identity.OnDevice(&dev.PrivateKey), configured
	if endpoint, ok = l.atWork(p); !ok {
		l.key.id, l.key.next = configured, identity.Identity{}
	}
	return endpoint, ok
}

// restore goes on with the signed configuration of an agent before us.
func (l *loop) restore() bool {
	saved, ok := l.store.network()
	if !ok {
		return false
	}
	n, ok := l.registration.Restore(saved)
	if !ok {
		return false
	}
	l.kind.Take(n)
	for _, p := range l.kind.Candidates() {
		if endpoint, ok := l.atWork(p); ok {
			l.peers.Adopt(p, endpoint, false)
		}
	}
	l.handle(peerselector.Static{Peers: l.kind.Candidates()})
	return true
}

// atWork says that the device has the peer, with a session, and where the peer is. One that is reached over a family
// which is not allowed any more does not count.
func (l *loop) atWork(gw peerselector.Peer) (endpoint netip.AddrPort, ok bool) {
	dev, err := l.devices.kernel.Status(l.kind.Device(gw.PublicKey))
	if err != nil || !l.key.none && dev.PrivateKey != *l.key.id.Private.Reveal() {
		return endpoint, false
	}
	for _, p := range dev.Peers {
		if peerselector.Key(p.PublicKey) == gw.PublicKey && len(p.AllowedIPs) > 0 && !p.LastHandshakeTime.IsZero() &&
			p.Endpoint != nil {
			from := p.Endpoint.AddrPort()
			endpoint = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			return endpoint, l.peers.Usable(endpoint)
		}
	}
	return endpoint, false
}
