package world

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"wguplink/testbed/gateway"
	"wguplink/testbed/netlab"
)

func TestMain(m *testing.M) { netlab.Main(m.Run) }

// floodWorld is a world where a wire stands for the mesh: the gateway's daemon is dead, and its VXLAN device is the wire's
// other end.
func floodWorld(t *testing.T) (w *World, ctx context.Context) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	w, err := New(Options{Gateways: 1, Line: true}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Gateways[0].Kill(); err != nil {
		t.Fatal(err)
	}
	return w, ctx
}

func mesh(t *testing.T, w *World) {
	t.Helper()
	if err := w.Lab.Wire(w.Node, "mesh-vpn", w.Gateways[0].Host, gateway.DefaultVXLANInterface); err != nil {
		t.Fatal(err)
	}
}

// floodAwait waits until so many frames have passed.
func floodAwait(t *testing.T, ctx context.Context, f *Flood, up, down int64) {
	t.Helper()
	floodUntil(t, ctx, f, func(u, d FloodCount) bool { return u.Received >= up && d.Received >= down })
}

// floodUntil waits until something holds of a flood. Counters have no events.
func floodUntil(t *testing.T, ctx context.Context, f *Flood, ok func(up, down FloodCount) bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		u, d := f.Stats()
		if ok(u, d) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("still up %+v, down %+v", u, d)
		}
	}
}

// A flood begins when its device comes, goes on with the next of that name, and counts what passes.
func TestFlood(t *testing.T) {
	w, ctx := floodWorld(t)
	f, err := w.Flood(ctx, "mesh-vpn", 10_000_000, 5_000_000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Flood(ctx, "mesh-vpn", 100_000, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	mesh(t, w)
	floodAwait(t, ctx, f, 200, 100)
	if err := w.Node.Netlink().LinkDel(w.NodeLink("mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	u, d := f.Stats()
	mesh(t, w)
	floodAwait(t, ctx, f, u.Received+200, d.Received+100)
	if err := errors.Join(w.Node.LinkDown("mesh-vpn"), w.Node.LinkUp("mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	u, d = f.Stats()
	floodAwait(t, ctx, f, u.Received+200, d.Received+100)
	if err := errors.Join(f.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	most := int64(time.Since(began)/time.Millisecond)*10/8 + 3*65 // and a pause at each beginning
	u, d = f.Stats()
	if u.Received > u.Sent || d.Received > d.Sent || u.Sent > most || u.Bytes != 1000*u.Received {
		t.Errorf("up %+v, down %+v; at most %d", u, d, most)
	}
	if u, d := other.Stats(); u.Sent == 0 || u.Received > u.Sent || d.Received+d.Sent != 0 {
		t.Errorf("the other: up %+v, down %+v", u, d)
	}
}

func TestFloodTooLarge(t *testing.T) {
	w, ctx := floodWorld(t)
	for _, bad := range [][3]int64{{-1, 0, 100}, {0, -1, 100}, {0, 0, 17}, {0, 0, 1515}} {
		if _, err := w.Flood(ctx, "mesh-vpn", bad[0], bad[1], int(bad[2])); err == nil {
			t.Errorf("%v is no error", bad)
		}
	}
	mesh(t, w)
	link := w.NodeLink("mesh-vpn")
	if err := w.Node.Netlink().LinkSetMTU(link, 900); err != nil {
		t.Fatal(err)
	}
	f, err := w.Flood(ctx, "mesh-vpn", 1_000_000, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	floodUntil(t, ctx, f, func(up, _ FloodCount) bool { return up.Refused > 0 })
	if err := f.Close(); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("closed with %v", err)
	}
}

// A flood that nobody closes ends with its world.
func TestFloodEndsWithWorld(t *testing.T) {
	w, _ := floodWorld(t)
	mesh(t, w)
	f, err := w.Flood(context.Background(), "mesh-vpn", 1_000_000, 1_000_000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
