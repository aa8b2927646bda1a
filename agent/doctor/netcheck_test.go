//go:build !nobroker

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/health"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// checked runs a test in a bed. measured gets each device and address that is asked.
func checked(b *bed) (lines []string, measured map[string]netip.Addr, err error) {
	measured = map[string]netip.Addr{}
	var mu = make(chan struct{}, 1)
	n := netcheck{exam: b.exam, quality: func(_ context.Context, device string, own, to netip.Addr,
		most int) (health.Quality, error) {
		mu <- struct{}{}
		defer func() { <-mu }()
		measured[device+" "+to.String()] = own
		if rtt, ok := b.answers[to]; ok {
			return health.Quality{Sent: 10, Received: 9, RTT: rtt, Largest: min(most, b.passes)}, nil
		}
		return health.Quality{Sent: 1}, nil
	}}
	rows, err := n.run(context.Background())
	n.close()
	for _, r := range rows {
		line := fmt.Sprintf("%s %s %s %s", r.Name, r.Address, r.Family, r.Handshake)
		if r.InUse {
			line += " in use"
		}
		lines = append(lines, fmt.Sprintf("%s %d/%d %d", line, r.Received, r.Sent, r.MTU))
	}
	return lines, measured, err
}

// Without an agent all gateways get a handshake, over both families, on a device without addresses and routes.
func TestNetcheckAlone(t *testing.T) {
	b := newBed(t)
	b.names["gw1.example.org"] = append(b.names["gw1.example.org"], netip.MustParseAddr("2001:db8::1"))
	delete(b.kernel.shakes, wgKey(2))
	got, measured, err := checked(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"gw2 192.0.2.2:51820 IPv4 no_answer 0/0 0",
		"gw1 [2001:db8::1]:51820 IPv6 answered 9/10 1420",
		"gw1 192.0.2.1:51820 IPv4 answered 9/10 1440",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(measured) != 1 || !measured[ownDevice+" "+gateway(1).LinkAddress.String()].IsLinkLocalUnicast() {
		t.Errorf("measured %v", measured)
	}
	for _, d := range b.kernel.applied {
		if dev := d.Devices[0]; len(dev.Addresses) != 0 || !dev.Unrouted || dev.Reach != nil || d.VXLAN != nil ||
			d.Exit != nil || dev.Interface != ownDevice {
			t.Errorf("applied %+v", d)
		}
	}
	if n := len(b.kernel.removed); n != 2 || b.asked != 1 {
		t.Errorf("removed %d times; the broker was asked %d times", n, b.asked)
	}
}

// Beside an agent the gateway in use is asked through its device, and gets no handshake of ours; the broker is not
// asked.
func TestNetcheckBesideAgent(t *testing.T) {
	b := newBed(t)
	b.withAgent()
	b.kernel.agents = nil
	b.snap.Interface = "wg_mesh"
	b.names["192.0.2.2"] = []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	b.snap.Gateways = []status.Candidate{
		{Name: "gw1", PublicKey: wgKey(1).String(), Endpoint: "192.0.2.1:51820",
			LinkAddress: gateway(1).LinkAddress.String(), InUse: true},
		{Name: "gw2", PublicKey: wgKey(2).String(), Endpoint: "192.0.2.2:51820",
			LinkAddress: gateway(2).LinkAddress.String()},
	}
	got, measured, err := checked(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"gw2 192.0.2.2:51820 IPv4 answered 9/10 1440",
		"gw1 192.0.2.1:51820 IPv4 answered in use 9/10 1420"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, d := range b.kernel.applied {
		for _, p := range d.Devices[0].Peers {
			if p.PublicKey == wgKey(1) {
				t.Error("the gateway in use gets a handshake of ours")
			}
		}
	}
	if _, ok := measured["wg_mesh "+gateway(1).LinkAddress.String()]; !ok || b.asked != 0 {
		t.Errorf("measured %v; the broker was asked %d times", measured, b.asked)
	}
}

// An agent that looks for a gateway is left alone, and so is one that begins to.
func TestNetcheckLeavesTheAgentAlone(t *testing.T) {
	b := newBed(t)
	b.withAgent()
	b.snap.State, b.snap.Gateway = status.Connecting, nil
	b.snap.Gateways = []status.Candidate{{Name: "gw1", PublicKey: wgKey(1).String(), Endpoint: "192.0.2.1:51820",
		Result: status.NoShake}}
	got, _, err := checked(b)
	if err != nil || len(b.kernel.applied) != 0 || len(got) != 1 || !strings.Contains(got[0], "skipped") {
		t.Errorf("%v, %v, applied %+v", got, err, b.kernel.applied)
	}

	b = newBed(t)
	b.withAgent()
	b.kernel.agents = nil
	delete(b.kernel.shakes, wgKey(2))
	b.names["192.0.2.2"] = []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	b.snap.Gateways = []status.Candidate{{Name: "gw2", PublicKey: wgKey(2).String(), Endpoint: "192.0.2.2:51820"}}
	b.kernel.looked = func(n int) {
		if n > 3 {
			b.snap.State = status.Suspect
		}
	}
	if _, _, err := checked(b); !errors.Is(err, errSwitching) || len(b.kernel.removed) != 2 {
		t.Errorf("%v; removed %+v", err, b.kernel.removed)
	}
}

// With real devices: what is measured, and that nothing is left and the agent has nothing to put right.
func TestRealNetcheck(t *testing.T) {
	o := realOptions(t)
	node := publicKey(t, o)
	used := newGateway(t, node, link(node, true), 2000)
	narrow := newGateway(t, node, link(node, true), 1372)
	narrow.Name = "narrow"
	stranger := newGateway(t, wgtypes.Key{1}, link(wgtypes.Key{1}, true), 2000)
	stranger.Name = "stranger"
	o.Uplink.Gateways = []peerselector.Peer{used, narrow, stranger}
	run := func() string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		n := netcheck{exam: newExam(o), quality: beside}
		n.pace.rounds = []time.Duration{time.Second}
		defer n.close()
		rows, err := n.run(ctx)
		ok(t, err)
		var out []string
		for _, r := range rows {
			if r.Handshake == shakeAnswered && !r.InUse && r.Took == 0 {
				t.Errorf("%+v", r)
			}
			out = append(out, fmt.Sprint(r.Name, " ", r.InUse, " ", r.Handshake, " ", r.Received, "/",
				r.Sent, " ", r.MTU))
		}
		return strings.Join(out, "; ")
	}
	// 127.0.0.1 is as wide as the WAN, as far as the routes tell.
	if got, want := run(),
		"gw false answered 10/10 1440; narrow false answered 10/10 1372; stranger false no_answer 0/0 0"; got != want {
		t.Errorf("alone:  %s\nwant %s", got, want)
	}
	used, gw := newGatewayDevice(t, node, link(node, true), 2000)
	o.Uplink.Gateways[0] = used
	s, tun, d := runningAgent(t, o, used)
	s.Interface = "wg_mesh"
	ok(t, status.Write(o.RunDir, s))
	// A gateway answers where it was heard from last: a handshake from another port would take the session away.
	moved := func() bool {
		dev, err := tun.Status("wg_mesh")
		ok(t, err)
		is, err := gw.IpcGet()
		ok(t, err)
		return !strings.Contains(is, fmt.Sprintf("endpoint=127.0.0.1:%d\n", dev.ListenPort))
	}
	for tick := time.Tick(10 * time.Millisecond); moved(); { // WireGuard has no event for a handshake
		<-tick
	}
	before := links(t)
	if got, want := run(),
		"gw true answered 10/10 1400; narrow false answered 10/10 1372; stranger false no_answer 0/0 0"; got != want {
		t.Errorf("beside an agent:  %s\nwant %s", got, want)
	}
	if diff := cmp.Diff(before, links(t)); diff != "" {
		t.Errorf("links (-before +after):\n%s", diff)
	}
	if r, err := tun.Apply(context.Background(), d); err != nil || r.Changes != 0 || moved() {
		t.Errorf("the agent has to put %d things right, %v; the gateway has gone: %v", r.Changes, err, moved())
	}
}
