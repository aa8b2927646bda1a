package scenario

import (
	"strings"
	"testing"
	"time"

	"wguplink/testbed/topology"
)

// A person sets the clock of a connected node: NTP is asked at once, and puts it right; the tunnel does not notice.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	nodeConnected(n.scene)
	since := time.Now()
	for i, jump := range []func(){
		func() { n.Clock().Jump(time.Hour) },
		func() { n.Clock().Jump(-time.Hour) },
		func() { n.Clock().Set(nodeLongAgo) },
	} {
		n.Clock().SetSynchronised(true) // as the kernel still says after a step by hand
		before := len(n.agent.Lines())
		jump()
		_, err := n.agent.WaitLineFrom(n.ctx, before, "another program has set the clock")
		n.must(err)
		_, err = n.agent.WaitLineFrom(n.ctx, before, "stepped=true")
		n.must(err)
		if !nodeRight(n.scene) {
			t.Errorf("jump %d: the clock is off by %v", i, n.Clock().Offset())
		}
	}
	nodeLossless(n.scene, l2, since)
	if st := nodeConnected(n.scene); st.Switches != 1 || !strings.Contains(st.Clock, "set by") {
		t.Errorf("status %+v", st)
	}
}

// The clock is set while there is no way out: NTP is asked when there is one.
func TestClockJumpsOffline(t *testing.T) {
	t.Parallel()
	n := newNode(t, topology.Options{}, nil)
	l2 := n.frames()
	n.reply(l2, n.start())
	nodeConnected(n.scene)
	n.must(n.RouteDown())
	nodeAwait(n.scene, "offline", func(st topology.Status) bool { return st.Cause == "no_wan" })
	n.Clock().Jump(-time.Hour)
	back := time.Now()
	n.must(n.RouteUp())
	n.line("stepped=true")
	n.reply(l2, back)
	if !nodeRight(n.scene) {
		t.Errorf("the clock is off by %v", n.Clock().Offset())
	}
}
