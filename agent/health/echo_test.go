package health

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
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
