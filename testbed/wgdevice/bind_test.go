package wgdevice

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/conn"

	"wguplink/testbed/netlab"
)

func TestMain(m *testing.M) { netlab.Main(m.Run) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Datagrams of both families, alternating, all arrive, and from the right address.
func TestBindBothFamilies(t *testing.T) {
	lab := netlab.New()
	defer lab.Close(context.Background())
	host, err := lab.Host("host")
	check(t, err)
	// Unlike ::1, an address with something in each part.
	check(t, host.Addr("lo", netip.MustParsePrefix("2001:db8:1:2:3:4:5:6/128")))
	var a, b udpBind
	var fns []conn.ReceiveFunc
	check(t, host.Do(func() error {
		if _, _, err := a.Open(1001); err != nil {
			return err
		}
		var port uint16
		if fns, port, err = b.Open(1002); err == nil && port != 1002 {
			err = fmt.Errorf("opened port %d", port)
		}
		return err
	}))
	if _, _, err := a.Open(1003); err == nil {
		t.Error("opened twice")
	}
	defer a.Close()
	if len(fns) != 2 {
		t.Fatalf("%d receive functions", len(fns))
	}

	got := make(chan string)
	done := make(chan error)
	for _, fn := range fns {
		go func() {
			buf, sizes, eps := [][]byte{make([]byte, 100)}, make([]int, 1), make([]conn.Endpoint, 1)
			for {
				n, err := fn(buf, sizes, eps)
				if err != nil {
					done <- err
					return
				}
				got <- fmt.Sprintf("%d %s from %s", n, buf[0][:sizes[0]], eps[0].DstToString())
			}
		}()
	}
	for i := range 4 {
		for _, host := range []string{"127.0.0.1", "[2001:db8:1:2:3:4:5:6]"} {
			ep, err := a.ParseEndpoint(host + ":1002")
			check(t, err)
			check(t, a.Send([][]byte{fmt.Appendf(nil, "first %d", i), fmt.Appendf(nil, "second %d", i)}, ep))
			for _, word := range []string{"first", "second"} {
				want := fmt.Sprintf("1 %s %d from %s:1001", word, i, host)
				if s := <-got; s != want {
					t.Errorf("got %q, want %q", s, want)
				}
			}
		}
	}
	check(t, b.Close())
	for range fns {
		<-done
	}
	ep, err := b.ParseEndpoint("127.0.0.1:1001")
	check(t, err)
	if err := b.Send([][]byte{{1}}, ep); err == nil {
		t.Error("sent after Close")
	}
}
