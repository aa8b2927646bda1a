package topology

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

// floodTopology is a topology where a wire stands for the mesh: the gateway's daemon is dead, and its VXLAN device is
// the wire's other end.
func floodTopology(t *testing.T) (topo *Topology, ctx context.Context) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	topo, err := New(Options{Gateways: 1, Line: true}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := topo.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := topo.Gateways[0].Kill(); err != nil {
		t.Fatal(err)
	}
	return topo, ctx
}

func mesh(t *testing.T, topo *Topology) {
	t.Helper()
	if err := topo.Lab.Wire(topo.Node, "mesh-vpn", topo.Gateways[0].Host, gateway.DefaultVXLANInterface); err != nil {
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
	topo, ctx := floodTopology(t)
	f, err := topo.Flood(ctx, "mesh-vpn", 10_000_000, 5_000_000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	other, err := topo.Flood(ctx, "mesh-vpn", 100_000, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	mesh(t, topo)
	floodAwait(t, ctx, f, 200, 100)
	if err := topo.Node.Netlink().LinkDel(topo.NodeLink("mesh-vpn")); err != nil {
		t.Fatal(err)
	}
	u, d := f.Stats()
	mesh(t, topo)
	floodAwait(t, ctx, f, u.Received+200, d.Received+100)
	if err := errors.Join(topo.Node.LinkDown("mesh-vpn"), topo.Node.LinkUp("mesh-vpn")); err != nil {
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
	topo, ctx := floodTopology(t)
	for _, bad := range [][3]int64{{-1, 0, 100}, {0, -1, 100}, {0, 0, 17}, {0, 0, 1515}} {
		if _, err := topo.Flood(ctx, "mesh-vpn", bad[0], bad[1], int(bad[2])); err == nil {
			t.Errorf("%v is no error", bad)
		}
	}
	mesh(t, topo)
	link := topo.NodeLink("mesh-vpn")
	if err := topo.Node.Netlink().LinkSetMTU(link, 900); err != nil {
		t.Fatal(err)
	}
	f, err := topo.Flood(ctx, "mesh-vpn", 1_000_000, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	floodUntil(t, ctx, f, func(up, _ FloodCount) bool { return up.Refused > 0 })
	if err := f.Close(); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("closed with %v", err)
	}
}

// A flood that is not closed ends with its topology.
func TestFloodEndsWithWorld(t *testing.T) {
	topo, _ := floodTopology(t)
	mesh(t, topo)
	f, err := topo.Flood(context.Background(), "mesh-vpn", 1_000_000, 1_000_000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := topo.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
