package uplink

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
)

// WireGuard answers where the gateway was heard from last; the status says so, and the path is measured anew.
func TestRoamed(t *testing.T) {
	first := netip.MustParseAddrPort("[2001:db8::1]:51820")
	second := netip.MustParseAddrPort("203.0.113.1:51820")
	gw := peerselector.Peer{Name: "gw1", PublicKey: peerselector.Key{1}, LinkAddress: netip.MustParseAddr("fe80::1")}
	other := peerselector.Peer{Name: "gw2", PublicKey: peerselector.Key{2}}
	u := &Uplink{engine: peerselector.New(peerselector.Config{Timing: peerselector.Default(), Intn: func(int64) int64 { return 0 }})}
	u.roamed(nil) // nobody is in use
	u.engine.Handle(peerselector.Adopted{Peer: gw}, time.Now())
	u.peers = map[peerselector.Key]*installed{gw.PublicKey: {peer: gw, endpoint: first}, other.PublicKey: {peer: other, endpoint: first}}
	u.prefer6, u.line.done = true, true
	at := func(p peerselector.Peer, a netip.AddrPort) wgtypes.Peer {
		return wgtypes.Peer{PublicKey: wgtypes.Key(p.PublicKey), Endpoint: net.UDPAddrFromAddrPort(a)}
	}

	u.roamed([]wgtypes.Peer{at(other, second), at(gw, first), {PublicKey: wgtypes.Key(gw.PublicKey)}})
	if u.peers[gw.PublicKey].endpoint != first || u.peers[other.PublicKey].endpoint != first || !u.line.done {
		t.Errorf("moved without a reason: %+v", u.peers)
	}
	u.roamed([]wgtypes.Peer{at(other, first), at(gw, netip.AddrPortFrom(netip.AddrFrom16(second.Addr().As16()), second.Port()))})
	if got := u.peers[gw.PublicKey].endpoint; got != second || u.prefer6 || u.line.done || !u.line.spoiled {
		t.Errorf("endpoint %v, IPv6 preferred %v, path %+v", got, u.prefer6, u.line)
	}
}
