//go:build go1.25

package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	wanDown = wan.State{Why4: "is unreachable", Why6: "is unreachable"}
	wan4    = wan.State{V4: true, Dev4: "wan", MTU4: 1500}
)

// simulateTwice is simulate with a second agent that takes up the work of the first, which is killed.
func simulateTwice(t *testing.T, prepare func(*world) config.Uplink, first, second func(*world, *Uplink)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := prepare(w)
		u, end := w.runUntil(cfg)
		first(w, u)
		if err := end(errAbort); err != nil || len(w.removed) > 0 {
			t.Errorf("aborted: %v, removed %v", err, w.removed)
		}
		u, stop := w.run(cfg)
		second(w, u)
		if err := stop(); err != nil {
			t.Errorf("at the end: %v", err)
		}
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
}

func TestStartAndStop(t *testing.T) {
	var after *world
	simulate(t, func(w *world) config.Uplink {
		after = w
		cfg := w.uplink(peer(1))
		cfg.Batman, cfg.LimitEgress = "bat0", 20000
		w.report.Warnings = []string{"a warning"}
		w.opts.Hooked = func(string) []hooks.Result { return []hooks.Result{{Hook: "10-x", Event: "up", Exit: "0"}} }
		return cfg
	}, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		time.Sleep(2 * time.Second)
		s, d := u.Snapshot(), w.last()
		if s.Backend != "kernel" || s.MTU != 1420 || s.VXLANMTU != 1350 || s.Gateway.Endpoint != "192.0.2.1:51820" ||
			s.Gateway.HandshakeAt == 0 ||
			s.PublicKey == "" || s.WAN != "IPv4 by wan" || s.Clock == "" || s.Switches != 1 || len(s.Warnings) != 1 ||
			s.Hooks[0].Name != "10-x" {
			t.Errorf("status %+v", s)
		}
		if d.VXLAN.Remote != peer(1).LinkAddress || d.VXLAN.Master != "bat0" || d.VXLAN.Throughput != 20000 ||
			len(d.Devices[0].Peers[0].AllowedIPs) != 1 {
			t.Errorf("desired %+v, VXLAN %+v", d, d.VXLAN)
		}
		w.with(func() {
			if len(w.hooked) != 1 || w.hooked[0].Event != "up" || w.hooked[0].Gateway != "gw1" {
				t.Errorf("hooks heard %+v", w.hooked)
			}
		})
		// All is as desired: a check a minute, and no word.
		w.with(func() { w.applied, w.checked = nil, 0 })
		said := w.log.String()
		time.Sleep(5 * time.Minute)
		w.with(func() {
			if n := len(w.applied); n < 4 || n > 6 || w.checked != n || w.tries != 1 {
				t.Errorf("applied %d times, checked %d times; %d tries, want 1", n, w.checked, w.tries)
			}
		})
		if w.log.String() != said {
			t.Errorf("the log has grown by %q", w.log.String()[len(said):])
		}
		if _, err := os.Stat(status.File(w.opts.RunDir, "mesh")); err != nil {
			t.Error(err)
		}
		other := New(Options{Config: w.uplink(), Log: w.opts.Log, RunDir: w.opts.RunDir})
		if err := other.Run(context.Background()); !errors.Is(err, ErrLocked) ||
			other.Snapshot().State != status.Starting {
			t.Errorf("a second agent: %v", err)
		}
	})
	if len(after.removed) != 1 || len(after.removed[0].Devices) != 1 {
		t.Errorf("removed %+v", after.removed)
	}
	if e := after.hooked[len(after.hooked)-1]; e.Event != "down" {
		t.Errorf("hooks heard %+v", e)
	}
	if _, err := os.Stat(status.File(after.opts.RunDir, "mesh")); err == nil {
		t.Error("the status outlives the agent")
	}
}

func TestFailover(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2), peer(3)) }, func(w *world, u *Uplink) {
		first := connected(t, u, time.Second)
		time.Sleep(10 * time.Second)
		w.with(func() { w.tries = 0 })
		for _, p := range []peerselector.Peer{peer(1), peer(2), peer(3)} {
			if p.Name == first {
				w.kill(p, true)
			}
		}
		wait(t, 12*time.Second, "another gateway", func() bool { return u.Snapshot().Gateway.Name != first })
		if !w.logged("gateway switched", "from="+first, "to="+u.Snapshot().Gateway.Name, `reason="silent `) {
			t.Error("the reason is not in the log")
		}
		d, tries := w.last(), 0
		if w.with(func() { tries = w.tries }); len(d.Devices[0].Peers) != 1 || tries == 0 {
			t.Errorf("%d peers are left; tried %d times", len(d.Devices[0].Peers), tries)
		}
	})
}

func TestWANDown(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.wan = wanDown
		return w.uplink(peer(1))
	}, func(w *world, u *Uplink) {
		time.Sleep(time.Second)
		if s := expect(t, u, 0, status.Connecting, status.NoWAN); !strings.Contains(s.Reason, "is unreachable") {
			t.Errorf("reason %q", s.Reason)
		}
		w.with(func() {
			if len(w.hooked) > 0 {
				t.Errorf("hooks heard %+v within the first second", w.hooked)
			}
		})
		time.Sleep(time.Minute)
		w.with(func() {
			if len(w.hooked) != 1 || w.hooked[0].Event != "down" {
				t.Errorf("hooks heard %+v", w.hooked)
			}
		})
		w.setWAN(wan4)
		connected(t, u, time.Second)
		w.setWAN(wanDown)
		time.Sleep(time.Minute)
		expect(t, u, 0, status.Impaired, status.NoWAN)
		w.setWAN(wan.State{V4: true, Dev4: "lte", MTU4: 1400})
		expect(t, u, 0, status.Connected, status.None)
		if d := w.last(); d.Devices[0].MTU != 1320 {
			t.Errorf("MTU %d", d.Devices[0].MTU)
		}
		if u.Snapshot().Switches != 1 {
			t.Errorf("%d switches", u.Snapshot().Switches)
		}
	})
}

func TestNames(t *testing.T) {
	named := peer(1)
	named.Endpoints = []string{"gw1.example.org:51820"}
	simulate(t, func(w *world) config.Uplink {
		w.names["gw1.example.org"] = nil
		return w.uplink(named)
	}, func(w *world, u *Uplink) {
		s := expect(t, u, 10*time.Second, status.Connecting, status.NoHandshake)
		if !strings.Contains(s.Reason, "no such host") {
			t.Errorf("reason %q", s.Reason)
		}
		w.with(func() { w.names["gw1.example.org"] = []netip.Addr{netip.MustParseAddr("192.0.2.1")} })
		w.at("192.0.2.1:51820")
		connected(t, u, 3*time.Minute)

		// It falls silent, and is to be found elsewhere: its address is looked up anew, and its session kept.
		w.with(func() {
			w.names["gw1.example.org"] = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
			w.gateways[netip.MustParseAddrPort("192.0.2.1:51820")].dead = true
		})
		w.at("192.0.2.7:51820")
		wait(t, 30*time.Second, "the new address",
			func() bool { return u.Snapshot().Gateway.Endpoint == "192.0.2.7:51820" })
	})
}

// The kernel is asked for the way to where the gateways are, first to the one in use.
func TestTargets(t *testing.T) {
	named := peer(2)
	named.Endpoints = []string{"gw2.example.org:51820"}
	simulate(t, func(w *world) config.Uplink {
		w.names["gw2.example.org"] = []netip.Addr{netip.MustParseAddr("192.0.2.2")}
		w.wan = wanDown
		cfg := w.uplink(peer(1), named)
		w.gateways[netip.MustParseAddrPort("192.0.2.1:51820")].dead = true
		w.gateways[netip.MustParseAddrPort("192.0.2.2:51820")] = &gateway{}
		return cfg
	}, func(w *world, u *Uplink) {
		one, two := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("192.0.2.2:51820")
		at := func(names bool, want ...netip.AddrPort) {
			t.Helper()
			if d, _ := w.to.Get(); !slices.Equal(d.Gateways, want) || d.Names != names || d.Told {
				t.Errorf("destinations %+v, want %v", d, want)
			}
		}
		synctest.Wait()
		at(true, one)
		w.setWAN(wan4)
		connected(t, u, time.Minute)
		at(true, two, one)
		w.kill(peer(1), false)
		cfg := w.uplink(peer(1))
		cfg.Batman = "bat0"
		w.reload(u, cfg)
		connected(t, u, time.Minute)
		at(false, one)
		w.with(func() {
			if p := w.paths[len(w.paths)-1]; !p.Carries("bat0") || !p.Carries("mesh-vpn") || p.Carries("wan") {
				t.Errorf("path of %+v", p)
			}
		})
	})
}

// A tunnel for IPv4 beside a wide IPv6 (DS-Lite): the path that is used counts.
func TestMTUOfThePath(t *testing.T) {
	lite := wan.State{V4: true, V6: true, Dev4: "dslite", Dev6: "wan", MTU4: 1280, MTU6: 1500}
	six := peer(2)
	six.Endpoints = []string{"[2001:db8::1]:51820"}
	for _, tt := range []struct {
		gateway     peerselector.Peer
		known, want int // known by the kernel
	}{{peer(1), 0, 1280}, {six, 0, 1420}, {six, 1400, 1320}, {peer(1), 1500, 1420}} {
		simulate(t, func(w *world) config.Uplink {
			w.wan, w.mtu = lite, tt.known
			return w.uplink(tt.gateway)
		}, func(w *world, u *Uplink) {
			connected(t, u, 10*time.Second)
			wait(t, 10*time.Second, fmt.Sprintf("MTU %d by %v", tt.want, tt.gateway.Endpoints),
				func() bool { return u.Snapshot().MTU == tt.want })
		})
	}
}

func TestFamilies(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := w.uplink(peer(1))
		cfg.AddressFamily = config.Only6
		return cfg
	}, func(w *world, u *Uplink) {
		if s := expect(t, u, 10*time.Second, status.Connecting, status.NoHandshake); !strings.Contains(s.Reason,
			"address families allowed") {
			t.Errorf("reason %q", s.Reason)
		}
	})
}

func TestReload(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		time.Sleep(3 * time.Second)
		w.with(func() { w.applied = nil })
		cfg := w.uplink(peer(1))
		w.reload(u, cfg)
		synctest.Wait()
		w.with(func() {
			if len(w.applied) > 0 {
				t.Errorf("the same configuration has changed %+v", w.applied)
			}
		})

		cfg.MTU, cfg.Keepalive = 1350, 10*time.Second
		w.reload(u, cfg)
		synctest.Wait()
		if d := w.last(); d.Devices[0].MTU != 1350 || d.Devices[0].Peers[0].Keepalive != 10*time.Second {
			t.Errorf("%+v", d)
		}

		next := w.uplink(peer(2))
		w.reload(u, next)
		wait(t, time.Second, "the new gateway", func() bool {
			g := u.Snapshot().Gateway
			return g != nil &&
				g.Name == "gw2"
		})
		if !w.logged("gateway switched", "from=gw1", "to=gw2", "reason=removed") {
			t.Error("the reason is not in the log")
		}

		// Another key: another node to the gateways.
		was := u.Snapshot().PublicKey
		next.KeyFile += "2"
		next.Rebalance = 24 * time.Hour
		w.reload(u, next)
		wait(t, time.Second, "the new key", func() bool { return u.Snapshot().PublicKey != was })
		connected(t, u, time.Second)
		os.WriteFile(next.KeyFile, []byte("nonsense\n"), 0o600)
		w.reload(u, next)
		connected(t, u, time.Second)
		if !w.logged("level=ERROR", "the stored key cannot be used") {
			t.Error("the damaged key is not in the log")
		}
	})
}

// The answer to a wish comes when frames take the new way, and the status says so, however slow the kernel is.
func TestReconnect(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.applying = 5 * time.Millisecond
		return w.uplink(peer(1), peer(2))
	}, func(w *world, u *Uplink) {
		first := connected(t, u, time.Second)
		out, err := u.Reconnect(context.Background(), "")
		if err != nil || !out.Changed || out.Gateway == first {
			t.Errorf("%+v, %v", out, err)
		}
		next := peer(1)
		if out.Gateway == "gw2" {
			next = peer(2)
		}
		if s := u.Snapshot(); w.last().VXLAN.Remote != next.LinkAddress || s.Gateway == nil ||
			s.Gateway.Name != next.Name {
			t.Errorf("answered before it is done: %+v, %+v", w.last().VXLAN, s.Gateway)
		}
		if !w.logged("gateway switched", "from="+first, "to="+out.Gateway, "reason=operator") {
			t.Error("the reason is not in the log")
		}
		if _, err := u.Reconnect(context.Background(), "gw7"); !errors.Is(err, ErrUnknownGateway) ||
			!strings.Contains(err.Error(), "gw1") {
			t.Errorf("unknown gateway: %v", err)
		}
		dead := peer(1)
		if dead.Name == out.Gateway {
			dead = peer(2)
		}
		w.kill(dead, true)
		if out, err := u.Reconnect(context.Background(), dead.PublicKey.String()); err == nil || out.Changed {
			t.Errorf("a dead gateway: %+v, %v", out, err)
		}
		if _, err := u.Reconnect(context.Background(), ""); err == nil || !strings.Contains(err.Error(),
			"no other gateway") {
			t.Errorf("all others are dead: %v", err)
		}
		w.setWAN(wanDown)
		if _, err := u.Reconnect(context.Background(), ""); err == nil || !strings.Contains(err.Error(), "no way out") {
			t.Errorf("without a WAN: %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := u.Reconnect(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestAdoption(t *testing.T) {
	simulateTwice(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		w.setWAN(wanDown)
	}, func(w *world, u *Uplink) {
		time.Sleep(time.Second)
		if s := u.Snapshot(); s.Gateway == nil || s.Switches != 0 {
			t.Errorf("not gone on with: %+v", s)
		}
		w.setWAN(wan4)
		connected(t, u, time.Second)
		if !w.logged("going on with the gateway in use") {
			t.Error("not in the log")
		}
	})
}

// When its device is gone, the gateway in use before is tried first.
func TestRemembered(t *testing.T) {
	var first string
	simulateTwice(t, func(w *world) config.Uplink { return w.uplink(peer(1), peer(2), peer(3), peer(4)) },
		func(w *world, u *Uplink) {
			first = connected(t, u, time.Second)
			w.with(func() { w.devices = map[string]*device{} })
		}, func(w *world, u *Uplink) {
			if got := connected(t, u, time.Second); got != first {
				t.Errorf("first %s, then %s", first, got)
			}
		})
}

func TestBorrowedDevice(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := w.uplink(peer(1))
		cfg.Borrowed, cfg.Mode, cfg.VXLAN = true, config.ModeLayer3, config.VXLAN{}
		return cfg
	}, func(w *world, u *Uplink) {
		expect(t, u, 10*time.Second, status.Connecting, status.Device)
		if w.logged("tunnel not as wanted") {
			t.Error("to wait for the device is not worth a warning")
		}
		w.with(func() { w.devices["wg_mesh"] = newDevice("wg_mesh") })
		w.touch()
		connected(t, u, time.Second)
		if d := w.last(); !d.Devices[0].Borrowed || len(d.Devices[0].Leftovers) != 1 {
			t.Errorf("desired %+v", d)
		}
		// Its owner takes it away, and makes it anew.
		w.with(func() { delete(w.devices, "wg_mesh") })
		w.touch()
		expect(t, u, time.Second, status.Impaired, status.Device)
		w.with(func() { w.devices["wg_mesh"] = newDevice("wg_mesh") })
		w.touch()
		expect(t, u, 40*time.Second, status.Connected, status.None)
	})
}

func TestApplyFails(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.applyErr = errors.New("address already in use")
		return w.uplink(peer(1))
	}, func(w *world, u *Uplink) {
		if s := expect(t, u, time.Second, status.Connecting, status.Device); s.Reason != "address already in use" {
			t.Errorf("reason %q", s.Reason)
		}
		time.Sleep(2 * time.Minute)
		if n := strings.Count(w.log.String(), "tunnel not as wanted"); n != 1 {
			t.Errorf("told %d times", n)
		}
		w.with(func() { w.applyErr = nil })
		connected(t, u, time.Minute)
	})
}

// A peer that another program takes off the device is put there again, and a device that vanishes is made anew.
func TestTakenAway(t *testing.T) {
	simulate(t, func(w *world) config.Uplink { return w.uplink(peer(1)) }, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		w.with(func() { w.devices["wg_mesh"].Peers = nil })
		time.Sleep(4 * time.Second) // a probe has no answer
		w.with(func() {
			if len(w.devices["wg_mesh"].Peers) != 1 {
				t.Error("the peer is not back")
			}
			delete(w.devices, "wg_mesh")
		})
		time.Sleep(2 * time.Second)
		w.with(func() {
			if w.devices["wg_mesh"] == nil {
				t.Error("the device is not back")
			}
		})
	})
}

func TestPathMTU(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.mtu, w.largest = 1480, 1332
		return w.uplink(peer(1))
	}, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		wait(t, 3*time.Second, "an MTU of 1332", func() bool { return u.Snapshot().MTU == 1332 })
		measures := w.measures.Load()
		time.Sleep(time.Minute)
		if n := w.measures.Load(); n != measures {
			t.Errorf("measured %d times", n)
		}
		// The gateway is met by another path.
		w.with(func() {
			w.largest = 65535
			p := &w.devices["wg_mesh"].Peers[0]
			e := *p.Endpoint
			e.Port++
			p.Endpoint = &e
			w.gateways[e.AddrPort()] = &gateway{}
		})
		wait(t, 2*readEvery, "the new endpoint",
			func() bool { return u.Snapshot().Gateway.Endpoint == "192.0.2.1:51821" })
		wait(t, 30*time.Second, "another measurement", func() bool { return w.measures.Load() > measures })
	})
}

func TestClock(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.sys.SetSynchronised(false, nil)
		cfg := w.uplink(peer(1))
		cfg.NTPServers = []string{"192.0.2.123"}
		return cfg
	}, func(w *world, u *Uplink) {
		time.Sleep(10 * time.Second)
		expect(t, u, 0, status.Connecting, status.Clock)
		w.setWAN(wanDown) // the grace period begins anew
		w.setWAN(wan4)
		time.Sleep(10 * time.Second)
		expect(t, u, 0, status.Connecting, status.Clock)
		connected(t, u, 6*time.Second)
		if s := u.Snapshot(); !strings.HasPrefix(s.Clock, "not verified: 192.0.2.123") {
			t.Errorf("clock %q", s.Clock)
		}
		// A corrected configuration reaches the question under way.
		cfg := w.uplink(peer(1))
		cfg.NTPServers = []string{"192.0.2.124"}
		w.reload(u, cfg)
		wait(t, 20*time.Second, "an answer of the other server",
			func() bool { return strings.Contains(u.Snapshot().Clock, "192.0.2.124") })
		w.sys.SetSynchronised(true, nil)
		wait(t, 10*time.Minute, "the kernel's word", func() bool {
			return strings.HasPrefix(u.Snapshot().Clock,
				"synchronised")
		})

		if err := w.sys.Step(w.sys.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		wait(t, 3*time.Second, "doubt", func() bool { return w.logged("another program has set the clock") })
	})
}

func TestNoGrace(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.sys.SetSynchronised(false, nil)
		cfg := w.uplink(peer(1))
		cfg.NTPServers, cfg.NTPGrace = []string{"192.0.2.123"}, 0
		return cfg
	}, func(w *world, u *Uplink) {
		connected(t, u, 500*time.Millisecond)
	})
}

func TestMesh(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.report.Mesh = &tunnel.Mesh{Name: "bat0", Algorithm: "BATMAN_IV"}
		return w.uplink(peer(1))
	}, func(w *world, u *Uplink) {
		connected(t, u, time.Second)
		expect(t, u, 30*time.Second, status.Impaired, status.NoNeighbour)
		w.with(func() { w.report.Mesh = &tunnel.Mesh{Name: "bat0", Neighbours: []string{"02:00:00:00:00:01"}} })
		expect(t, u, 6*time.Second, status.Connected, status.None)
	})
}

func TestMuteGateway(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := w.uplink(peer(1))
		w.at(peer(1).Endpoints[0]).mute = true
		return cfg
	}, func(w *world, u *Uplink) {
		// A gateway that polls for new peers may take ten seconds for its first answer.
		if s := expect(t, u, 13*time.Second, status.Suspect, status.NoAnswer); !strings.Contains(s.Reason,
			"fe80::1 does not answer") {
			t.Errorf("reason %q", s.Reason)
		}
	})
}

func TestBadKey(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		cfg := w.uplink(peer(1))
		os.WriteFile(cfg.KeyFile, []byte("nonsense\n"), 0o600)
		return cfg
	}, func(w *world, u *Uplink) {
		expect(t, u, time.Second, status.Connecting, status.BadKey)
		if d := w.last(); len(d.Devices) > 0 {
			t.Errorf("applied %+v", d)
		}
		os.Remove(filepath.Join(w.dir, "key"))
		connected(t, u, 25*time.Second)
	})
}

func TestWatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.watchErr = errors.New("no netlink")
		_, stop := w.run(w.uplink(peer(1)))
		synctest.Wait()
		if err := stop(); err == nil || err.Error() != "uplink mesh: no netlink" || len(w.removed) > 0 {
			t.Errorf("%v, removed %v", err, w.removed)
		}
	})
}

func TestOpenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opts.Machine.Open = func() (Kernel, error) { return nil, errors.New("no netlink") }
		_, stop := w.run(w.uplink())
		if err := stop(); err == nil {
			t.Error("no error")
		}
	})
}
