package netlab_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
)

// newLab returns a lab with the named hosts that goes with the test.
func newLab(t *testing.T, names ...string) (*netlab.Lab, []*netlab.Host) {
	t.Helper()
	lab := netlab.New()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := lab.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	var hosts []*netlab.Host
	for _, name := range names {
		h, err := lab.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return lab, hosts
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestRouter(t *testing.T) {
	// a eth0 --- eth0 r eth1 --- eth0 b
	ctx := testContext(t)
	lab, hosts := newLab(t, "a", "r", "b")
	a, r, b := hosts[0], hosts[1], hosts[2]
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	must(t,
		lab.Wire(a, "eth0", r, "eth0"),
		lab.Wire(r, "eth1", b, "eth0"),
		a.Addr("eth0", prefix("192.0.2.2/24")),
		a.Addr("eth0", prefix("2001:db8:1::2/64")),
		r.Addr("eth0", prefix("192.0.2.1/24")),
		r.Addr("eth0", prefix("2001:db8:1::1/64")),
		r.Addr("eth1", prefix("198.51.100.1/24")),
		r.Addr("eth1", prefix("2001:db8:2::1/64")),
		b.Addr("eth0", prefix("198.51.100.2/24")),
		b.Addr("eth0", prefix("2001:db8:2::2/64")),
		b.Route(netlab.Route{Via: addr("198.51.100.1")}),
		b.Route(netlab.Route{Via: addr("2001:db8:2::1"), Dev: "eth0", Metric: 7}),
		r.Forward(),
		// a has its default routes in a table of their own, for a mark
		a.Rule(1, 100),
		a.Route(netlab.Route{Via: addr("192.0.2.1"), Dev: "eth0", Table: 100}),
		a.Route(netlab.Route{Via: addr("2001:db8:1::1"), Dev: "eth0", Table: 100}),
	)

	for _, far := range []string{"198.51.100.2", "2001:db8:2::2"} {
		if err := ping(ctx, a, far, 0); !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("ping %s without a mark: %v, want %v", far, err, unix.ENETUNREACH)
		}
		if err := ping(ctx, a, far, 1); err != nil {
			t.Errorf("ping %s with the mark: %v", far, err)
		}
	}

	for _, far := range []string{"198.51.100.2", "2001:db8:2::2"} {
		echo := echoServer(t, b, net.JoinHostPort(far, "7"))
		other := echoServer(t, b, net.JoinHostPort(far, "8"))
		near, source, target := "192.0.2.1", prefix("192.0.2.2/32"), addr(far)
		if target.Is6() {
			near, source = "2001:db8:1::1", prefix("2001:db8:1::2/128")
		}
		fence := echoServer(t, r, net.JoinHostPort(near, "7"))
		must(t, asks(ctx, a, echo), asks(ctx, a, other))
		before := rules(t, r)

		undo, err := r.Drop(netlab.Drop{To: netip.PrefixFrom(target, target.BitLen()),
			Proto: unix.IPPROTO_UDP, ToPort: 7})
		must(t, err)
		if err := asks(ctx, a, other); err != nil {
			t.Errorf("port 8 while port 7 is dropped: %v", err)
		}
		if err := loses(ctx, a, echo, fence, undo); err != nil {
			t.Errorf("port 7 while it is dropped: %v", err)
		}
		undo, err = r.Drop(netlab.DropAddr(target)...)
		must(t, err)
		if err := loses(ctx, a, other, fence, undo); err != nil {
			t.Errorf("port 8 while the address is dropped: %v", err)
		}
		undo, err = r.Drop(netlab.Drop{From: source})
		must(t, err)
		if err := loses(ctx, a, echo, fence, undo); err != nil {
			t.Errorf("packets while their source is dropped: %v", err)
		}
		if after := rules(t, r); after != before {
			t.Errorf("%d rules after undo, %d before", after, before)
		}
	}
	if _, err := r.Drop(netlab.Drop{Proto: unix.IPPROTO_UDP}); err == nil {
		t.Error("drop from anywhere to anywhere: no error")
	}

	// A link-local address with its zone by name, which is each host's own.
	link, err := b.Netlink().LinkByName("eth0")
	must(t, err)
	addrs, err := b.Netlink().AddrList(link, netlink.FAMILY_V6)
	must(t, err)
	for _, x := range addrs {
		if x.IP.IsLinkLocalUnicast() {
			echo := echoServer(t, b, net.JoinHostPort(x.IP.String()+"%eth0", "9"))
			_, port, err := net.SplitHostPort(echo)
			must(t, err)
			must(t, asks(ctx, r, net.JoinHostPort(x.IP.String()+"%eth1", port)))
		}
	}

	for network, address := range map[string]string{"tcp": "198.51.100.2:80", "unix": "/run/socket"} {
		l, err := b.Listen(ctx, network, address)
		must(t, err)
		c, err := map[string]*netlab.Host{"tcp": r, "unix": b}[network].Dial(ctx, network, address)
		must(t, err)
		peer, err := l.Accept()
		must(t, err, c.Close(), peer.Close(), l.Close())
	}

	must(t, r.LinkDown("eth1"))
	if _, err := r.Dial(ctx, "udp", "198.51.100.2:7"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("dial by a link that is down: %v, want %v", err, unix.ENETUNREACH)
	}
	if _, err := r.Dial(ctx, "udp", "localhost:7"); err == nil {
		t.Error("dial by name: no error, but the resolver works outside the host")
	}
	must(t, r.LinkUp("eth1"), a.DelRule(1, 100), a.DelAddr("eth0", prefix("192.0.2.2/24")))
}

// dialMarked is Dial with a socket mark.
func dialMarked(ctx context.Context, h *netlab.Host, network, address string, mark int) (c net.Conn, err error) {
	err = h.Do(func() error {
		d := net.Dialer{Control: control(mark)}
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// says sends a datagram with mark 1. The connection has the context's deadline.
func says(ctx context.Context, h *netlab.Host, address, text string) (net.Conn, error) {
	c, err := dialMarked(ctx, h, "udp", address, 1)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if _, err := c.Write([]byte(text)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func asks(ctx context.Context, h *netlab.Host, address string) error {
	c, err := says(ctx, h, address, "hello")
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Read(make([]byte, 16))
	return err
}

// loses checks that a packet to address is lost before undo and that the next
// one after it is not. A packet to fence, on the router that drops, proves that
// the router has seen the first.
func loses(ctx context.Context, h *netlab.Host, address, fence string, undo func() error) error {
	c, err := says(ctx, h, address, "lost")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(asks(ctx, h, fence), undo()); err != nil {
		return err
	}
	if _, err := c.Write([]byte("kept")); err != nil {
		return err
	}
	buf := make([]byte, 16)
	n, err := c.Read(buf)
	if err == nil && string(buf[:n]) != "kept" {
		err = fmt.Errorf("answer %q to a packet that was to be dropped", buf[:n])
	}
	return err
}

func rules(t *testing.T, h *netlab.Host) int {
	t.Helper()
	list, err := h.Netlink().RuleList(netlink.FAMILY_ALL)
	must(t, err)
	return len(list)
}

func echoServer(t *testing.T, h *netlab.Host, address string) string {
	t.Helper()
	c, err := h.ListenPacket(context.Background(), "udp", address)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(buf[:n], from)
		}
	}()
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	must(t, err)
	host, _, err := net.SplitHostPort(address)
	must(t, err)
	return net.JoinHostPort(host, port)
}

func ping(ctx context.Context, h *netlab.Host, address string, mark int) error {
	network, request, reply := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), icmp.Type(ipv4.ICMPTypeEchoReply)
	if strings.Contains(address, ":") {
		network, request, reply = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := dialMarked(ctx, h, network, address, mark)
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	b, err := (&icmp.Message{Type: request, Body: &icmp.Echo{ID: 1, Seq: 1}}).Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		b := buf[:n]
		if reply == icmp.Type(ipv4.ICMPTypeEchoReply) { // read with its IP header
			b = b[min(n, int(b[0]&15)*4):]
		}
		m, err := icmp.ParseMessage(reply.Protocol(), b)
		if err == nil && m.Type == reply {
			return nil
		}
	}
}

// TestDoThread: a thread that was inside a host never runs code outside of it.
func TestDoThread(t *testing.T) {
	_, hosts := newLab(t, "a")
	own, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	for range 50 {
		var in string
		must(t, hosts[0].Do(func() (err error) {
			in, err = os.Readlink("/proc/thread-self/ns/net")
			return err
		}))
		if in == own {
			t.Fatal("Do did not enter the host")
		}
	}
	err = hosts[0].Do(func() error { runtime.Goexit(); return nil })
	if err == nil {
		t.Error("a function that never returned: no error")
	}
	must(t, hosts[0].Inside(func() error { return nil }))
	// Occupy every thread that there is and some more, and ask each.
	const n = 100
	found := make(chan string, n)
	var ready, all sync.WaitGroup
	ready.Add(n)
	for range n {
		all.Add(1)
		go func() {
			defer all.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			ready.Wait()
			in, _ := os.Readlink("/proc/thread-self/ns/net")
			found <- in
		}()
	}
	all.Wait()
	close(found)
	for in := range found {
		if in != own {
			t.Fatalf("a thread is still in namespace %s", in)
		}
	}
}

// machineFiles describes those of the machine's files that a host without mounts of its own would write in TestFiles.
func machineFiles(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"/run/x", "/tmp/x", "/etc/wguplink", "/etc/wguplink/x", "/etc/config",
		"/etc/config/wguplink",
		"/etc/resolv.conf", "/var/run/y"} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintln(&b, path, "none")
			continue
		}
		must(t, err)
		fmt.Fprintln(&b, path, info.Mode(), info.ModTime())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			must(t, err)
			fmt.Fprintf(&b, "%q\n", text)
		}
	}
	return b.String()
}

func TestFiles(t *testing.T) {
	ctx := testContext(t)
	before := machineFiles(t)
	lab, hosts := newLab(t, "a", "b")
	a, b := hosts[0], hosts[1]
	must(t, lab.Wire(a, "eth0", b, "eth0"))
	config := t.TempDir()
	must(t, os.WriteFile(config+"/wguplink", []byte("config"), 0o644))
	watch := "/run/x /tmp/x /etc/wguplink/x /etc/config/wguplink /etc/resolv.conf /var/run/y"
	run := func(h *netlab.Host, files map[string]string) string {
		t.Helper()
		p, err := h.Start(netlab.Command{
			Path: self(), Env: []string{noSleep, helperEnv + "=files", "WATCH=" + watch}, Config: config, Files: files,
		})
		must(t, err)
		if err := p.Wait(ctx); err != nil {
			t.Fatalf("%v: %s", err, p.Lines())
		}
		return strings.Join(p.Lines(), "|")
	}
	steps := []struct {
		name string
		do   func()
		host *netlab.Host
		add  map[string]string
		want string
	}{
		{"first", nil, a, map[string]string{"/etc/resolv.conf": "mine"},
			"/run/x: none|/tmp/x: none|/etc/wguplink/x: none|/etc/config/wguplink: config|/etc/resolv.conf: " +
				"mine|/var/run/y: none|links 2 in /sys 2"},
		{"again", nil, a, nil,
			"/run/x: written|/tmp/x: written|/etc/wguplink/x: written|/etc/config/wguplink: " +
				"written|/etc/resolv.conf: written|/var/run/y: written|links 2 in /sys 2"},
		{"other host", nil, b, nil,
			"/run/x: none|/tmp/x: none|/etc/wguplink/x: none|/etc/config/wguplink: written|/etc/resolv.conf: " +
				"|/var/run/y: none|links 2 in /sys 2"},
		{"reboot", func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "extra"
			must(t, a.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}), a.Reboot(ctx))
		}, a, nil,
			"/run/x: none|/tmp/x: none|/etc/wguplink/x: written|/etc/config/wguplink: written|/etc/resolv.conf: " +
				"written|/var/run/y: none|links 2 in /sys 2"},
		{"another folder", func() {
			config = t.TempDir()
			must(t, os.WriteFile(config+"/wguplink", []byte("other"), 0o644))
		}, a, nil,
			"/run/x: written|/tmp/x: written|/etc/wguplink/x: written|/etc/config/wguplink: other|/etc/resolv.conf: " +
				"written|/var/run/y: written|links 2 in /sys 2"},
	}
	for _, step := range steps {
		if step.do != nil {
			step.do()
		}
		if got := run(step.host, step.add); got != step.want {
			t.Errorf("%s:\ngot  %s\nwant %s", step.name, got, step.want)
		}
	}
	if got, err := os.ReadFile(config + "/wguplink"); err != nil || string(got) != "written" {
		t.Errorf("the caller's folder has %q (%v), want what the program wrote", got, err)
	}
	if after := machineFiles(t); after != before {
		t.Errorf("the machine's files before:\n%s\nand after:\n%s", before, after)
	}
	if got, err := a.ReadFile("/etc/hosts"); err != nil || !strings.Contains(string(got), "localhost") {
		t.Errorf("/etc/hosts: %q, %v", got, err)
	}
	if err := a.WriteFile("/usr/netlab", ""); err == nil {
		t.Error("write outside the host's own folders: no error")
	}
	if err := a.WriteFile("/tmp/../usr/netlab", ""); err == nil {
		t.Error("write outside the host's own folders by ..: no error")
	}
}
