package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/wgdevice"
)

// namespace is a network namespace of its own, with a thread that stays in it.
type namespace struct {
	jobs   chan func()
	handle netns.NsHandle
}

// newNamespace needs CAP_NET_ADMIN and CAP_SYS_ADMIN, and fails the test without.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	n := &namespace{jobs: make(chan func()), handle: netns.None()}
	up, down := make(chan error), make(chan struct{})
	go func() {
		defer close(down)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.handle, err = netns.Get()
		}
		up <- err
		for job := range n.jobs {
			job()
		}
	}()
	t.Cleanup(func() {
		close(n.jobs)
		<-down
		if n.handle.IsOpen() {
			n.handle.Close()
		}
	})
	if err := <-up; err != nil {
		t.Fatalf("new network namespace: %v; run this test as root", err)
	}
	n.must(t, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n
}

func (n *namespace) do(f func() error) error {
	done := make(chan error)
	n.jobs <- func() { done <- f() }
	return <-done
}

func (n *namespace) must(t *testing.T, f func() error) {
	t.Helper()
	if err := n.do(f); err != nil {
		t.Fatal(err)
	}
}

// join connects two namespaces by a veth pair named eth0 on both sides: 198.51.100.1 and 2001:db8::1 for the first,
// .2 and ::2 for the second.
func join(t *testing.T, a, b *namespace) {
	t.Helper()
	a.must(t, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.handle)})
	})
	for i, n := range []*namespace{a, b} {
		n.must(t, func() error {
			link, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			index := link.Attrs().Index
			return errors.Join(
				wgdevice.AddAddr(index, netip.MustParsePrefix(fmt.Sprintf("198.51.100.%d/24", i+1))),
				wgdevice.AddAddr(index, netip.MustParsePrefix(fmt.Sprintf("2001:db8::%d/64", i+1))),
				netlink.LinkSetUp(link))
		})
	}
}

// node is a node in its own namespace: the same devices as a gateway's, but with the gateway as its only peer and as
// the remote of its VXLAN device.
type node struct {
	*namespace
	wg   wgdevice.Device
	key  peerselector.Key
	addr netip.Addr // link address
}

func newNode(t *testing.T, ns *namespace, private wgtypes.Key, vxlanAddr string) *node {
	t.Helper()
	n := &node{namespace: ns, key: peerselector.Key(private.PublicKey())}
	n.addr = mustGateway(t, ns, private).c.LinkLocal(n.key)
	ns.must(t, func() (err error) {
		if n.wg, err = wgdevice.Open("wg-node", DefaultMTU, private, 40000, Userspace); err != nil {
			return err
		}
		lower, err := wgdevice.LinkUp("wg-node", netip.PrefixFrom(n.addr, 64))
		if err != nil {
			return err
		}
		vx, err := addVXLAN(VXLAN{ID: vxlanID, Interface: "mesh-vpn", Port: DefaultVXLANPort}, nil, lower, n.addr,
			[]netip.Prefix{netip.MustParsePrefix(vxlanAddr)})
		if err != nil {
			return err
		}
		return flood(vx, gatewayAddr, lower, true)
	})
	t.Cleanup(func() {
		if err := n.wg.Close(ns.do); err != nil {
			t.Error(err)
		}
	})
	return n
}

// connect makes the gateway the node's peer anew, so that it starts with a handshake.
func (n *node) connect(t *testing.T, gateway peerselector.Key, endpoint string) {
	t.Helper()
	n.must(t, func() error {
		return n.wg.Connect(gateway, netip.MustParseAddrPort(endpoint), netip.PrefixFrom(gatewayAddr, 128))
	})
}

// reach makes the gateway the node's peer through an endpoint and sends ICMPv6 echo requests over the VXLAN device
// until one is answered, each after a new handshake: WireGuard drops one that follows another within 50 ms.
func (n *node) reach(t *testing.T, gateway peerselector.Key, endpoint, from, to string) {
	t.Helper()
	var pc *icmp.PacketConn
	n.must(t, func() (err error) {
		pc, err = icmp.ListenPacket("ip6:ipv6-icmp", from)
		return err
	})
	defer pc.Close()
	buf := make([]byte, 1500)
	give := time.Now().Add(20 * time.Second)
	for seq := 1; time.Now().Before(give); seq++ {
		n.connect(t, gateway, endpoint)
		req, err := (&icmp.Message{Type: ipv6.ICMPTypeEchoRequest,
			Body: &icmp.Echo{ID: 7, Seq: seq, Data: []byte("ping")}}).Marshal(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pc.WriteTo(req, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
			t.Fatal(err)
		}
		if err := pc.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			size, peer, err := pc.ReadFrom(buf)
			if err != nil {
				break // time for another
			}
			m, err := icmp.ParseMessage(ipv6.ICMPTypeEchoReply.Protocol(), buf[:size])
			if err == nil && m.Type == ipv6.ICMPTypeEchoReply && peer.String() == to {
				return
			}
		}
	}
	t.Fatalf("no answer from %s", to)
}

// fdbEntry is a forwarding entry of a VXLAN device, with the interface that vishvananda/netlink does not tell.
type fdbEntry struct {
	MAC string
	Dst netip.Addr
	Via int
}

// fdb lists the entries of a VXLAN device in the present namespace.
func fdb(vxlan int) ([]fdbEntry, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
	req.AddData(&netlink.Ndmsg{Family: unix.AF_BRIDGE, Index: uint32(vxlan)})
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH)
	if err != nil {
		return nil, err
	}
	var list []fdbEntry
	for _, m := range msgs {
		if int(binary.NativeEndian.Uint32(m[4:])) != vxlan {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m[(&netlink.Ndmsg{}).Len():])
		if err != nil {
			return nil, err
		}
		var e fdbEntry
		for _, a := range attrs {
			switch a.Attr.Type {
			case netlink.NDA_LLADDR:
				e.MAC = net.HardwareAddr(a.Value).String()
			case netlink.NDA_DST:
				e.Dst, _ = netip.AddrFromSlice(a.Value)
			case netlink.NDA_IFINDEX:
				e.Via = int(binary.NativeEndian.Uint32(a.Value))
			}
		}
		list = append(list, e)
	}
	return list, nil
}
