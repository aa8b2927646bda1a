package uplink

import (
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// untilNext is how long the loop may sleep.
func (u *Uplink) untilNext() time.Duration {
	now := time.Now()
	at := now.Add(time.Hour)
	if t, ok := u.engine.Next(); ok && t.Before(at) {
		at = t
	}
	if u.applyAt.Before(at) {
		at = u.applyAt
	}
	if _, ok := u.engine.Current(); ok && !u.wan.Up() && u.cfg.Protocol == config.Parker && !u.void() {
		if t := now.Add(voidAfter - u.engine.Silence(now)); t.Before(at) {
			at = t
		}
	}
	if t, ok := u.fetchDue(); ok && t.Before(at) {
		at = t
	}
	if t, ok := u.tellDue(); ok && t.Before(at) {
		at = t
	}
	if since, ok := u.engine.Racing(); ok {
		if t := now.Add(pollEvery(now.Sub(since))); t.Before(at) {
			at = t
		}
	}
	return max(0, at.Sub(now))
}

// pollEvery is how often to look for handshakes during a race of that age. WireGuard has no event for them.
func pollEvery(age time.Duration) time.Duration {
	if age < 3*time.Second {
		return 20 * time.Millisecond
	}
	return 100 * time.Millisecond
}

// tick looks at the device, then lets the engine know that time has passed.
func (u *Uplink) tick() {
	u.watchClock()
	if !time.Now().Before(u.applyAt) {
		// A key that could not be stored, on a full disk for instance, may be by now.
		rekeyed := u.keyErr != nil && u.reloadKey()
		u.apply()
		if rekeyed {
			u.proceed()
		}
		if u.o.Checked != nil && !u.alone() { // which has it checked much more often
			u.o.Checked()
		}
	}
	u.look()
	u.handle(peerselector.Tick{})
	u.fetch()
	if u.standByAll() {
		u.apply()
	}
	if e := u.applied.Exit; e != nil && e.Device != "" && u.void() {
		u.apply()
	}
}

// look reads WireGuard's counters and tells the engine what they mean.
func (u *Uplink) look() {
	if u.applyErr != nil || len(u.peers)+len(u.standby) == 0 {
		return
	}
	var peers []wgtypes.Peer
	for _, name := range u.deviceNames() {
		dev, err := u.tun.Status(name)
		if err != nil {
			u.apply() // it went away; the link watcher will have seen it, too
			return
		}
		peers = append(peers, dev.Peers...)
	}
	if u.lacks(peers) {
		u.apply() // netifd sets its devices up anew without taking them down
	}
	u.roamed(peers)
	if cur, ok := u.engine.Current(); ok {
		// When all come back at once, the one in use is heard first, so that nothing is switched.
		if i := slices.IndexFunc(peers, func(p wgtypes.Peer) bool { return p.PublicKey == wgtypes.Key(cur.PublicKey) }); i > 0 {
			peers[0], peers[i] = peers[i], peers[0]
		}
	}
	for _, ev := range u.counter.Observe(peers) {
		if h, ok := ev.(peerselector.Handshake); ok {
			if u.present(h.Key) == nil {
				continue // taken off since
			}
			u.shook(h.Key, peers)
		}
		u.handle(ev)
	}
}

// roamed takes over where the gateway in use was heard from last: WireGuard answers there, wherever it was pointed at.
func (u *Uplink) roamed(peers []wgtypes.Peer) {
	cur, ok := u.engine.Current()
	in := u.peers[cur.PublicKey]
	if !ok || in == nil || !in.endpoint.IsValid() {
		return
	}
	for _, p := range peers {
		if p.PublicKey != wgtypes.Key(cur.PublicKey) || p.Endpoint == nil {
			continue
		}
		if from := unmap(p.Endpoint.AddrPort()); from != in.endpoint {
			in.endpoint = from
			u.prefer6 = from.Addr().Is6()
			u.line.renew()
		}
	}
}

// lacks says that somebody has taken a peer of ours off its device.
func (u *Uplink) lacks(peers []wgtypes.Peer) bool {
	for k, in := range u.peers {
		there := func(p wgtypes.Peer) bool { return p.PublicKey == wgtypes.Key(k) }
		if in.endpoint.IsValid() && !slices.ContainsFunc(peers, there) {
			return true
		}
	}
	return false
}

// shook keeps what a handshake tells beyond the event itself.
func (u *Uplink) shook(k peerselector.Key, peers []wgtypes.Peer) {
	for _, p := range peers {
		if peerselector.Key(p.PublicKey) != k || p.Endpoint == nil {
			continue
		}
		if in := u.present(k); in != nil {
			in.endpoint, in.handshake = unmap(p.Endpoint.AddrPort()), status.Now()
			u.prefer6 = in.endpoint.Addr().Is6()
		}
	}
	if cur, ok := u.engine.Current(); !ok || cur.PublicKey == k {
		u.handshake = status.Now()
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// replied is called for each answer to a probe.
func (u *Uplink) replied(from netip.Addr, rtt time.Duration) {
	if cur, ok := u.engine.Current(); ok && cur.LinkAddress == from {
		u.counter.Answered([32]byte(cur.PublicKey), from)
		u.handle(peerselector.Alive{Key: cur.PublicKey, Reply: true, RTT: rtt})
		u.measure()
	}
}
