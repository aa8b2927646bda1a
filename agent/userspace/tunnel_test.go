//go:build userspace

package userspace

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// name returns an interface name that no other test process has: the sockets' directory is shared.
func name(s string) string { return fmt.Sprintf("t%s%d", s, os.Getpid()) }

// side is one end of a tunnel.
type side struct {
	*namespace
	*child
	key wgtypes.Key
}

// tunnel joins two namespaces by veth (192.0.2.0/24, 2001:db8::/64) and by WireGuard (10.9.0.0/24). The right side
// listens and does not know where the left one is.
func tunnel(t *testing.T, endpoint string) (left, right *side) {
	t.Helper()
	left, right = &side{namespace: newNamespace(t)}, &side{namespace: newNamespace(t)}
	left.do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "wan"}, PeerName: "wan", PeerNamespace: netlink.NsFd(right.fd),
		})
	})
	for i, s := range []*side{left, right} {
		s.up("wan", fmt.Sprintf("192.0.2.%d/24", i+1))
		s.up("wan", fmt.Sprintf("2001:db8::%d/64", i+1))
		s.child = s.spawn(name([]string{"l", "r"}[i]))
		var err error
		if s.key, err = wgtypes.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
		s.configure(wgtypes.Config{PrivateKey: &s.key})
		s.up(s.child.name, fmt.Sprintf("10.9.0.%d/24", i+1))
	}
	const port = 51820
	right.configure(wgtypes.Config{ListenPort: ptr(port),
		Peers: []wgtypes.PeerConfig{peer(left.key, "", "10.9.0.1/32")}})
	left.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{peer(right.key,
		fmt.Sprintf("%s:%d", endpoint, port), "10.9.0.2/32")}})
	return left, right
}

func ptr[T any](v T) *T { return &v }

func peer(key wgtypes.Key, endpoint string, allowed ...string) wgtypes.PeerConfig {
	p := wgtypes.PeerConfig{PublicKey: key.PublicKey(), ReplaceAllowedIPs: true}
	if endpoint != "" {
		p.Endpoint = net.UDPAddrFromAddrPort(netip.MustParseAddrPort(endpoint))
	}
	for _, a := range allowed {
		_, n, err := net.ParseCIDR(a)
		if err != nil {
			panic(err)
		}
		p.AllowedIPs = append(p.AllowedIPs, *n)
	}
	return p
}

// askAgain is when an answer is taken for lost.
const askAgain = 200 * time.Millisecond

// ask sends a packet to an echo server and waits for the answer. The first packets may be lost while the right side
// comes up; WireGuard itself tries again only after seconds.
func ask(t *testing.T, c *net.UDPConn, server string) {
	t.Helper()
	to := netip.MustParseAddrPort(server)
	buf := make([]byte, 64)
	deadline := time.Now().Add(patience)
	for try := 0; time.Now().Before(deadline); try++ {
		want := fmt.Sprintf("question %d", try)
		if _, err := c.WriteToUDPAddrPort([]byte(want), to); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(askAgain)); err != nil {
			t.Fatal(err)
		}
		for {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				break // deadline: ask again
			}
			if string(buf[:n]) == want {
				return
			}
		}
	}
	t.Fatalf("no answer from %s", server)
}

// echo answers short packets and counts all.
func echo(c *net.UDPConn) *atomic.Int64 {
	var count atomic.Int64
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			count.Add(1)
			if n < 100 {
				c.WriteToUDPAddrPort(buf[:n], from)
			}
		}
	}()
	return &count
}

func TestTunnel(t *testing.T) {
	for _, endpoint := range []string{"192.0.2.2", "[2001:db8::2]"} {
		t.Run(endpoint, func(t *testing.T) {
			left, right := tunnel(t, endpoint)
			echo(right.listen("10.9.0.2:7"))
			client := left.listen("10.9.0.1:0")
			ask(t, client, "10.9.0.2:7")

			d := left.device()
			if p := d.Peers[0]; p.LastHandshakeTime.IsZero() || p.ReceiveBytes == 0 {
				t.Errorf("after an answer the peer is %+v", p)
			}
			if d.Type != wgtypes.Userspace {
				t.Errorf("device type %v, want userspace", d.Type)
			}

			// Another port while running: the right side learns it from the next packet.
			left.configure(wgtypes.Config{ListenPort: ptr(40011), FirewallMark: ptr(7)})
			ask(t, client, "10.9.0.2:7")
			if got := right.device().Peers[0].Endpoint.Port; got != 40011 {
				t.Errorf("right side sees port %d, want 40011", got)
			}
			if got := left.device().FirewallMark; got != 7 {
				t.Errorf("mark %d, want 7", got)
			}
			for _, s := range []*side{left, right} {
				if out := s.output(); out != "" {
					t.Errorf("%s says %q", s.child.name, out)
				}
			}
		})
	}
}

// TestFlood sends as fast as it goes, with two peers beside that never answer, and looks at the memory.
func TestFlood(t *testing.T) {
	// The program and its heap are below 12 MiB; the bound for this machine's RAM adds at most 2*(4096+192)*2 KiB,
	// since the garbage collector may let the heap double.
	const limitKiB = (12 + 17) << 10 * raceFactor
	left, right := tunnel(t, "192.0.2.2")
	count := echo(right.listen("10.9.0.2:7"))
	client := left.listen("10.9.0.1:0")
	for i := range 2 {
		k, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		left.configure(wgtypes.Config{Peers: []wgtypes.PeerConfig{
			peer(k, fmt.Sprintf("192.0.2.2:%d", 1+i), fmt.Sprintf("10.9.0.%d/32", 100+i)),
		}})
	}
	ask(t, client, "10.9.0.2:7")
	idle := left.status("VmRSS")

	payload := make([]byte, 1300)
	const flood = 60000
	start := time.Now()
	for i := range flood {
		for _, to := range []string{"10.9.0.2:7", "10.9.0.100:7", "10.9.0.101:7"} {
			if to != "10.9.0.2:7" && i > 1000 {
				continue
			}
			if _, err := client.WriteToUDPAddrPort(payload, netip.MustParseAddrPort(to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(t, client, "10.9.0.2:7")
	elapsed := time.Since(start)
	for _, s := range []*side{left, right} {
		if got := s.status("VmHWM"); got > limitKiB {
			t.Errorf("%s had %d KiB resident, want at most %d", s.child.name, got, limitKiB)
		}
	}
	if count.Load() == 0 {
		t.Errorf("%d of %d packets came through", count.Load(), flood)
	}
	t.Logf(
		"%d packets sent, %d received, %.0f Mbit/s; resident: idle %d KiB, highest %d KiB (sender), %d KiB "+
			"(receiver), end %d KiB",
		flood, count.Load(), float64(count.Load())*8*1300/1e6/elapsed.Seconds(), idle,
		left.status("VmHWM"), right.status("VmHWM"), left.status("VmRSS"))
}
