package uplink

import (
	"time"

	"wguplink/peerselector"
)

const (
	// readEvery is how often WireGuard is asked though the devices' counts say all there is to know: no earlier than
	// the kernel's state is compared with the desired one, which asks it as well.
	readEvery = applyEvery
	// renewing is the age of a session from which on a new handshake may come at any moment: WireGuard begins one at
	// 120 s (REKEY_AFTER_TIME in its paper, section 6.1).
	renewing = 115 * time.Second
)

// glance is what the devices' counts of packets have shown. To ask WireGuard takes many times as long, and that of a
// process even more. A process's device counts neither handshakes nor keepalives.
type glance struct {
	traffic Traffic
	packets uint64
	known   bool      // packets are of the last look
	answers uint64    // to probes, since then
	asked   bool      // the last probe has no answer
	proven  bool      // the gateway in use has answered one
	skipped bool      // WireGuard was not asked at the last look
	read    time.Time // when it was
}

// promoted is for a new gateway in use.
func (g *glance) promoted() { g.proven, g.asked = false, false }

func (g *glance) answered() { g.answers, g.asked, g.proven = g.answers+1, false, true }

// count reads what has come. news says that it was not just answers to probes, or that this is not known; more that it
// was more than these. A device that was made anew has received less.
func (g *glance) count(devices []string) (news, more bool) {
	packets, ok := g.traffic.Received(devices)
	due := g.packets + g.answers
	known := ok && g.known
	g.packets, g.known, g.answers = packets, ok, 0
	return !known || packets != due, known && packets > due
}

// glanced tells the engine of what has come, if that can be known without asking WireGuard. Otherwise WireGuard is to
// be asked; its bytes are a sign of life unless stale is true: they may have come long ago.
func (l *loop) glanced(now time.Time) (done, stale bool) {
	g := &l.glance
	news, more := g.count(l.kind.Devices())
	if l.calm(now) {
		sure := !news && !g.asked
		if cur, ok := l.engine.Current(); ok && more && l.counters.Only([32]byte(cur.PublicKey)) {
			l.handle(peerselector.Alive{Key: cur.PublicKey, Reply: true})
			sure = true
		}
		if sure {
			g.skipped = true
			return true, false
		}
	}
	stale = g.skipped && !news
	g.skipped, g.read = false, now
	return false, stale
}

// calm says that nothing is to be expected of WireGuard but packets of the gateway in use. Peers may have been made
// since it was asked, and the next comparison of the kernel's state asks it anyway.
func (l *loop) calm(now time.Time) bool {
	g := &l.glance
	_, racing := l.engine.Racing()
	return l.fine() && !racing && g.proven && !l.key.waiting() && l.rekeying.renew.IsZero() &&
		now.Sub(g.read) < readEvery && now.Sub(l.counters.Oldest()) < renewing && l.devices.changed.Before(g.read) &&
		now.Before(l.devices.due)
}
