package health

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// Loopback answers for real, in both families; the tests need CAP_NET_RAW.
func TestEcho(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, addr := range []string{"127.0.0.1", "::1"} {
		a := netip.MustParseAddr(addr)
		got := make(chan netip.Addr, 1)
		began := time.Now()
		e := NewEcho(func(a netip.Addr, rtt time.Duration) {
			if rtt <= 0 || rtt > time.Since(began) {
				t.Errorf("answer from %s after %v", a, rtt)
			}
			got <- a
		})
		for range 2 {
			if err := e.Send("lo", a); err != nil {
				t.Fatal(err)
			}
			select {
			case from := <-got:
				if from != a {
					t.Errorf("answer from %s, want %s", from, a)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("no answer from %s", a)
			}
		}
		e.Close()
		if err := e.Send("lo", a); err == nil {
			t.Error("a closed Echo still sends")
		}
	}
}

func TestEchoIgnoresOthers(t *testing.T) {
	got := make(chan netip.Addr, 10)
	mine := NewEcho(func(a netip.Addr, _ time.Duration) { got <- a })
	defer mine.Close()
	other := NewEcho(func(netip.Addr, time.Duration) {})
	defer other.Close()
	lo := netip.MustParseAddr("::1")
	// Opens mine's socket, so that it sees the answers to other's requests too.
	if err := mine.Send("lo", lo); err != nil {
		t.Fatal(err)
	}
	<-got
	for range 3 {
		if err := other.Send("lo", lo); err != nil {
			t.Fatal(err)
		}
	}
	if err := mine.Send("lo", netip.MustParseAddr("::1")); err != nil {
		t.Fatal(err)
	}
	<-got
	if n := len(got); n != 0 {
		t.Errorf("%d answers to another program's requests", n)
	}
}

func TestNoSuchDevice(t *testing.T) {
	e := NewEcho(func(netip.Addr, time.Duration) {})
	defer e.Close()
	if err := e.Send("nonesuch", netip.MustParseAddr("fe80::1")); err == nil {
		t.Error("no error")
	}
}

// The example of RFC 1071, section 3.
func TestChecksum(t *testing.T) {
	if got := checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != 0x220d {
		t.Errorf("%#x", got)
	}
}

// A device that others make anew under its name is probed at once.
func TestDeviceMadeAnew(t *testing.T) {
	answers := make(chan netip.Addr, 1)
	e := NewEcho(func(a netip.Addr, _ time.Duration) { answers <- a })
	defer e.Close()
	for _, addr := range []string{"fe80::1", "192.0.2.1"} {
		a := netip.MustParseAddr(addr)
		for range 3 {
			link := addDummy(t, "anew", a)
			if err := e.Send("anew", a); err != nil {
				t.Fatal(err)
			}
			if err := e.Send("anew", a); err != nil {
				t.Fatal(err)
			}
			if err := netlink.LinkDel(link); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Send("anew", a); err == nil {
			t.Error("no error without the device")
		}
	}
	if n := len(answers); n != 0 {
		t.Errorf("%d answers by a device that has no other end", n)
	}
}

// addDummy makes a device that takes everything and gives nothing back, with a neighbour that has this address.
func addDummy(t *testing.T, name string, neighbour netip.Addr) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	link := &netlink.Bridge{LinkAttrs: attrs}
	family, own := netlink.FAMILY_V6, "fe80::2/64"
	if neighbour.Is4() {
		family, own = netlink.FAMILY_V4, "192.0.2.2/24"
	}
	ip, err := netlink.ParseAddr(own)
	if err != nil {
		t.Fatal(err)
	}
	ip.Flags = unix.IFA_F_NODAD
	mac, err := net.ParseMAC("02:00:00:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{netlink.LinkAdd(link), netlink.LinkSetUp(link), netlink.AddrAdd(link, ip),
		netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Index, Family: family, IP: neighbour.AsSlice(),
			HardwareAddr: mac, State: netlink.NUD_PERMANENT})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return link
}
