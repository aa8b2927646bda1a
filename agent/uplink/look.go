package uplink

import (
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

// pollEvery is how often to look for handshakes during a race of that age. WireGuard has no event for them.
func pollEvery(age time.Duration) time.Duration {
	if age < 3*time.Second {
		return 20 * time.Millisecond
	}
	return 100 * time.Millisecond
}

// next is when the loop has to wake up though nothing happens.
func (l *loop) next(now time.Time) time.Time {
	at := l.rest.until
	if t, ok := l.engine.Next(); ok && t.Before(at) {
		at = t
	}
	if since, ok := l.engine.Racing(); ok {
		if t := now.Add(pollEvery(now.Sub(since))); t.Before(at) {
			at = t
		}
	}
	return at
}

// due is when a part has something to do though nothing happens. The engine is left out.
func (l *loop) due(now time.Time) time.Time {
	at := now.Add(time.Hour)
	by := func(t time.Time, ok bool) {
		if ok && t.Before(at) {
			at = t
		}
	}
	by(l.key.at, l.key.missing())
	by(l.devices.due, l.key.err == nil)
	by(l.fetchDue())
	by(l.rekeyNext(now))
	by(l.watchdog.next(l.cfg.UpdateWatchdog))
	if l.o.Hook != nil {
		by(l.teller.Next())
	}
	_, inUse := l.engine.Current()
	if void := l.kind.Traits().VoidAfter; inUse && void != 0 {
		left := void - l.engine.Silence(now)
		by(now.Add(left), left > 0)
	}
	return at
}

// look reads the counters and tells the engine what they mean.
func (l *loop) look(now time.Time) {
	if l.devices.err != nil || l.peers.Len() == 0 {
		return
	}
	done, stale := l.glanced(now)
	if done {
		return
	}
	l.rest.ended = true
	readings, ok := l.read()
	if !ok || l.lacks(readings) {
		l.devices.check(now) // netifd, for one, sets its devices up anew without taking them down
	}
	if !ok {
		return
	}
	cur, inUse := l.engine.Current()
	if i := slices.IndexFunc(readings,
		func(p wgtypes.Peer) bool { return p.PublicKey == wgtypes.Key(cur.PublicKey) }); inUse && i >= 0 {
		if p := readings[i]; p.Endpoint != nil && l.peers.Roamed(cur.PublicKey, p.Endpoint.AddrPort()) {
			l.line.Renew()
		}
		// When all come back at once, the one in use is heard first, so that nothing is switched.
		readings[0], readings[i] = readings[i], readings[0]
	}
	for _, ev := range l.counters.Observe(readings, now) {
		if h, ok := ev.(peerselector.Handshake); ok {
			if l.peers.Get(h.Key) == nil {
				continue // taken off since
			}
			l.shook(h.Key, readings)
			if inUse && h.Key == cur.PublicKey {
				l.twin.shook(now)
				l.rekeying.renew = time.Time{}
			}
		}
		if _, ok := ev.(peerselector.Alive); !ok || !stale {
			l.handle(ev)
		}
	}
}

// read reads the peers on all devices that could be made; ok is false when one of these is not there.
func (l *loop) read() (all []wgtypes.Peer, ok bool) {
	for _, name := range l.kind.Devices() {
		if l.devices.failed(name) {
			continue
		}
		dev, err := l.devices.kernel.Status(name)
		if err != nil {
			return nil, false
		}
		all = append(all, dev.Peers...)
	}
	return all, true
}

// lacks says that another program has taken a peer of ours off its device. One that has just been put there does not
// count as missing.
func (l *loop) lacks(readings []wgtypes.Peer) bool {
	for _, dev := range l.devices.applied.Devices {
		if l.devices.failed(dev.Interface) {
			continue
		}
		for _, want := range dev.Peers {
			if !slices.ContainsFunc(readings, func(p wgtypes.Peer) bool { return p.PublicKey == want.PublicKey }) {
				return true
			}
		}
	}
	return false
}

func (l *loop) shook(k peerselector.Key, readings []wgtypes.Peer) {
	for _, p := range readings {
		if peerselector.Key(p.PublicKey) == k && p.Endpoint != nil {
			l.peers.Shook(k, p.Endpoint.AddrPort())
		}
	}
}
