//go:build !cross

package wan

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// churnEnv makes the test binary the routing daemon of a mesh: it changes routes, or a device, in the namespaces it is
// started in.
const churnEnv = "WGUPLINK_TEST_CHURN"

func init() {
	another = func() {
		if os.Getenv(churnEnv) != "" {
			churning()
		}
	}
}

// churn changes n times something that does not concern the WAN, or something that may.
func churn(what string, n int, gap time.Duration) error {
	for i := range n {
		var err error
		switch what {
		case "routes":
			err = netlink.RouteReplace(meshRoute(i%2000, i/2000+1))
		case "wide":
			r := meshRoute(0, i+1)
			// has the WAN's destinations in it
			r.Dst = &net.IPNet{IP: net.IPv4(128, 0, 0, 0).To4(), Mask: net.CIDRMask(1, 32)}
			err = netlink.RouteReplace(r)
		case "links":
			l, lerr := netlink.LinkByName("mesh")
			if lerr != nil {
				return lerr
			}
			err = netlink.LinkSetMTU(l, 1400+i%2)
		}
		if err != nil {
			return fmt.Errorf("%s %d: %w", what, i, err)
		}
		time.Sleep(gap) // a mesh does not change all at once
	}
	return nil
}

func meshRoute(i, via int) *netlink.Route {
	l, err := netlink.LinkByName("mesh")
	if err != nil {
		panic(err)
	}
	return &netlink.Route{LinkIndex: l.Attrs().Index, Protocol: 42, Gw: net.IPv4(10, 0, 1, byte(via%200+1)).To4(),
		Dst: &net.IPNet{IP: net.IPv4(10, 1+byte(i>>8), byte(i), 0).To4(), Mask: net.CIDRMask(24, 32)}}
}

// churning runs in the process that BenchmarkChurn starts.
func churning() {
	var what string
	var n, gap int
	if _, err := fmt.Sscan(os.Getenv(churnEnv), &what, &n, &gap); err != nil {
		panic(err)
	}
	if err := churn(what, n, time.Duration(gap)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// BenchmarkChurn reports the CPU time, in milliseconds, that 2000 messages within about two seconds cost, with 2000
// routes in the main table. Over 50 ms it fails: that is too much for a router.
func BenchmarkChurn(b *testing.B) {
	setup := func(args ...string) {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			b.Fatalf("ip %v: %v %s", args, err, out)
		}
	}
	for _, what := range []string{"routes", "wide", "links"} {
		b.Run(what, func(b *testing.B) {
			for _, l := range []string{"uplink", "mesh"} {
				setup("link", "add", "name", l, "type", "bridge")
				setup("link", "set", l, "up")
			}
			defer func() {
				setup("link", "del", "uplink")
				setup("link", "del", "mesh")
			}()
			setup("addr", "add", "192.0.2.1/24", "dev", "uplink")
			setup("addr", "add", "10.0.0.1/8", "dev", "mesh")
			setup("route", "add", "default", "via", "192.0.2.2", "dev", "uplink")
			if err := churn("routes", 2000, 0); err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			out, done := make(chan State), make(chan error)
			news := 0
			go func() { done <- Path{Own: func(name string) bool { return name == "ours" }}.Watch(ctx, out) }()
			first := <-out
			go func() {
				for range out {
					news++
				}
			}()
			if !first.V4 || first.Dev4 != "uplink" {
				b.Fatalf("first %v", first)
			}
			runtime.GC()
			before := cpu()
			for range b.N {
				cmd := exec.Command("/proc/self/exe")
				cmd.Env = append(os.Environ(), churnEnv+"="+what+" 2000 "+strconv.Itoa(int(time.Millisecond)*9/10))
				cmd.Stderr = os.Stderr
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
			}
			spent := (cpu() - before) / time.Duration(b.N)
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			close(out)
			b.ReportMetric(float64(spent.Microseconds())/1000, "CPU-ms/op")
			b.ReportMetric(float64(news)/float64(b.N), "states/op")
			if spent > 50*time.Millisecond {
				b.Errorf("2000 messages cost %s of CPU time", spent)
			}
		})
	}
}

// cpu is what this process has used of the processors, without its children.
func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Messages of routes that lead elsewhere, and of devices that have not changed, are no reason to look again.
func TestConcern(t *testing.T) {
	l, err := listen()
	ok(t, err)
	defer l.Close()
	// The kernel tells of an IPv6 address once more, some time after it was made: so there are none.
	ok(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/addr_gen_mode", []byte("1"), 0))
	t.Cleanup(func() { ok(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/addr_gen_mode", []byte("0"), 0)) })
	link(t, "uplink", 1492, "192.0.2.1/24")
	link(t, "mesh", 1500, "10.0.0.1/8")
	ip(t, "-6 route add 2001:db8::/64 dev uplink\n-6 route add fd00::/64 dev mesh")
	k, err := openKernel(Path{})
	ok(t, err)
	defer k.close()
	d := Destinations{Names: true, Gateways: to("203.0.113.7:51820")}
	concerned := func() bool {
		c := concern{links: k.links, all: append(d.targets(false), d.targets(true)...)}
		n, err := l.Receive(c.take, false)
		ok(t, err)
		if n == 0 {
			t.Fatal("no message")
		}
		return c.found
	}
	concerned() // what the bed has made
	for _, tt := range []struct {
		ip   string
		want bool
	}{
		{"route add 10.1.0.0/16 via 10.0.0.2 dev mesh", false},
		{"-6 route add fd01::/48 via fd00::2 dev mesh", false},
		{"route add 203.0.113.0/24 via 192.0.2.2 dev uplink", true},
		{"route add unreachable 203.0.113.7", true},
		{"route add 203.0.113.8 via 192.0.2.2 dev uplink", false},
		{"route add 128.0.0.0/1 via 192.0.2.2 dev uplink table 7", true},
		{"-6 route add default via 2001:db8::2 dev uplink", true},
		{"rule add pref 7 lookup 7", true},
		{"addr add 192.0.2.77/24 dev uplink", true},
		{"link set mesh alias anything", false},
		{"link set mesh mtu 1400", true},
	} {
		ip(t, tt.ip)
		if got := concerned(); got != tt.want {
			t.Errorf("after ip %s: %v", tt.ip, got)
		}
	}
	var c concern
	for _, broken := range [][]byte{{}, {1, 2, 3}, {255, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		make([]byte, 16)} {
		c.take(broken)
	}
}
