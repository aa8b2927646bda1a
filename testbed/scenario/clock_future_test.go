package scenario

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/ntpd"
	"wguplink/testbed/topology"
)

// ours makes userspace WireGuard the one in use: it takes the time of its handshakes from the node's own clock. The
// kernel's would take the machine's.
func ours(options map[string][]string) map[string][]string {
	out := map[string][]string{"backend": {"userspace"}}
	for o, v := range options {
		out[o] = v
	}
	return out
}

// accepted has the node shake hands anew, and the gateway answer: it has seen no time from this node that is yet to
// come.
func accepted(n *node, l2 *topology.Layer2) {
	n.t.Helper()
	nodeStop(n.scene)
	n.reply(l2, n.start())
}

// The clock chip says 2063, and no NTP server answers. The tunnel comes up, and what the gateway gets to see is not
// 2063: once NTP has put the clock right, it takes the next handshake.
func TestClockIn2063(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, ours(map[string][]string{"ntp_grace": {"0.3"}}))
	nodeBoots(n.scene, time.Date(2063, 4, 5, 12, 0, 0, 0, time.UTC))
	nodeLie(n.scene, ntpd.Dead())
	l2 := n.frames()
	n.reply(l2, n.start())
	st := nodeConnected(n.scene)
	if !strings.Contains(st.Clock, "not verified") {
		t.Errorf("status says of the clock: %q", st.Clock)
	}
	steps := n.Clock().Steps()
	if len(steps) != 1 || steps[0].To.Sub(nodeEarliest).Abs() > nodeMoment {
		t.Errorf("steps %+v, want one to %v", steps, nodeEarliest)
	}
	nodeLie(n.scene, ntpd.Honest())
	nodeAwait(n.scene, "verified", func(st topology.Status) bool { return strings.Contains(st.Clock, "set by") })
	if !nodeRight(n.scene) {
		t.Errorf("the node's clock is off by %v", n.Clock().Offset())
	}
	accepted(n, l2)
}

// A wait of 0 is none, also with a wrong clock.
func TestClockNoGrace(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, ours(map[string][]string{"ntp_grace": {"0"}}))
	nodeBoots(n.scene, time.Date(2063, 4, 5, 12, 0, 0, 0, time.UTC))
	nodeLie(n.scene, ntpd.Dead())
	l2 := n.frames()
	n.reply(l2, n.start())
	if st := nodeConnected(n.scene); !strings.Contains(st.Clock, "not verified") {
		t.Errorf("status says of the clock: %q", st.Clock)
	}
	nodeLie(n.scene, ntpd.Honest())
	nodeAwait(n.scene, "verified", func(st topology.Status) bool { return strings.Contains(st.Clock, "set by") })
	accepted(n, l2)
}

// The kept time is of 2040. Neither a kernel that is synchronised nor servers that agree care, and it is put right.
func TestPoisonedLastKnownTime(t *testing.T) {
	t.Parallel()
	const file, poison = "/etc/wguplink/last-time", "2040-01-01T00:00:00Z\n"
	n := newNode(t, topology.Options{Gateways: 1}, ours(nil))
	l2 := n.frames()
	for name, boot := range map[string]struct {
		at     time.Time
		synced bool
	}{
		"the clock is in 1970":          {at: nodeLongAgo},
		"the clock is right":            {at: time.Now()},
		"the clock is in 2040":          {at: time.Date(2040, 1, 1, 0, 1, 0, 0, time.UTC)},
		"the clock is known to be good": {at: time.Now(), synced: true},
	} {
		n.must(n.Node.WriteFile(file, poison))
		n.Clock().Set(boot.at)
		n.Clock().SetSynchronised(boot.synced)
		before := len(n.Clock().Steps())
		n.reply(l2, n.start())
		nodeConnected(n.scene)
		if !nodeRight(n.scene) {
			t.Errorf("%s: the node's clock is off by %v", name, n.Clock().Offset())
		}
		for _, s := range n.Clock().Steps()[before:] {
			if time.Until(s.To).Abs() > limit {
				t.Errorf("%s: the clock was set to %v", name, s.To)
			}
		}
		kept, err := n.Node.ReadFile(file)
		n.must(err)
		if at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(kept))); err != nil ||
			time.Since(at).Abs() > limit {
			t.Errorf("%s: kept %q: %v", name, kept, err)
		}
		nodeStop(n.scene)
	}
}

// The kept time is of 2040, and no server answers at first. The clock does not go there, so that the gateway takes the
// handshake after NTP has put the clock right.
func TestPoisonedLastKnownTimeNoAnswer(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, ours(map[string][]string{"ntp_grace": {"0.3"}}))
	n.must(n.Node.WriteFile("/etc/wguplink/last-time", "2040-01-01T00:00:00Z\n"))
	nodeBoots(n.scene, nodeLongAgo)
	nodeLie(n.scene, ntpd.Dead())
	l2 := n.frames()
	n.reply(l2, n.start())
	nodeConnected(n.scene)
	if steps := n.Clock().Steps(); len(steps) != 1 || steps[0].To.Sub(nodeEarliest).Abs() > nodeMoment {
		t.Errorf("steps %+v, want one to %v", steps, nodeEarliest)
	}
	nodeLie(n.scene, ntpd.Honest())
	nodeAwait(n.scene, "verified", func(st topology.Status) bool { return strings.Contains(st.Clock, "set by") })
	accepted(n, l2)
}

// One server alone meets the poisoned time: it is believed once it has said so repeatedly.
func TestPoisonedLastKnownTimeOneServer(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1, NTPServers: 1}, ours(map[string][]string{"ntp_grace": {"60"}}))
	n.must(n.Node.WriteFile("/etc/wguplink/last-time", "2030-01-01T00:00:00Z\n"))
	nodeBoots(n.scene, nodeLongAgo)
	n.reply(n.frames(), n.start())
	nodeConnected(n.scene)
	if !nodeRight(n.scene) || len(n.Clock().Steps()) != 1 {
		t.Errorf("the node's clock is off by %v, steps %+v", n.Clock().Offset(), n.Clock().Steps())
	}
}

// The only server says 2040 at first, and is right from then on. The clock never goes there.
func TestWrongTimeOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1, NTPServers: 1}, ours(map[string][]string{"ntp_grace": {"60"}}))
	nodeBoots(n.scene, nodeLongAgo)
	n.NTP[0].SetLie(ntpd.Once(ntpd.Offset(time.Until(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)))))
	n.reply(n.frames(), n.start())
	nodeConnected(n.scene)
	if steps := n.Clock().Steps(); !nodeRight(n.scene) || len(steps) != 1 {
		t.Errorf("the node's clock is off by %v, steps %+v", n.Clock().Offset(), steps)
	}
}

// A clock that cannot be set, for want of the right or because it does not fit: the tunnel comes up, the log says so
// once, and the servers are asked a few times.
func TestClockCannotBeSet(t *testing.T) {
	t.Parallel()
	for _, why := range []unix.Errno{unix.EPERM, unix.EINVAL} {
		n := newNode(t, topology.Options{Gateways: 1}, nil)
		nodeBoots(n.scene, time.Now().Add(-time.Hour))
		n.Clock().Refuse(why)
		l2 := n.frames()
		n.reply(l2, n.start())
		nodeConnected(n.scene)
		// Who asks again at once, and says so each time, does it thousands of times while these frames are answered.
		for range 200 {
			n.reply(l2, time.Now())
		}
		said := 0
		for _, l := range n.agent.Lines() {
			if strings.Contains(l, "clock") && strings.Contains(l, "set") {
				said++
			}
		}
		if said != 1 || len(n.agent.Lines()) > 20 {
			t.Errorf("%v: said %d times:\n%s", why, said, strings.Join(n.agent.Lines(), "\n"))
		}
		asked := 0
		for _, s := range n.NTP {
			asked += s.Queries()
		}
		if asked > 12 { // of each family, a server once
			t.Errorf("%v: servers were asked %d times", why, asked)
		}
	}
}
