//go:build go1.25

package network

import (
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/config"
	"wguplink/agent/hooks"
	"wguplink/agent/peers"
	"wguplink/agent/slog"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

func gateway(n byte) peerselector.Peer {
	return peerselector.Peer{
		Name: string('a' + rune(n)), PublicKey: peerselector.Key{n},
		Endpoints:   []string{netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 1).String()},
		LinkAddress: netip.AddrFrom16([16]byte{0xfe, 0x80, 15: n}),
		AllowedIPs:  []netip.Prefix{netip.MustParsePrefix("fe80::/64")}, Keepalive: time.Second,
	}
}

// racing gives a set with gateway 1 in use and gateway 2 in the race.
func racing() *peers.Set {
	s := peers.New(slog.New(slog.DiscardHandler))
	s.Install(gateway(1), 0)
	s.Install(gateway(2), 0)
	s.Promote(gateway(1))
	return s
}

func view(s *peers.Set) View {
	cur := gateway(1)
	return View{Key: Key{Private: &wgtypes.Key{7}, Link: netip.MustParseAddr("fe80::7")}, MTU: 1420, Peers: s,
		Current: &cur, WAN: []string{"wan"}}
}

func TestSingle(t *testing.T) {
	penalty := uint8(3)
	cfg := config.Uplink{
		Name: "mesh", Protocol: config.WGKex, Interface: "wg0", Backend: config.Userspace, LinkPrefix: 64,
		Keepalive: 25 * time.Second,
		VXLAN:     config.VXLAN{Name: "vx", ID: 1, Port: 2}, Batman: "bat0",
		BatmanLink: config.Batman{HopPenalty: &penalty}, LimitEgress: 5000,
	}
	k := New(cfg)
	d, ok := k.Desired(view(racing()))
	if !ok || len(d.Devices) != 1 || len(d.Devices[0].Peers) != 2 {
		t.Fatalf("%+v", d)
	}
	dev, used, tried := d.Devices[0], d.Devices[0].Peers[0], d.Devices[0].Peers[1]
	if dev.Interface != "wg0" || dev.Backend != tunnel.Userspace || dev.MTU != 1420 ||
		dev.Addresses[0].Prefix.String() != "fe80::7/64" || dev.Borrowed {
		t.Errorf("%+v", dev)
	}
	if len(used.AllowedIPs) != 1 || used.Keepalive != time.Second || len(tried.AllowedIPs) != 0 ||
		tried.Keepalive != 25*time.Second {
		t.Errorf("in use %+v, tried %+v", used, tried)
	}
	if v := d.VXLAN; v.MTU != 1350 || v.Remote != gateway(1).LinkAddress || v.Throughput != 5000 ||
		*v.HopPenalty != 3 || v.Master != "bat0" {
		t.Errorf("%+v", v)
	}
	if k.Device(peerselector.Key{9}) != "wg0" || k.Devices()[0] != "wg0" || k.Keeps(peerselector.Key{1}) ||
		k.Take(&broker.Network{}) != Nothing {
		t.Error("there is one device for all")
	}
	if p, ok := k.Known(gateway(3)); !ok || p.Name != gateway(3).Name {
		t.Error("a broker may have named it")
	}
	cfg.Protocol, cfg.Mode, cfg.Gateways, cfg.MTU = config.Static, config.ModeLayer3, []peerselector.Peer{gateway(1)},
		1300
	k = Renew(k, cfg)
	if d, _ := k.Desired(view(racing())); d.VXLAN != nil || k.MTU() != 1300 || len(k.Candidates()) != 1 {
		t.Errorf("%+v", d)
	}
	cfg.Unrouted = true
	d, _ = Renew(k, cfg).Desired(view(racing()))
	if dev := d.Devices[0]; !dev.Unrouted || len(dev.Reach) != 1 || dev.Reach[0].String() != "fe80::1/128" {
		t.Errorf("without routes from allowed IPs only the gateway in use is reached: %+v", dev)
	}
	if dev := dev; dev.Unrouted || dev.Reach != nil {
		t.Errorf("%+v", dev)
	}
	if _, ok := k.Known(gateway(3)); ok {
		t.Error("it is no gateway any more")
	}
	var s status.Snapshot
	if k.Describe(&s, nil, view(racing())); s.Network != nil || (k.Traits() != Traits{}) || k.Traits().Void(time.Hour) {
		t.Errorf("%+v", s)
	}
}

func TestBorrowed(t *testing.T) {
	k := New(config.Uplink{Interface: "wg0", Borrowed: true, LinkPrefix: 64, Mode: config.ModeLayer3,
		Gateways: []peerselector.Peer{gateway(1), gateway(3)}})
	d, ok := k.Desired(view(racing()))
	if dev := d.Devices[0]; !ok || !dev.Borrowed || len(dev.Leftovers) != 2 || !k.Traits().Borrowed {
		t.Errorf("%+v", dev)
	}
}

// The words of the configuration and of the tunnel are matched by name, not by their order.
func TestBackends(t *testing.T) {
	for b, want := range map[config.Backend]tunnel.Backend{config.Auto: tunnel.Auto, config.Kernel: tunnel.Kernel,
		config.Userspace: tunnel.Userspace} {
		if got := Backend(b); got != want || got.String() != b.String() {
			t.Errorf("%v: %v", b, got)
		}
	}
}

func TestAnother(t *testing.T) {
	a := config.Uplink{Protocol: config.WGKex, Domain: "x", MTU: 1}
	for _, tt := range []struct {
		b    config.Uplink
		want bool
	}{
		{config.Uplink{Protocol: config.WGKex, Domain: "x", MTU: 2}, false},
		{config.Uplink{Protocol: config.FFAC, Domain: "x"}, true},
		{config.Uplink{Protocol: config.WGKex, Domain: "y"}, true},
	} {
		if got := Another(a, tt.b); got != tt.want {
			t.Errorf("%+v: %v", tt.b, got)
		}
	}
}

func signed(n byte) *broker.Network {
	out := &broker.Network{
		ID: "7", MTU: 1375, Address4: netip.MustParseAddr("10.0.0.7"), Address6: netip.MustParseAddr("fd00::7"),
		Config: []byte("{}\n"),
		Range4: netip.MustParsePrefix("10.7.0.0/24"), Range6: netip.MustParsePrefix("fd00:7::/64"), Retry: time.Minute,
	}
	for i := byte(1); i <= n; i++ {
		out.Concentrators = append(out.Concentrators, broker.Concentrator{
			ID: int(i), Peer: gateway(i), Address4: netip.AddrFrom4([4]byte{10, 0, 0, 100 + i}),
			Address6: netip.MustParseAddr("fd00::100"),
		})
	}
	return out
}

// checkMTUs looks at the sizes of a network with two concentrators by IPv4.
func checkMTUs(t *testing.T, k Kind, v View) {
	t.Helper()
	n := signed(2)
	n.XLATRange6 = netip.MustParsePrefix("fd00:64::/96")
	k.Take(n)
	defer k.Take(signed(2))
	v.Now, v.WANMTU = 1_000_000, 1400
	d, _ := k.Desired(v)
	if d.Devices[0].MTU != 1340 || d.Devices[1].MTU != 1340 || d.Exit.MTU4 != 0 {
		t.Errorf("without a handshake: %+v, %+v", d.Devices, d.Exit)
	}
	v.Peers.Get(gateway(1).PublicKey).Handshake = 990_000
	v.Applied = []tunnel.Device{{Interface: "wg_c1", MTU: 1340}, {Interface: "wg_c2", MTU: 1300}}
	e := hooks.Event{MTU: 1340}
	k.Describe(nil, &e, v)
	if d, _ := k.Desired(v); d.Exit.MTU4 != 1340-28 || e.ClientMTU != 1340 {
		t.Errorf("with one: %+v, hooks %+v", d.Exit, e)
	}
	v.Peers.Get(gateway(2).PublicKey).Handshake = 900_000
	if k.Describe(nil, &e, v); e.ClientMTU != 1300 {
		t.Errorf("with two: %+v", e)
	}
	v.Now = 1_080_000 // the second is void
	if k.Describe(nil, &e, v); e.ClientMTU != 1340 {
		t.Errorf("with a void one: %+v", e)
	}
	v.Now = 2_000_000
	d, _ = k.Desired(v)
	if k.Describe(nil, &e, v); e.ClientMTU != e.MTU || d.Exit.MTU4 != 0 {
		t.Errorf("with none that is live: %+v, hooks %+v", d.Exit, e)
	}
	local := wan.Local{Gateways: []netip.Addr{n.Address4}}
	if _, err := k.Check(n, local); err == nil {
		t.Error("the address of the WAN's gateway is taken")
	}
	if warnings, err := New(config.Uplink{}).Check(n, local); err != nil || len(warnings) > 0 {
		t.Errorf("a network without signed configuration: %q, %v", warnings, err)
	}
}

func TestParker(t *testing.T) {
	if !config.BrokerSupport {
		if _, ok := New(config.Uplink{Protocol: config.Parker}).(*single); !ok {
			t.Error("a build without brokers links Parker")
		}
		return
	}
	k := New(config.Uplink{Name: "p", Protocol: config.Parker, Interface: "wg_c", Keepalive: 25 * time.Second})
	v := view(racing())
	if d, ok := k.Desired(v); ok || d.Exit == nil || len(k.Devices()) > 0 || len(k.Candidates()) > 0 ||
		k.Device(peerselector.Key{1}) != "" || k.MTU() != 0 {
		t.Errorf("desired without a configuration: %+v", d)
	}
	var s status.Snapshot
	if k.Describe(&s, nil, v); s.Network != nil {
		t.Errorf("%+v", s.Network)
	}
	if c := k.Take(signed(2)); c != Gateways {
		t.Errorf("the first changes %v", c)
	}
	d, ok := k.Desired(v)
	if !ok || len(d.Devices) != 2 || d.Exit.Device != "wg_c1" || d.Exit.Via4.String() != "10.0.0.101" ||
		d.Exit.Keep[0] != "wan" {
		t.Fatalf("%+v", d)
	}
	if dev := d.Devices[1]; !dev.Unrouted || !dev.Claim || len(dev.Addresses) != 2 ||
		len(dev.Peers[0].AllowedIPs) != 1 || dev.Peers[0].Keepalive != time.Second {
		t.Errorf("%+v", dev)
	}
	checkMTUs(t, k, v)
	v.Hidden = true
	if d, _ := k.Desired(v); d.Exit.Device != "" || len(d.Devices) != 2 {
		t.Errorf("the exit hides the WAN, and stays: %+v", d)
	}
	v.Hidden, v.Void = false, true
	if d, _ := k.Desired(v); d.Exit.Device != "" {
		t.Error("a default route leads into a void session")
	}
	var e hooks.Event
	k.Describe(&s, &e, v)
	if s.Network.ID != "7" || len(s.Network.Tunnels) != 2 || s.Network.Tunnels[0].Endpoint != "192.0.2.1:1" ||
		e.Range4 != "10.7.0.0/24" || string(e.Config) != "{}" || e.XlatRange6 != "" {
		t.Errorf("%+v, %+v", s.Network, e)
	}
	if tr := k.Traits(); !tr.Void(180*time.Second) || tr.Void(179*time.Second) || tr.NetworkMTU != 1375 ||
		!tr.Standby || !tr.Fetches || !tr.Exits {
		t.Errorf("%+v", tr)
	}
	if p, ok := k.Known(peerselector.Peer{PublicKey: peerselector.Key{2}}); !ok || p.Name != gateway(2).Name ||
		!k.Keeps(p.PublicKey) || k.Device(p.PublicKey) != "wg_c2" {
		t.Errorf("%+v", p)
	}
	if p, ok := k.Known(gateway(9)); ok || k.Keeps(p.PublicKey) {
		t.Errorf("%+v", p)
	}

	next := signed(2)
	next.Retry, next.Config = time.Hour, []byte("{ }\n")
	if c := k.Take(next); c != Nothing {
		t.Errorf("another time changes %v", c)
	}
	next = signed(2)
	next.MTU, next.XLATRange6 = 1300, netip.MustParsePrefix("fd00:64::/96")
	if c := k.Take(next); c != Settings || k.MTU() != 1300 {
		t.Errorf("another MTU changes %v", c)
	}
	k = Renew(k, config.Uplink{Name: "p", Protocol: config.Parker, Interface: "wg_d", MTU: 1290})
	if k.MTU() != 1290 || k.Devices()[1] != "wg_d2" {
		t.Errorf("after a reload: MTU %d, %v", k.MTU(), k.Devices())
	}
	if k.Describe(&s, nil, v); s.Network.XLATRange6 != "fd00:64::/96" {
		t.Errorf("%+v", s.Network)
	}
	if c := k.Take(signed(3)); c != Gateways {
		t.Errorf("another concentrator changes %v", c)
	}
}

// A new key gets a device beside, with the gateway in use as its only peer and nothing that could carry anything.
func TestBeside(t *testing.T) {
	set := peers.New(slog.New(slog.DiscardHandler))
	gw := peerselector.Peer{Name: "gw1", PublicKey: peerselector.Key{1},
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("fe80::1/128")}}
	set.Adopt(gw, netip.MustParseAddrPort("192.0.2.1:51820"), true)
	cfg := config.Uplink{Name: "mesh", Interface: "wg_a_long_name1", FwMark: 7, ListenPort: 0,
		Keepalive: 25 * time.Second, Mode: config.ModeVXLAN}
	next, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	v := View{Peers: set, MTU: 1400, Next: &next}
	if d, _ := New(cfg).Desired(v); len(d.Devices) != 1 {
		t.Errorf("a device beside without a gateway in use: %+v", d.Devices)
	}
	v.Current = &gw
	d, _ := New(cfg).Desired(v)
	if len(d.Devices) != 2 {
		t.Fatalf("%+v", d.Devices)
	}
	dev := d.Devices[1]
	if len(dev.Interface) > 15 || dev.Interface == cfg.Interface || *dev.PrivateKey != next || dev.FwMark != 7 ||
		len(dev.Addresses) != 0 ||
		!dev.Unrouted || len(dev.Peers) != 1 || len(dev.Peers[0].AllowedIPs) != 0 ||
		dev.Peers[0].Endpoint.String() != "192.0.2.1:51820" {
		t.Errorf("%+v", dev)
	}
}

// What a broker hands out goes onto the device at layer 3, in place of what it handed out before, and outlives a
// reload.
func TestAssign(t *testing.T) {
	one, two := netip.MustParsePrefix("10.9.1.7/32"), netip.MustParsePrefix("10.9.1.8/32")
	cfg := config.Uplink{Name: "mesh", Protocol: config.WGKex, Interface: "wg0", LinkPrefix: 64,
		Mode: config.ModeLayer3}
	k := New(cfg)
	addresses := func() (own, gone []netip.Prefix) {
		d, _ := k.Desired(view(racing()))
		for _, a := range d.Devices[0].Addresses[1:] {
			own = append(own, a.Prefix)
		}
		return own, d.Devices[0].Gone
	}
	if own, gone := addresses(); len(own) != 0 || len(gone) != 0 {
		t.Errorf("%v, %v before the broker said anything", own, gone)
	}
	if !k.Assign([]netip.Prefix{one}) || k.Assign([]netip.Prefix{one}) || !k.Assign([]netip.Prefix{two}) {
		t.Error("a change is not told, or none is")
	}
	k = Renew(k, cfg)
	if own, gone := addresses(); len(own) != 1 || own[0] != two || len(gone) != 1 || gone[0] != one {
		t.Errorf("%v, %v", own, gone)
	}
	cfg.Mode = config.ModeVXLAN
	k = Renew(k, cfg)
	if own, gone := addresses(); len(own) != 0 || len(gone) != 2 || k.Assign([]netip.Prefix{one}) {
		t.Errorf("%v, %v in mode vxlan", own, gone)
	}
}
