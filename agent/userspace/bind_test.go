//go:build userspace

package userspace

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// received is what a receiver of a bind returned.
type received struct {
	payload string
	from    conn.Endpoint
	err     error
}

func listenAll(fns []conn.ReceiveFunc) <-chan received {
	c := make(chan received, 16)
	for _, fn := range fns {
		go func() {
			bufs, sizes, eps := [][]byte{make([]byte, bufferSize)}, make([]int, 1), make([]conn.Endpoint, 1)
			for {
				_, err := fn(bufs, sizes, eps)
				if err != nil {
					c <- received{err: err}
					return
				}
				c <- received{payload: string(bufs[0][:sizes[0]]), from: eps[0]}
			}
		}()
	}
	return c
}

func next(t *testing.T, c <-chan received) (r received) {
	t.Helper()
	within(t, "a datagram", func(end <-chan time.Time) bool {
		select {
		case r = <-c:
			return true
		case <-end:
			return false
		}
	})
	return r
}

func TestBind(t *testing.T) {
	leakCheck(t)
	n := newNamespace(t)
	n.loopback()

	b := &bind{batch: 1, wait: func() {}, sending: func(int32) {},
		admit: func(p []byte) bool { return string(p) != "refused" }}
	if err := b.Close(); err != nil {
		t.Errorf("close before open: %v", err)
	}
	var last uint16
	for _, port := range []uint16{0, 51820, 51820, 0} {
		var fns []conn.ReceiveFunc
		var actual uint16
		n.do(func() (err error) {
			fns, actual, err = b.Open(port)
			return err
		})
		if port != 0 && actual != port || actual == 0 || len(fns) != 2 {
			t.Fatalf("open(%d) gives port %d, %d receivers", port, actual, len(fns))
		}
		if _, _, err := b.Open(0); !errors.Is(err, conn.ErrBindAlreadyOpen) {
			t.Errorf("second open: %v", err)
		}
		if err := n.try(func() error { _, _, err := new(bind).Open(actual); return err }); !errors.Is(err,
			syscall.EADDRINUSE) {
			t.Errorf("port %d in use, open gives %v", actual, err)
		}
		c := listenAll(fns)
		for _, addr := range []string{"127.0.0.1", "::1"} {
			to := netip.AddrPortFrom(netip.MustParseAddr(addr), actual)
			ep, err := b.ParseEndpoint(to.String())
			if err != nil {
				t.Fatal(err)
			}
			want := "some datagram that is longer than a keepalive"
			for _, p := range []string{"refused", want} {
				if err := b.Send([][]byte{[]byte(p)}, ep); err != nil {
					t.Fatal(err)
				}
			}
			if got := next(t, c); got.payload != want || got.from.DstToString() != to.String() {
				t.Errorf("received %q from %v, want %q from %v", got.payload, got.from, want, to)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if got := next(t, c); !errors.Is(got.err, net.ErrClosed) {
				t.Errorf("a receiver ended with %v, want net.ErrClosed", got.err)
			}
		}
		last = actual
	}
	ep, _ := b.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), last).String())
	if err := b.Send([][]byte{{1}}, ep); err == nil {
		t.Error("send after close: no error")
	}
}

// A port that the kernel chooses for IPv4 may be taken for IPv6.
func TestBindHalfTaken(t *testing.T) {
	n := newNamespace(t)
	n.loopback()
	n.do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0)
	})
	for _, port := range []int{40000, 40001, 40002} {
		n.listen(fmt.Sprintf("[::1]:%d", port))
	}
	b := new(bind)
	for range 8 { // one time in four the kernel hits the free one
		n.do(func() error {
			_, port, err := b.Open(0)
			if err == nil && port != 40003 {
				t.Errorf("port %d, want the free one, 40003", port)
			}
			return err
		})
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	n.listen("[::1]:40003")
	if err := n.try(func() error { _, _, err := b.Open(0); return err }); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("with all ports taken, open gives %v", err)
	}
	if err := n.try(func() error { _, _, err := b.Open(40000); return err }); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("with the port taken for IPv6, open gives %v", err)
	}
}

func TestBindMark(t *testing.T) {
	n := newNamespace(t)
	b := new(bind)
	if err := b.SetMark(5); err != nil {
		t.Errorf("mark on a closed bind: %v", err)
	}
	n.do(func() error { _, _, err := b.Open(0); return err })
	defer b.Close()
	for _, mark := range []uint32{0x80000001, 0} {
		if err := b.SetMark(mark); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*socket{b.v4, b.v6} {
			if err := control(c.raw, func(fd int) error {
				got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK)
				if uint32(got) != mark {
					t.Errorf("%v has mark %#x, want %#x", c.LocalAddr(), uint32(got), mark)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestEndpoint(t *testing.T) {
	tests := []struct{ in, want string }{
		{"192.0.2.1:51820", "192.0.2.1:51820"},
		{"[2001:db8::1]:1", "[2001:db8::1]:1"},
		{"[fe80::1%eth0]:1", "[fe80::1%eth0]:1"},
		{"[::ffff:192.0.2.1]:51820", "192.0.2.1:51820"},
		{"gw.example.org:1", ""},
		{"192.0.2.1", ""},
		{"", ""},
	}
	for _, tt := range tests {
		ep, err := new(bind).ParseEndpoint(tt.in)
		if (err != nil) != (tt.want == "") {
			t.Errorf("%q: error %v", tt.in, err)
			continue
		}
		if err == nil && ep.DstToString() != tt.want {
			t.Errorf("%q gives %s, want %s", tt.in, ep.DstToString(), tt.want)
		}
	}
	if err := new(bind).Send(nil, new(conn.StdNetEndpoint)); !errors.Is(err, conn.ErrWrongEndpointType) {
		t.Errorf("foreign endpoint: %v", err)
	}
}
