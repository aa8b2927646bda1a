//go:build go1.25

package uplink

import (
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/status"
)

// readsIn is how often WireGuard is asked within that time.
func (w *world) readsIn(d time.Duration) (n int) {
	w.with(func() { w.reads = 0 })
	time.Sleep(d)
	w.with(func() { n = w.reads })
	return n
}

// At rest WireGuard is asked once a minute, and each other second only when a handshake is due, as the one that this
// gateway never makes.
func TestGlance(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		time.Sleep(10 * time.Second)
		if n := w.readsIn(time.Minute); n > 2 {
			t.Errorf("WireGuard is asked %d times within a minute", n)
		}
		time.Sleep(50 * time.Second)
		if n := w.readsIn(30 * time.Second); n < 14 {
			t.Errorf("WireGuard is asked %d times within half a minute, though a handshake is due", n)
		}
		w.shake(w.devices["wg_mesh"], [32]byte(peer(1).PublicKey))
		time.Sleep(4 * time.Second)
		if n := w.readsIn(50 * time.Second); n > 2 {
			t.Errorf("WireGuard is asked %d times within 50 s after a handshake", n)
		}
	})
}

// A kernel that does not say what devices have received is no reason to know less.
func TestUncounted(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.uncounted = true
		return w.uplink(peer(1))
	}, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		time.Sleep(10 * time.Second)
		if n := w.readsIn(time.Minute); n < 29 {
			t.Errorf("WireGuard is asked %d times within a minute", n)
		}
	})
}

// Packets on a device with one peer are a sign of life of that gateway: there is nothing to probe for.
func TestTrafficIsLife(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2)) }, func(w *world, u *Uplink) {
		used := connected(t, u, time.Second)
		time.Sleep(10 * time.Second)
		receive := func() {
			w.with(func() {
				d := w.devices["wg_mesh"]
				d.packets++
				d.Peers[0].ReceiveBytes += 100
			})
		}
		w.with(func() { w.reads, w.probed = 0, 0 })
		for range 60 {
			receive()
			time.Sleep(500 * time.Millisecond)
		}
		w.with(func() {
			if w.probed > 0 || w.reads > 2 {
				t.Errorf("%d probes, WireGuard asked %d times", w.probed, w.reads)
			}
		})
		// It dies, and what has come before is no sign of life later.
		receive()
		w.kill(peer(used[len("gw")]-'0'), true)
		wait(t, 4*time.Second, "the other gateway", func() bool {
			s := u.Snapshot()
			return s.State == status.Connected && s.Gateway.Name != used
		})
	})
}

// On a device with a peer of another program, packets say nothing of our gateway.
func TestTrafficOfOthers(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2)) }, func(w *world, u *Uplink) {
		used := connected(t, u, time.Second)
		receive := func() {
			d := w.devices["wg_mesh"]
			d.packets++
			w.foreign[0].ReceiveBytes += 100
		}
		w.with(func() {
			w.foreign = []wgtypes.Peer{{PublicKey: wgtypes.Key{99}, LastHandshakeTime: time.Now()}}
			receive()
		})
		time.Sleep(10 * time.Second)
		w.kill(peer(used[len("gw")]-'0'), true)
		wait(t, 4*time.Second, "the other gateway", func() bool {
			w.with(receive)
			s := u.Snapshot()
			return s.State == status.Connected && s.Gateway.Name != used
		})
	})
}

// What a process's device does not count, such as a keepalive, is no sign of life when it is read long after it came.
func TestStaleBytes(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2)) }, func(w *world, u *Uplink) {
		used := connected(t, u, time.Second)
		time.Sleep(30 * time.Second)
		w.with(func() { w.devices["wg_mesh"].Peers[0].ReceiveBytes += 32 })
		w.kill(peer(used[len("gw")]-'0'), true)
		wait(t, 4*time.Second, "the other gateway", func() bool {
			s := u.Snapshot()
			return s.State == status.Connected && s.Gateway.Name != used
		})
	})
}

// While nothing happens but probes and answers, nothing is applied and published; what others do to the clock or the
// devices ends that.
func TestRest(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		time.Sleep(10 * time.Second)
		w.with(func() { w.applied, w.states, w.probed = nil, nil, 0 })
		time.Sleep(40 * time.Second)
		w.with(func() {
			if len(w.applied) != 0 || len(w.states) != 0 || w.probed < 19 {
				t.Errorf("%d times applied, %d states, %d probes", len(w.applied), len(w.states), w.probed)
			}
		})
		w.touch()
		time.Sleep(time.Second)
		if n := w.applications(); n != 1 {
			t.Errorf("applied %d times when links have changed", n)
		}
		if err := w.sys.Step(w.sys.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		wait(t, 3*time.Second, "the clock's jump", func() bool {
			return w.logged("another program has set the clock")
		})
	})
}

// fixed is what the kernel counts.
type fixed struct {
	packets uint64
	unknown bool
}

func (f *fixed) Received([]string) (uint64, bool) { return f.packets, !f.unknown }
func (f *fixed) Close()                           {}

// Only more than the answers to probes is more: a device that was made anew has counted less.
func TestCount(t *testing.T) {
	f := &fixed{packets: 100}
	g := glance{traffic: f}
	for i, step := range []struct {
		packets    uint64
		answers    int
		unknown    bool
		news, more bool
	}{
		{100, 0, false, true, false}, // the first
		{100, 0, false, false, false},
		{101, 1, false, false, false},
		{102, 0, false, true, true},
		{105, 1, false, true, true},
		{105, 1, false, true, false}, // an answer by another way
		{3, 0, false, true, false},   // made anew
		{3, 0, false, false, false},
		{4, 0, true, true, false},
		{9, 0, false, true, false}, // as many as unknown before
		{9, 0, false, false, false},
	} {
		f.packets, f.unknown = step.packets, step.unknown
		for range step.answers {
			g.answered()
		}
		if news, more := g.count(nil); news != step.news || more != step.more {
			t.Errorf("step %d: news %v, more %v", i, news, more)
		}
	}
}
