//go:build go1.25 && !nobroker

package uplink

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/registration"
	"wguplink/agent/status"
	"wguplink/agent/wan"
)

func signedNetwork(n byte) *broker.Network {
	out := &broker.Network{
		ID: "7", Retry: time.Minute, MTU: 1375, Address4: netip.MustParseAddr("10.0.0.7"),
		Address6: netip.MustParseAddr("fd00::7"),
		Range4:   netip.MustParsePrefix("10.7.0.0/24"), Range6: netip.MustParsePrefix("fd00:7::/64"),
		Saved:  []byte("saved"),
		Config: []byte(`{"nonce":"1","id":7}` + "\n"), XLATRange6: netip.MustParsePrefix("fd00:64::/96"),
	}
	for i := byte(1); i <= n; i++ {
		p := peer(i)
		p.Keepalive = 10 * time.Second
		out.Concentrators = append(out.Concentrators, broker.Concentrator{
			ID: int(i), Peer: p, Address4: netip.AddrFrom4([4]byte{10, 0, 0, 100 + i}),
			Address6: netip.MustParseAddr("fd00::100"),
		})
	}
	return out
}

func parker(w *world) config.Uplink {
	cfg := w.uplink()
	cfg.Protocol, cfg.Interface, cfg.Mode, cfg.VXLAN = config.Parker, "wg_c", config.ModeLayer3, config.VXLAN{}
	return cfg
}

func TestSignedNetwork(t *testing.T) {
	n := signedNetwork(2)
	simulate(t, func(w *world) config.Uplink {
		w.at(peer(1).Endpoints[0])
		w.at(peer(2).Endpoints[0])
		w.at(peer(3).Endpoints[0])
		w.registrar = func(context.Context, registration.Source) (answer, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return answer{Broker: "https://config", API: "parker", Network: n}, nil
		}
		return parker(w)
	}, func(w *world, u *Uplink) {
		first := connected(t, u, 2*time.Second)
		time.Sleep(3 * time.Second)
		d := w.last()
		if len(d.Devices) != 2 || len(d.Devices[0].Peers) != 1 || len(d.Devices[1].Peers) != 1 ||
			d.Exit.Device == "" || d.Devices[0].MTU != 1375 {
			t.Fatalf("desired %+v", d)
		}
		s := u.Snapshot()
		if s.Network == nil || s.Network.Exit != d.Exit.Device || len(s.Network.Tunnels) != 2 ||
			s.Network.Tunnels[0].HandshakeAt == 0 || s.Interface != d.Exit.Device {
			t.Errorf("status %+v", s.Network)
		}
		w.with(func() {
			if e := w.hooked[0]; e.Event != "up" || e.ID != "7" || e.Interface != d.Exit.Device ||
				string(e.Config) != `{"nonce":"1","id":7}` {
				t.Errorf("hooks heard %+v", e)
			}
		})

		// The next one is ready: its session stays on its device.
		dead := peer(1)
		if first == "gw2" {
			dead = peer(2)
		}
		w.kill(dead, true)
		wait(t, 12*time.Second, "a switch", func() bool { return u.Snapshot().Gateway.Name != first })
		if !w.logged("gateway switched", "from="+first, `reason="silent`) {
			t.Error("the switch has no reason in the log")
		}
		w.kill(dead, false)

		// Another configuration: one concentrator more, and one that has moved.
		next := signedNetwork(3)
		next.Concentrators[0].Peer.Endpoints = []string{"192.0.2.9:51820"}
		w.at("192.0.2.9:51820")
		w.with(func() { n = next })
		time.Sleep(70 * time.Second)
		if d := w.last(); len(d.Devices) != 3 || len(d.Devices[2].Peers) != 1 ||
			d.Devices[0].Peers[0].Endpoint.String() != "192.0.2.9:51820" {
			t.Errorf("desired %+v", d)
		}

		// While there is no WAN for so long that the session is void, no default route leads into it.
		w.setWAN(wanDown)
		time.Sleep(170 * time.Second)
		if w.last().Exit.Device == "" {
			t.Error("the default routes are gone too early")
		}
		time.Sleep(12 * time.Second)
		if w.last().Exit.Device != "" {
			t.Error("the default routes lead into a void session")
		}
		w.with(func() {
			if e := w.hooked[len(w.hooked)-1]; e.Event != "down" {
				t.Errorf("hooks heard %+v", e)
			}
		})
	})
}

// The configuration of an agent before us is gone on with, and asked for anew all the same.
func TestRestoredNetwork(t *testing.T) {
	simulateTwice(t, func(w *world) config.Uplink {
		w.at(peer(1).Endpoints[0])
		w.registrar = func(context.Context, registration.Source) (answer, error) {
			return answer{Broker: "https://config", API: "parker", Network: signedNetwork(1)}, nil
		}
		return parker(w)
	}, func(w *world, u *Uplink) {
		connected(t, u, 2*time.Second)
		w.with(func() { w.asked = nil })
		w.setWAN(wanDown)
	}, func(w *world, u *Uplink) {
		time.Sleep(time.Second)
		if s := u.Snapshot(); s.Gateway == nil || s.Network == nil || !w.logged("going on with the gateway in use") {
			t.Errorf("not gone on with: %+v", s)
		}
		if n := len(w.sources()); n > 0 {
			t.Errorf("asked %d times without a WAN", n)
		}
	})
}

// A device that cannot be made, such as one of another program, leaves the others at work, and is not tried again with
// each look at the counters.
func TestFailedDevice(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		w.at(peer(1).Endpoints[0])
		w.at(peer(2).Endpoints[0])
		w.report.Failed, w.report.Warnings = []string{"wg_c1"}, []string{"wg_c1 exists"}
		w.registrar = func(context.Context, registration.Source) (answer, error) {
			return answer{Broker: "https://config", API: "parker", Network: signedNetwork(2)}, nil
		}
		return parker(w)
	}, func(w *world, u *Uplink) {
		if name := connected(t, u, 5*time.Second); name != "gw2" {
			t.Errorf("connected to %q", name)
		}
		time.Sleep(2 * time.Minute)
		w.with(func() { w.applied = nil })
		time.Sleep(5 * applyEvery)
		if n := w.applications(); n < 4 || n > 6 {
			t.Errorf("applied %d times in %v", n, 5*applyEvery)
		}
		if s := u.Snapshot(); len(s.Warnings) != 1 || s.Gateway.Name != "gw2" || s.Switches != 1 {
			t.Errorf("status %+v", s)
		}

		// It works as soon as it can be made.
		w.with(func() { w.report.Failed, w.report.Warnings = nil, nil })
		wait(t, 2*applyEvery, "a session on the other device", func() bool {
			s := u.Snapshot()
			return s.Network.Tunnels[0].HandshakeAt != 0 && len(s.Warnings) == 0
		})
	})
}

// The devices have what the WAN carries, and hooks and the IPv4 route follow.
func TestSignedMTU(t *testing.T) {
	simulate(t, func(w *world) config.Uplink {
		for i := byte(1); i <= 2; i++ {
			w.at(peer(i).Endpoints[0])
		}
		six := "[2001:db8::2]:51820"
		w.at(six)
		w.wan, w.mtu6 = wan.State{V4: true, V6: true, Dev4: "wan", Dev6: "wan", MTU4: 1500, MTU6: 1500}, 1500
		w.registrar = func(context.Context, registration.Source) (answer, error) {
			n := signedNetwork(2)
			n.MTU, n.Warnings = 1440, []string{"odd"}
			n.Concentrators[1].Peer.Endpoints = []string{six}
			return answer{Broker: "https://config", API: "parker", Network: n}, nil
		}
		return parker(w)
	}, func(w *world, u *Uplink) {
		used := connected(t, u, 2*time.Second)
		time.Sleep(3 * time.Second)
		want := map[string]int{"gw1": 1440, "gw2": 1420}
		d := w.last()
		if d.Devices[0].MTU != want["gw1"] || d.Devices[1].MTU != want["gw2"] || d.Exit.MTU4 != 1420-28 {
			t.Errorf("desired %+v, exit %+v", d.Devices, d.Exit)
		}
		if s := u.Snapshot(); s.MTU != want[used] || !slices.Equal(s.Warnings, []string{"odd"}) {
			t.Errorf("status %+v", s)
		}
		w.with(func() {
			if e := w.hooked[len(w.hooked)-1]; e.MTU != want[used] || e.ClientMTU != 1420 {
				t.Errorf("hooks heard %+v", e)
			}
			w.mtu6 = 1492 // as a router advertisement says
		})
		time.Sleep(3 * time.Second)
		if d := w.last(); d.Devices[0].MTU != 1432 || d.Devices[1].MTU != 1412 || d.Exit.MTU4 != 1412-28 {
			t.Errorf("with another WAN: %+v, exit %+v", d.Devices, d.Exit)
		}
		w.with(func() {
			if e := w.hooked[len(w.hooked)-1]; e.Event != "change" || e.ClientMTU != 1412 {
				t.Errorf("hooks heard %+v", e)
			}
		})
	})
}

// A configuration that would cut the WAN is refused; the one in force stays. One that is only strange is taken, and so
// is any when nothing can be read of the WAN.
func TestSignedNetworkAgainstTheWAN(t *testing.T) {
	n := signedNetwork(1)
	simulate(t, func(w *world) config.Uplink {
		w.at(peer(1).Endpoints[0])
		w.local.Gateways = []netip.Addr{netip.MustParseAddr("10.0.0.8")}
		w.registrar = func(context.Context, registration.Source) (answer, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return answer{Broker: "https://config", API: "parker", Network: n}, nil
		}
		return parker(w)
	}, func(w *world, u *Uplink) {
		connected(t, u, 2*time.Second)
		bad := signedNetwork(1)
		bad.Address4 = netip.MustParseAddr("10.0.0.8")
		w.with(func() { n = bad })
		wait(t, 2*time.Minute, "refused",
			func() bool { return strings.Contains(u.Snapshot().Broker, "the WAN's gateway") })
		if s := u.Snapshot(); s.State != status.Connected || s.Network.Address4 != "10.0.0.7" {
			t.Errorf("status %+v, %+v", s, s.Network)
		}

		w.with(func() { w.local = wan.Local{Addresses: []netip.Prefix{netip.MustParsePrefix("10.7.0.9/24")}} })
		odd := "range4 10.7.0.0/24 of the signed configuration overlaps the network 10.7.0.0/24 of the WAN"
		for range 2 { // it is said once, however often it is taken
			wait(t, 30*time.Minute, "taken", func() bool {
				s := u.Snapshot()
				return s.Network.Address4 == "10.0.0.8" && slices.Equal(s.Warnings, []string{odd})
			})
			time.Sleep(3 * time.Minute)
		}

		w.with(func() { n, w.localErr = signedNetwork(1), errors.New("no netlink") })
		wait(t, 2*time.Minute, "taken", func() bool { return u.Snapshot().Network.Address4 == "10.0.0.7" })
	})
}
