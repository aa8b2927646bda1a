package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/netlab"
	"wguplink/testbed/parker"
	"wguplink/testbed/wgdevice"
)

// parkerNode is a world with Parker, and what an agent would do in it, done by hand.
type parkerNode struct {
	*World
	t       *testing.T
	ctx     context.Context
	private wgtypes.Key
}

func newParkerNode(t *testing.T, o ParkerOptions) *parkerNode {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	w, err := New(Options{Parker: &o}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &parkerNode{World: w, t: t, ctx: ctx}
	n.private, err = wgtypes.GeneratePrivateKey()
	n.must(err)
	return n
}

func (n *parkerNode) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *parkerNode) key() peerselector.Key { return peerselector.Key(n.private.PublicKey()) }

// dial connects from the node through its WAN: with the mark, and with the address that DNS would give.
func (n *parkerNode) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if addrs := n.DNS.Lookup(host); len(addrs) > 0 {
		address = net.JoinHostPort(addrs[len(addrs)-1].String(), port) // IPv6
	}
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, wanMark) }), err)
	}}
	err = n.Node.Do(func() (err error) {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// ask gets the node's configuration.
func (n *parkerNode) ask(server, nonce string) (int, string) {
	n.t.Helper()
	transport := &http.Transport{DialContext: n.dial, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(n.ctx, "GET",
		fmt.Sprintf("%s%s?pubkey=%s&nonce=%s&v6mtu=1500&version=1", server, n.Parker.Servers[0].Path(), url.QueryEscape(n.key().String()), nonce), nil)
	n.must(err)
	resp, err := transport.RoundTrip(req)
	n.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	n.must(err)
	if resp.StatusCode == 200 {
		i := bytes.LastIndexByte(body, '\n') + 1
		n.must(n.Parker.Key.Public().Verify(body[:i], string(body[i:])))
	}
	return resp.StatusCode, string(body)
}

// tunnel makes a device for a concentrator, and connects it.
func (n *parkerNode) tunnel(node parker.Node, c *Concentrator) {
	n.t.Helper()
	name := fmt.Sprintf("wg_c%d", c.ID)
	// The lab's WireGuard sets no mark; so its packets need a route in the main table.
	n.must(n.Node.Route(route(netip.PrefixFrom(c.V4, 32), RouterV4.Addr())))
	var dev wgdevice.Device
	n.must(n.Node.Do(func() (err error) {
		if dev, err = wgdevice.Open(name, 1375, n.private, uint16(40000+c.ID), wgdevice.Auto); err != nil {
			return err
		}
		if _, err = wgdevice.LinkUp(name, netip.PrefixFrom(node.Address4, 32), netip.PrefixFrom(node.Address6, 128)); err != nil {
			return err
		}
		return dev.Connect(c.PublicKey(), netip.AddrPortFrom(c.V4, c.Port()), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
	}))
	n.t.Cleanup(func() {
		if err := dev.Close(n.Node.Do); err != nil {
			n.t.Error(err)
		}
	})
}

// defaults sets or takes away the node's default routes by a device.
func (n *parkerNode) defaults(do func(netlab.Route) error, c *Concentrator) {
	n.t.Helper()
	for _, dst := range []string{"0.0.0.0/0", "::/0"} {
		n.must(do(netlab.Route{Dst: netip.MustParsePrefix(dst), Dev: fmt.Sprintf("wg_c%d", c.ID)}))
	}
}

// A node registers, comes to the internet through one concentrator, loses it and goes on through another.
func TestParkerWorld(t *testing.T) {
	n := newParkerNode(t, ParkerOptions{Etcd: true})
	n.Timeline().Start(time.Now())
	code, body := n.ask("http://"+ConfigName, "aa")
	if code != 200 || strings.Count(body, `"endpoint": "[2001:db8:10`) != 3 {
		t.Fatalf("%d %s", code, body)
	}
	if r := n.Parker.Servers[0].Requests(); len(r) != 1 || !strings.HasPrefix(r[0].RawQuery, "pubkey=") {
		t.Errorf("requests %+v", r)
	}
	node, err := n.Parker.Network.Node(n.ctx, n.key())
	n.must(err)
	c1, c2 := n.Parker.Named("c1"), n.Parker.Named("c2")
	for _, c := range n.Parker.Concentrators {
		n.must(c.AwaitNode(n.ctx, n.key()))
	}
	n.tunnel(node, c1)
	n.tunnel(node, c2)

	var pings []*Pings
	began := time.Now()
	for _, to := range []netip.Addr{InternetV4, InternetV6} {
		p, err := n.Pings(to, 20*time.Millisecond)
		n.must(err)
		defer p.Close()
		pings = append(pings, p)
	}
	n.defaults(n.Node.Route, c1)
	for _, p := range pings {
		r, err := p.Await(n.ctx, began, nil)
		n.must(err)
		if r.Gateway != "c1" {
			t.Errorf("answered by %s", r.Gateway)
		}
	}
	for name, flow := range map[string]func(context.Context, netip.Addr, int64) (Flow, error){"up": n.FlowUp, "down": n.FlowDown} {
		for _, to := range []netip.Addr{InternetV4, InternetV6} {
			f, err := flow(n.ctx, to, 2_000_000)
			n.must(err)
			if f.Concentrator != "c1" || f.Bytes != 2_000_000 || f.Rate <= 0 || f.Took <= 0 {
				t.Errorf("%s, %v: %+v", name, to, f)
			}
		}
	}

	damage := time.Now()
	n.must(c1.Kill())
	n.defaults(n.Node.DelRoute, c1)
	n.defaults(n.Node.Route, c2)
	for _, p := range pings {
		o, err := p.Outage(n.ctx, damage, NotFrom("c1"))
		n.must(err)
		if o.Concentrator != "c2" || o.Took <= 0 || o.Lost < 0 {
			t.Errorf("%+v", o)
		}
	}

	undo, err := n.Blackhole(c2)
	n.must(err)
	damage = time.Now() // none is answered from now on
	for _, p := range pings {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range tick.C { // until some are lost; counters have no event
			if sent, answered := p.Count(damage, time.Now().Add(-time.Second)); sent > 0 && sent-answered >= 3 {
				break
			}
			n.must(context.Cause(n.ctx))
		}
	}
	n.must(undo())
	for _, p := range pings {
		o, err := p.Outage(n.ctx, damage, nil)
		n.must(err)
		if o.Concentrator != "c2" || o.Took < time.Second || o.Lost < 3 {
			t.Errorf("after the blackhole: %+v", o)
		}
	}

	n.must(n.Parker.Etcd.Stop(n.ctx))
	if code, body := n.ask("http://"+ConfigName2, "bb"); code != 500 {
		t.Errorf("without etcd: %d %s", code, body)
	}
	n.must(n.Parker.Etcd.Start(n.ctx))
	n.must(n.Parker.Publish(n.ctx, c2))
	if code, body := n.ask("http://"+ConfigName2, "cc"); code != 200 || strings.Count(body, `"endpoint"`) != 1 || !strings.Contains(body, `"id": 1,`) {
		t.Errorf("with etcd again: %d %s", code, body)
	}
	for _, what := range []string{"config asked", "configured", "node known"} {
		if _, ok := n.Timeline().First(what); !ok {
			t.Errorf("the timeline has no %q", what)
		}
	}
	o := n.ParkerUCI()
	if o["broker"][1] != "http://cfg2.example.org" || o["config_pubkey"][0] != n.Parker.Key.Public().String() || o["vxlan_id"] != nil {
		t.Errorf("options %v", o)
	}
}

// wgkex's dialect: no IPv4 network of the node's own, and endpoints by name.
func TestParkerWorldWgkex(t *testing.T) {
	n := newParkerNode(t, ParkerOptions{Dialect: parker.Wgkex, Concentrators: 1})
	code, body := n.ask("http://"+ConfigName, "aa")
	if code != 200 || !strings.Contains(body, `"endpoint": "c1.example.org:51820"`) || !strings.Contains(body, `"address6": "fe80::1"`) {
		t.Errorf("%d %s", code, body)
	}
	c := n.Parker.Named("c1")
	n.must(c.AwaitNode(n.ctx, n.key()))
	stats, err := c.Stats()
	n.must(err)
	if got := fmt.Sprint(stats[n.key()].AllowedIPs); !strings.Contains(got, "2001:db8:ed0:2::/64") || !strings.Contains(got, "2001:db8:ed0:3::/64") || strings.Contains(got, "10.80") {
		t.Errorf("allowed IPs %s", got)
	}
	if o := n.ParkerUCI(); o["broker"][0] != "http://cfg.example.org/api/v3/config" {
		t.Errorf("options %v", o)
	}
}

// All gateways know a key once the node is registered.
func TestFFACWorld(t *testing.T) {
	w, err := New(Options{Gateways: 2, Gluon: true, FFAC: true}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	key := peerselector.Key{1, 2, 3}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return w.Node.Dial(ctx, network, net.JoinHostPort(w.DNS.Lookup(registerName)[0].String(), "80"))
	}}
	resp, err := (&http.Client{Transport: transport}).Post(RegisterURL, "application/json",
		strings.NewReader(`{"node_name": "node", "public_key": "`+key.String()+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %s", resp.Status)
	}
	for _, g := range w.Gateways {
		if keys := g.Keys(); len(keys) != 1 || keys[0] != key {
			t.Errorf("%s knows %v", g.Name, keys)
		}
	}
	if o := w.FFACOptions(); o["protocol"][0] != "ffac" || o["broker"][0] != "http://register.example.org/register" {
		t.Errorf("options %v", o)
	}
}
