package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/clock/clocktest"
	"wguplink/agent/config"
	"wguplink/agent/derive"
	"wguplink/agent/identity"
	"wguplink/agent/status"
	"wguplink/agent/testns"
	"wguplink/agent/tunnel"
	"wguplink/peerselector"
)

// pond is the inside of a gateway: it answers echo requests to its link address, up to a size.
type pond struct {
	link    netip.Addr
	most    int
	deaf    int // requests that it does not hear
	replies chan []byte
	events  chan tun.Event
	closed  chan struct{}
	once    sync.Once
}

func (p *pond) File() *os.File           { return nil }
func (p *pond) MTU() (int, error)        { return 1420, nil }
func (p *pond) Name() (string, error)    { return "pond", nil }
func (p *pond) Events() <-chan tun.Event { return p.events }
func (p *pond) BatchSize() int           { return 1 }
func (p *pond) Close() error             { p.once.Do(func() { close(p.closed); close(p.events) }); return nil }

func (p *pond) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case m := <-p.replies:
		sizes[0] = copy(bufs[0][offset:], m)
		return 1, nil
	case <-p.closed:
		return 0, os.ErrClosed
	}
}

func (p *pond) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		m := append([]byte(nil), b[offset:]...)
		const request, reply = 128, 129
		if len(m) < 48 || len(m) > p.most || m[6] != unix.IPPROTO_ICMPV6 || m[40] != request ||
			netip.AddrFrom16([16]byte(m[24:40])) != p.link {
			continue
		}
		if p.deaf > 0 {
			p.deaf--
			continue
		}
		from := [16]byte(m[8:24])
		copy(m[8:24], m[24:40])
		copy(m[24:40], from[:])
		m[40] = reply
		// Only the type has changed (RFC 1624, equation 3).
		sum := uint32(^binary.BigEndian.Uint16(m[42:])) + uint32(^uint16(request<<8)) + reply<<8
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(m[42:], ^uint16(sum>>16+sum))
		select {
		case p.replies <- m:
		case <-p.closed:
		}
	}
	return len(bufs), nil
}

// newGateway starts a gateway on this host that knows a node by its key and link address.
func newGateway(t *testing.T, node wgtypes.Key, link netip.Addr, most int) peerselector.Peer {
	t.Helper()
	p, _ := newGatewayDevice(t, node, link, most)
	return p
}

func newGatewayDevice(t *testing.T, node wgtypes.Key, link netip.Addr, most int) (peerselector.Peer, *device.Device) {
	t.Helper()
	key, err := wgtypes.GeneratePrivateKey()
	ok(t, err)
	p := &pond{link: netip.MustParseAddr("fe80::1"), most: most, deaf: 1, replies: make(chan []byte, 64),
		events: make(chan tun.Event, 1), closed: make(chan struct{})}
	d := device.NewDevice(p, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	t.Cleanup(d.Close)
	ok(t, d.IpcSet(fmt.Sprintf("private_key=%x\npublic_key=%x\nallowed_ip=%s/128\n", key[:], node[:], link)))
	ok(t, d.Up())
	state, err := d.IpcGet()
	ok(t, err)
	_, port, found := strings.Cut(state, "listen_port=")
	if !found {
		t.Fatalf("no port in %q", state)
	}
	port, _, _ = strings.Cut(port, "\n")
	return peerselector.Peer{Name: "gw", PublicKey: peerselector.Key(key.PublicKey()),
		Endpoints: []string{"127.0.0.1:" + port}, LinkAddress: p.link}, d
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// realOptions are those of a router with a WAN, a key, a clock that is right, and one static gateway. link_local is
// key_newline.
func realOptions(t *testing.T) Options {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	ok(t, err)
	ok(t, netlink.LinkSetUp(lo))
	wan := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "uplink", MTU: 1500}}
	ok(t, netlink.LinkAdd(wan))
	t.Cleanup(func() { netlink.LinkDel(wan) })
	ok(t, netlink.LinkSetUp(wan))
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	ok(t, err)
	ok(t, netlink.AddrAdd(wan, addr))
	ok(t, netlink.RouteAdd(&netlink.Route{LinkIndex: wan.Index, Gw: []byte{192, 0, 2, 9}}))

	dir := t.TempDir()
	place := identity.Options{KeyFile: filepath.Join(dir, "key")}
	_, err = identity.Load(nil, place)
	ok(t, err)
	system := clocktest.At(today)
	system.SetSynchronised(true, nil)
	return Options{
		Uplink: config.Uplink{
			Name: "mesh", Enabled: true, Interface: "wg_mesh", FwMark: 1, LinkPrefix: 64, Mode: config.ModeVXLAN,
			VXLAN: config.VXLAN{Name: "mesh-vpn", ID: 7, Port: 8472},
		},
		RunDir: filepath.Join(dir, "run"), System: system, Build: today.AddDate(0, -1, 0), Spawn: testns.WireGuard(t),
		PublicKey: func(config.Uplink) (wgtypes.Key, error) { return identity.Public(nil, place) },
		LoadKey:   func(config.Uplink) (identity.Identity, error) { return identity.Load(nil, place) },
	}
}

func publicKey(t *testing.T, o Options) wgtypes.Key {
	t.Helper()
	k, err := o.PublicKey(o.Uplink)
	ok(t, err)
	return k
}

func link(k wgtypes.Key, newline bool) netip.Addr {
	return derive.LinkLocal(peerselector.Key(k), newline)
}

func TestReal(t *testing.T) {
	for _, tt := range []struct {
		name    string
		gateway func(t *testing.T, node wgtypes.Key) peerselector.Peer
		code    int
		want    string
	}{
		{"all is well", func(t *testing.T, node wgtypes.Key) peerselector.Peer {
			return newGateway(t, node, link(node, true), 2000)
		}, 0, "mtu        pass  packets of 1420 bytes pass"},
		{"an unknown key", func(t *testing.T, _ wgtypes.Key) peerselector.Peer {
			return newGateway(t, wgtypes.Key{1}, link(wgtypes.Key{1}, true), 2000)
		}, 17, "handshake  FAIL  UDP to gw (127.0.0.1:"},
		{"the other derivation", func(t *testing.T, node wgtypes.Key) peerselector.Peer {
			return newGateway(t, node, link(node, false), 2000)
		}, 18, "-> option link_local 'key'\n"},
		{"a narrow line", func(t *testing.T, node wgtypes.Key) peerselector.Peer {
			return newGateway(t, node, link(node, true), 1372)
		}, 19, "-> option mtu '1372'\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := realOptions(t)
			o.Uplink.Gateways = []peerselector.Peer{tt.gateway(t, publicKey(t, o))}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			x := newExam(o)
			x.pace.rounds = []time.Duration{time.Second, 3 * time.Second}
			x.pace.echo = 2 * time.Second
			var w bytes.Buffer
			all := x.examine(ctx, func(f Finding) { Print(&w, f) })
			x.close()
			if code := Code(all); code != tt.code || !strings.Contains(w.String(), tt.want) {
				t.Errorf("exit code %d:\n%s", code, &w)
			}
			for _, name := range []string{ownDevice, ownVXLAN} {
				if l, err := netlink.LinkByName(name); err == nil {
					t.Errorf("%s is still there", l.Attrs().Name)
				}
			}
		})
	}
}

// Another program has the VXLAN port. Nothing of ours is left behind.
func TestRealPortTaken(t *testing.T) {
	o := realOptions(t)
	o.Uplink.Gateways = []peerselector.Peer{newGateway(t, publicKey(t, o), link(publicKey(t, o), true), 2000)}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{Port: 8472})
	ok(t, err)
	defer socket.Close()
	var w bytes.Buffer
	if code := Run(context.Background(), o, &w); code != 16 || !strings.Contains(w.String(),
		"UDP port 8472 of wgdoctor-vx is taken") || !strings.Contains(w.String(), "netstat -lunp") {
		t.Errorf("exit code %d:\n%s", code, &w)
	}
	for _, name := range []string{ownDevice, ownVXLAN} {
		if _, err := netlink.LinkByName(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

// Beside an agent that lost its gateways: the session is young, its gateway silent.
func TestRealKeyLost(t *testing.T) {
	o := realOptions(t)
	node := publicKey(t, o)
	gw := newGateway(t, wgtypes.Key{1}, link(wgtypes.Key{1}, true), 2000)
	o.Uplink.Gateways = []peerselector.Peer{gw}
	agent, _, _ := runningAgent(t, o, gw)
	agent.State = status.Suspect
	agent.Cause, agent.Reason = status.NoAnswer, "gw is silent; trying others beside it"
	ok(t, status.Write(o.RunDir, agent))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var w bytes.Buffer
	x := newExam(o)
	x.pace.rounds = []time.Duration{2 * time.Second}
	all := x.examine(ctx, func(f Finding) { Print(&w, f) })
	x.close()
	if code := Code(all); code != 17 || !strings.Contains(w.String(),
		"ask the operators whether the gateways know "+node.String()) {
		t.Errorf("exit code %d:\n%s", code, &w)
	}
}

// Beside an agent: its device is looked at, its tunnel measured, and nothing is changed.
func TestRealBesideAgent(t *testing.T) {
	o := realOptions(t)
	node := publicKey(t, o)
	gw := newGateway(t, node, link(node, true), 2000)
	o.Uplink.Gateways = []peerselector.Peer{gw}

	_, tun, d := runningAgent(t, o, gw)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	before := links(t)
	var w bytes.Buffer
	if code := Run(ctx, o, &w); code != 0 || !strings.Contains(w.String(), "packets of 1400 bytes pass") ||
		!strings.Contains(w.String(), "shook hands with the agent") {
		t.Errorf("exit code %d:\n%s", code, &w)
	}
	if diff := cmp.Diff(before, links(t)); diff != "" {
		t.Errorf("links (-before +after):\n%s", diff)
	}
	r, err := tun.Apply(ctx, d)
	if err != nil || r.Changes != 0 {
		t.Errorf("the agent has to put %d things right, %v", r.Changes, err)
	}
}

// runningAgent has an agent run on this host, as far as the doctor can tell: its lock, its device with that gateway,
// its status.
func runningAgent(t *testing.T, o Options, gw peerselector.Peer) (status.Snapshot, *tunnel.Tunnel, tunnel.Desired) {
	t.Helper()
	ok(t, os.MkdirAll(o.RunDir, 0o755))
	lock, err := os.Create(filepath.Join(o.RunDir, "mesh.lock"))
	ok(t, err)
	t.Cleanup(func() { lock.Close() })
	ok(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	id, err := o.LoadKey(o.Uplink)
	ok(t, err)
	at := netip.MustParseAddrPort(gw.Endpoints[0])
	d := tunnel.Desired{
		Name: "mesh",
		Devices: []tunnel.Device{{Interface: "wg_mesh", PrivateKey: id.Private.Reveal(), FwMark: 1, MTU: 1400,
			Addresses: []tunnel.Address{{Prefix: netip.PrefixFrom(link(id.Public, true), 64)}},
			Peers: []tunnel.Peer{{PublicKey: wgtypes.Key(gw.PublicKey), Endpoint: at,
				AllowedIPs: []netip.Prefix{netip.PrefixFrom(gw.LinkAddress, 128)}, Keepalive: keepalive}}}},
		VXLAN: &tunnel.VXLAN{Name: "mesh-vpn", ID: 7, Port: 8472, Remote: gw.LinkAddress, MTU: 1330},
	}
	tun, err := tunnel.Open(o.Spawn)
	ok(t, err)
	t.Cleanup(tun.Close)
	_, err = tun.Apply(context.Background(), d)
	ok(t, err)
	t.Cleanup(func() { tun.Remove(d) })
	s := status.Snapshot{Uplink: "mesh", State: status.Connected, PublicKey: id.Public.String(), Backend: "userspace",
		Gateway: &status.Gateway{Name: "gw", PublicKey: gw.PublicKey.String(), Endpoint: at.String(),
			LinkAddress: gw.LinkAddress.String(), HandshakeAt: status.Now()}}
	ok(t, status.Write(o.RunDir, s))
	return s, tun, d
}

func links(t *testing.T) map[string]int {
	t.Helper()
	all, err := netlink.LinkList()
	for errors.Is(err, netlink.ErrDumpInterrupted) {
		all, err = netlink.LinkList()
	}
	ok(t, err)
	out := map[string]int{}
	for _, l := range all {
		out[l.Attrs().Name] = l.Attrs().Index
	}
	return out
}
