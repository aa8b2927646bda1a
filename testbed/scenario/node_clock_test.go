package scenario

import (
	"strings"
	"testing"
	"time"

	"wguplink/testbed/ntpd"
	"wguplink/testbed/topology"
)

// nodeBoots puts the node's clock where a boot leaves it.
func nodeBoots(s *scene, at time.Time) {
	s.Clock().Set(at)
	s.Clock().SetSynchronised(false)
}

// nodeRight says whether the node's clock is right.
func nodeRight(s *scene) bool { return s.Clock().Offset().Abs() < nodeMoment }

func nodeLie(s *scene, lie ntpd.Lie) {
	for _, server := range s.NTP {
		server.SetLie(lie)
	}
}

var (
	nodeLongAgo = time.Unix(100, 0)
	// nodeEarliest is what the agent takes for the earliest time possible in a build without a date.
	nodeEarliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func TestClockSetByNTP(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	machine := time.Now()
	nodeBoots(n.scene, nodeLongAgo)
	l2 := n.frames()
	n.reply(l2, n.start())
	if st := nodeConnected(n.scene); !strings.Contains(st.Clock, "set by") {
		t.Errorf("status says of the clock: %q", st.Clock)
	}
	if !nodeRight(n.scene) {
		t.Errorf("the node's clock is off by %v", n.Clock().Offset())
	}
	if steps := n.Clock().Steps(); len(steps) != 1 {
		t.Errorf("the clock was stepped %d times: %+v", len(steps), steps)
	}
	if now := time.Now(); (now.Round(0).Sub(machine.Round(0)) - now.Sub(machine)).Abs() > time.Second {
		t.Error("the machine's own clock was set")
	}
	kept, err := n.Node.ReadFile("/etc/wguplink/last-time")
	n.must(err)
	if at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(kept))); err != nil ||
		time.Since(at).Abs() > limit {
		t.Errorf("last-time: %q: %v", kept, err)
	}
}

// A clock that may be right is used without NTP once the grace period is over, and set when NTP comes back.
func TestNTPDeadClockPlausible(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"ntp_grace": {"0.3"}})
	nodeBoots(n.scene, time.Now().Add(-10*time.Minute))
	nodeLie(n.scene, ntpd.Dead())
	l2 := n.frames()
	n.reply(l2, n.start())
	st := nodeConnected(n.scene)
	if !strings.Contains(st.Clock, "not verified") {
		t.Errorf("status says of the clock: %q", st.Clock)
	}
	if steps := n.Clock().Steps(); len(steps) != 0 {
		t.Errorf("the clock was stepped: %+v", steps)
	}
	nodeLie(n.scene, ntpd.Offset(20*365*24*time.Hour))
	nodeAwait(n.scene, "told of the false time", func(st topology.Status) bool {
		return strings.Contains(st.Clock, "not verified") && !strings.Contains(st.Clock, "no answer")
	})
	nodeLie(n.scene, ntpd.Honest())
	st = nodeAwait(n.scene, "verified", func(st topology.Status) bool { return strings.Contains(st.Clock, "set by") })
	if !nodeRight(n.scene) {
		t.Errorf("the node's clock is off by %v", n.Clock().Offset())
	}
	// The step changes nothing for the tunnel.
	n.reply(l2, time.Now())
	if st := nodeConnected(n.scene); st.Switches != 1 {
		t.Errorf("%d switches", st.Switches)
	}
}

// A clock that cannot be right is put to the earliest time that can, and the node connects all the same.
func TestNTPDeadClockLongAgo(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"ntp_grace": {"0.3"}})
	nodeBoots(n.scene, nodeLongAgo)
	nodeLie(n.scene, ntpd.Dead())
	n.reply(n.frames(), n.start())
	if st := nodeConnected(n.scene); !strings.Contains(st.Clock, "not verified") {
		t.Errorf("status says of the clock: %q", st.Clock)
	}
	steps := n.Clock().Steps()
	if len(steps) != 1 || steps[0].To.Sub(nodeEarliest).Abs() > nodeMoment {
		t.Errorf("steps %+v, want one to %v", steps, nodeEarliest)
	}
}

// One liar among three is refused and named, with any lie.
func TestLoneLiar(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, nil)
	for _, lie := range []ntpd.Lie{
		ntpd.Offset(20 * 365 * 24 * time.Hour), ntpd.Offset(time.Hour), ntpd.At(nodeLongAgo),
		ntpd.Kiss("DENY"), ntpd.Stratum(16),
	} {
		n.NTP[1].SetLie(lie)
		// An answer that comes later than those of the honest ones is not waited for; then there is nothing to name.
		named := false
		for tries := 0; !named && tries < 5; tries++ {
			nodeBoots(n.scene, nodeLongAgo)
			steps := len(n.Clock().Steps())
			n.start()
			nodeConnected(n.scene)
			if !nodeRight(n.scene) || len(n.Clock().Steps()) != steps+1 {
				t.Errorf("%v: the clock is off by %v after the steps %+v", lie, n.Clock().Offset(),
					n.Clock().Steps()[steps:])
			}
			nodeStop(n.scene)
			for _, l := range n.agent.Lines() {
				if strings.Contains(l, "time source refused") {
					named = true
					if !strings.Contains(l, topology.NTPName(2)) {
						t.Errorf("%v: an honest server is refused: %s", lie, l)
					}
				}
			}
		}
		if !named {
			t.Errorf("%v: the liar is not named:\n%s", lie, strings.Join(n.agent.Lines(), "\n"))
		}
	}
}

// Servers that all lie, or contradict each other, are not believed.
func TestAllLiars(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"ntp_grace": {"0.5"}})
	boot := func(lies ...ntpd.Lie) {
		t.Helper()
		for i, lie := range lies {
			n.NTP[i].SetLie(lie)
		}
		nodeBoots(n.scene, time.Now().Add(-10*time.Minute))
		n.start()
		if st := nodeConnected(n.scene); !strings.Contains(st.Clock, "not verified") {
			t.Errorf("%v: status says of the clock: %q", lies, st.Clock)
		}
		nodeStop(n.scene)
		if steps := n.Clock().Steps(); len(steps) != 0 {
			t.Errorf("%v: the clock was stepped: %+v", lies, steps)
		}
	}
	far := ntpd.Offset(20 * 365 * 24 * time.Hour)
	boot(far, far, far)
	boot(ntpd.At(nodeLongAgo), ntpd.Stratum(16), ntpd.Kiss("RATE"))
	boot(ntpd.Offset(time.Hour), ntpd.Offset(2*time.Hour), ntpd.Offset(-3*time.Hour))
}

// After a reboot no single answer brings the clock behind the last known time. Servers that agree do: the kept time may
// be wrong.
func TestClockNotBehindLastKnownTime(t *testing.T) {
	t.Parallel()
	// Time enough for an answer on a busy machine: one that comes too late is not the one that is named.
	n := newNode(t, topology.Options{Gateways: 1}, map[string][]string{"ntp_grace": {"3"}})
	l2 := n.frames()
	nodeBoots(n.scene, nodeLongAgo)
	known := time.Now().Truncate(time.Second)
	n.reply(l2, n.start())
	nodeAwait(n.scene, "verified", func(st topology.Status) bool { return strings.Contains(st.Clock, "set by") })
	n.must(n.Node.Reboot(n.ctx))
	nodeLie(n.scene, ntpd.Dead())
	// A clock that stands still does not repeat what it says.
	n.NTP[0].SetLie(ntpd.At(known.Add(-30 * 24 * time.Hour)))
	nodeBoots(n.scene, nodeLongAgo)
	n.reply(l2, n.start())
	st := nodeConnected(n.scene)
	if !strings.Contains(st.Clock, "not verified") || !strings.Contains(st.Clock, "before the last known time") {
		t.Errorf("status says of the clock: %q", st.Clock)
	}
	if now := n.Clock().Now(); now.Before(known) {
		t.Errorf("the clock is at %v, behind %v", now, known)
	}
}
