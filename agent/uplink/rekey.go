package uplink

import (
	"fmt"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/network"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// rekeyPatience is how long the old key goes on being tried while no gateway is in use, before a new one takes its
// place without a handshake.
const rekeyPatience = time.Minute

// rekeyQuick is for how long the handshake of a new key is looked for often; gateways learn a key within seconds.
const rekeyQuick = 10 * time.Second

// rekeyAgain is how long to wait for a handshake with a key that has just been put into use, and rekeyTries how often.
const (
	rekeyAgain = time.Second
	rekeyTries = 4
)

// rekeying is how far a new key has come. The tunnel goes on with the old one until the servers have taken the new one,
// and the gateway in use has answered it on a device beside: a key that the gateway does not know costs nothing. Then
// the new key goes onto the device of the tunnel, and costs one handshake.
type rekeying struct {
	taken    bool      // the servers have it
	beside   bool      // the device beside is wanted
	answered bool      // the gateway in use has shaken hands with it
	since    time.Time // when the servers had it, or it was found
	alone    time.Time // since when no gateway is in use; zero while one is

	renew    time.Time // when to try once more to shake hands with the key that is in use now; zero when that is done
	renewals int
}

// rekeyNext is when to look again; ok is false when there is nothing to look for.
func (l *loop) rekeyNext(now time.Time) (at time.Time, ok bool) {
	r := &l.rekeying
	switch {
	case !l.key.waiting():
		return r.renew, !r.renew.IsZero()
	case !r.alone.IsZero():
		return r.alone.Add(rekeyPatience), true
	case l.cfg.Protocol.Registers() && !r.taken:
		return l.registration.Due()
	case now.Sub(r.since) < rekeyQuick:
		return now.Add(pollEvery(rekeyQuick)), true
	}
	return now.Add(rekeyQuick), true
}

// canWait says that a new key can wait while the tunnel goes on with the old one. What a signed configuration says is
// for one key only.
func (l *loop) canWait() bool {
	_, inUse := l.engine.Current()
	t := l.kind.Traits()
	return inUse && !t.Fetches && !t.Borrowed
}

// rekey does what a new key that waits needs next.
func (l *loop) rekey(now time.Time) {
	r := &l.rekeying
	if !l.key.waiting() {
		if !r.renew.IsZero() && !now.Before(r.renew) {
			l.renewAll(now)
		}
		return
	}
	if _, ok := l.engine.Current(); !ok {
		if r.alone.IsZero() {
			r.alone = now
		}
		if now.Sub(r.alone) >= rekeyPatience {
			l.switchKey("no gateway has been in use for a while")
		}
		return
	}
	r.alone = time.Time{}
	if l.cfg.Protocol.Registers() && !r.taken {
		if at, ok := l.registration.Due(); ok && !now.Before(at) {
			l.registration.Ask()
		}
		return
	}
	if r.since.IsZero() {
		r.since = now
	}
	switch {
	case r.answered:
		l.switchKey("the gateway has answered it")
	case l.cfg.ListenPort != 0:
		if now.Sub(r.since) >= l.rekeyLearn() {
			l.switchKey("a device beside cannot have the same port")
		}
	case l.devices.failed(network.Beside(l.cfg.Interface)):
		l.switchKey("there can be no device beside")
	default:
		r.beside = true
	}
}

// rekeyLearn is how long gateways take to learn a key that a server has taken.
func (l *loop) rekeyLearn() time.Duration {
	if !l.cfg.Protocol.Registers() {
		return 0
	}
	return peerselector.Default().Dense
}

// lookBeside looks whether the gateway in use has answered the new key.
func (l *loop) lookBeside(now time.Time) {
	cur, ok := l.engine.Current()
	if !ok || !l.rekeying.beside || !l.key.waiting() {
		return
	}
	dev, err := l.devices.kernel.Status(network.Beside(l.cfg.Interface))
	if err != nil {
		l.devices.check(now)
		return
	}
	for _, p := range dev.Peers {
		if p.PublicKey == wgtypes.Key(cur.PublicKey) && dev.PrivateKey == *l.key.next.Private.Reveal() &&
			!p.LastHandshakeTime.IsZero() {
			l.rekeying.answered = true
		}
	}
}

// switchKey puts the new key into use: the gateways are created anew, for a handshake of this moment, where they are.
func (l *loop) switchKey(why string) {
	l.log.Info("switching to the new key", "reason", why)
	l.key.use(l.key.next)
	l.rekeying, l.twin = rekeying{}, twin{}
	l.renewAll(time.Now())
	l.configure()
	if cur, ok := l.engine.Current(); ok && cur.LinkAddress.IsValid() {
		l.probes = append(l.probes, cur) // with a packet to send, the handshake does not wait for the keepalive
	}
}

// renewAll has the gateways created anew. One that drops the first handshake, because it has just learned the key, is
// not waited for as long as WireGuard would.
func (l *loop) renewAll(now time.Time) {
	for _, p := range l.peers.Racing() {
		l.counters.Forget([32]byte(p.PublicKey))
		l.peers.Renew(p.PublicKey)
	}
	r := &l.rekeying
	if r.renew, r.renewals = now.Add(rekeyAgain), r.renewals+1; r.renewals > rekeyTries {
		r.renew = time.Time{} // from here on it is like any other silence
	}
}

// rekeyWarning says why a new key is not in use yet; "" when there is none.
func (l *loop) rekeyWarning(gateway string) string {
	if !l.key.waiting() {
		return ""
	}
	why := fmt.Sprintf("%s has not answered it", gateway)
	if l.cfg.Protocol.Registers() && !l.rekeying.taken {
		why = "it is not registered"
		if cause, err := l.registration.Trouble(); cause != status.None {
			why = err.Error()
		}
	}
	return fmt.Sprintf("the new key %s is not in use yet: %s", l.key.next.Public, why)
}
