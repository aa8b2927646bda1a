package health

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// A device counts what it receives: here a request and its answer. Without the device there is no count.
func TestTraffic(t *testing.T) {
	tr := NewTraffic()
	before, ok := tr.Received([]string{"lo"})
	if !ok {
		t.Fatal("no count of lo")
	}
	if same, ok := tr.Received([]string{"lo"}); !ok || same != before {
		t.Errorf("%d, then %d, %v", before, same, ok)
	}
	answered := make(chan struct{}, 1)
	e := NewEcho(func(netip.Addr, time.Duration) { answered <- struct{}{} })
	defer e.Close()
	if err := e.Send("lo", netip.MustParseAddr("::1")); err != nil {
		t.Fatal(err)
	}
	<-answered
	if after, ok := tr.Received([]string{"lo"}); !ok || after != before+2 {
		t.Errorf("%d packets, then %d, %v", before, after, ok)
	}
	if n, ok := tr.Received([]string{"lo", "nonesuch"}); ok {
		t.Errorf("%d packets with a device that is not there", n)
	}
	if n, ok := tr.Received(nil); !ok || n != 0 {
		t.Errorf("of no devices: %d, %v", n, ok)
	}
	tr.Close()
	if n, ok := tr.Received([]string{"lo"}); ok {
		t.Errorf("%d packets after the end", n)
	}
}

// The list of a router with many devices is longer than what is read at once.
func TestManyDevices(t *testing.T) {
	var made []netlink.Link
	defer func() {
		for _, l := range made {
			netlink.LinkDel(l)
		}
	}()
	for i := range 60 {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("many%d", i)
		l := &netlink.Bridge{LinkAttrs: attrs}
		if err := netlink.LinkAdd(l); err != nil {
			t.Fatal(err)
		}
		made = append(made, l)
	}
	tr := NewTraffic()
	defer tr.Close()
	var all []string
	for _, l := range made {
		all = append(all, l.Attrs().Name)
		if _, ok := tr.Received([]string{l.Attrs().Name}); !ok {
			t.Errorf("no count of %s", l.Attrs().Name)
		}
	}
	if _, ok := tr.Received(all); !ok {
		t.Error("no count of all")
	}
}

func TestReceivedBy(t *testing.T) {
	for line, want := range map[string]struct {
		name    string
		packets uint64
		ok      bool
	}{
		"    lo:  695432     812    0    0    0     0          0         0   695432     812": {"lo", 812, true},
		"wg_mesh:18446744073709551615 18446744073709551615    0": {"wg_mesh", 1<<64 - 1,
			true},
		"mesh-vpn: 1 2": {"mesh-vpn", 2, true},
		" face |bytes    packets errs drop fifo frame compressed multicast|": {"", 0, false},
		"eth0: 1":   {"", 0, false},
		"eth0: 1 x": {"", 0, false},
		"":          {"", 0, false},
	} {
		name, n, ok := receivedBy([]byte(line))
		if ok != want.ok || ok && (string(name) != want.name || n != want.packets) {
			t.Errorf("%q: %q, %d, %v", line, name, n, ok)
		}
	}
}
