//go:build go1.25

package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hosts is a Lookup with fixed addresses.
func hosts(addrs ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) (all []netip.Addr, err error) {
		for _, a := range addrs {
			all = append(all, netip.MustParseAddr(a))
		}
		return all, nil
	}
}

// network has addresses that connect; all others are silent, or refuse.
type network struct {
	mu      sync.Mutex
	alive   map[string]time.Duration // how long a connection takes
	refuse  bool
	dialled []string
	open    int // connections
}

func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled = append(n.dialled, addr)
	wait, alive := n.alive[addr]
	refuse := n.refuse
	n.mu.Unlock()
	if !alive && refuse {
		return nil, errors.New("connection refused")
	}
	if !alive {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(wait) // in the bubble's time
	n.mu.Lock()
	n.open++
	n.mu.Unlock()
	near, far := net.Pipe()
	far.Close()
	return &counted{near, n}, nil
}

type counted struct {
	net.Conn
	n *network
}

func (c *counted) Close() error {
	c.n.mu.Lock()
	c.n.open--
	c.n.mu.Unlock()
	return c.Conn.Close()
}

func twenty() (all []string) {
	for i := range 20 {
		all = append(all, fmt.Sprintf("192.0.2.%d", i+1))
	}
	return all
}

// TestDialer: one good address of twenty is found in one call, wherever it is, and comes first from then on.
func TestDialer(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		for _, at := range []int{0, 7, 19} {
			synctest.Test(t, func(t *testing.T) {
				all := twenty()
				n := &network{alive: map[string]time.Duration{all[at] + ":443": 100 * time.Millisecond}, refuse: refuse}
				d := &Dialer{Lookup: hosts(all...), Dial: n.dial}
				begin := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				c, err := d.DialContext(ctx, "tcp", "broker.example.org:443")
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took > 5*time.Second || refuse && took != 100*time.Millisecond {
					t.Errorf("address %d took %v", at, took)
				}
				c.(interface{ Prove() }).Prove()
				c.Close()
				n.dialled = nil
				c, err = d.DialContext(ctx, "tcp", "broker.example.org:443")
				if err != nil || len(n.dialled) != 1 {
					t.Fatalf("dialled %v, %v", n.dialled, err)
				}
				c.Close()
				synctest.Wait()
				if n.open != 0 {
					t.Errorf("%d connections are left open", n.open)
				}
			})
		}
	}
}

// TestDialerShort: a short time limit is enough for all addresses, too.
func TestDialerShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := twenty()
		n := &network{alive: map[string]time.Duration{all[19] + ":80": 0}}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c, err := (&Dialer{Lookup: hosts(all...), Dial: n.dial}).DialContext(ctx, "tcp", "a:80")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

// TestDialerRotates: an address that connects but gives no answer is not the first again; families take turns.
func TestDialerRotates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{alive: map[string]time.Duration{"192.0.2.1:80": 0, "192.0.2.2:80": 0, "[2001:db8::1]:80": 0}}
		d := &Dialer{Lookup: hosts("192.0.2.1", "192.0.2.2", "2001:db8::1"), Dial: n.dial}
		for range 4 {
			c, err := d.DialContext(context.Background(), "tcp", "a:80")
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		if got := strings.Join(n.dialled, " "); got != "[2001:db8::1]:80 192.0.2.1:80 192.0.2.2:80 [2001:db8::1]:80" {
			t.Error(got)
		}
	})
}

// TestDialerSlow: a second address that is tried while the first one takes its time is closed when it comes too late.
func TestDialerSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{alive: map[string]time.Duration{"192.0.2.1:80": 400 * time.Millisecond,
			"192.0.2.2:80": 600 * time.Millisecond}}
		c, err := (&Dialer{Lookup: hosts("192.0.2.1", "192.0.2.2"), Dial: n.dial}).DialContext(context.Background(),
			"tcp", "a:80")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n.open != 1 {
			t.Errorf("%d connections are open", n.open)
		}
		c.Close()
	})
}

func TestDialerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{refuse: true}
		_, err := (&Dialer{Lookup: hosts(twenty()...), Dial: n.dial}).DialContext(context.Background(), "tcp", "a:80")
		if err == nil || !strings.Contains(err.Error(), "connection refused") ||
			!strings.Contains(err.Error(), "and 17 more") {
			t.Errorf("got %v", err)
		}
		n.refuse = false
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err = (&Dialer{Lookup: hosts(twenty()...), Dial: n.dial}).DialContext(ctx, "tcp", "a:80"); !errors.Is(err,
			context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "20 of 20 addresses tried") {
			t.Errorf("got %v", err)
		}
		unknown := &Error{Host: "a", Reason: NotFound}
		lookup := func(context.Context, string) ([]netip.Addr, error) { return nil, unknown }
		if _, err = (&Dialer{Lookup: lookup, Dial: n.dial}).DialContext(context.Background(), "tcp",
			"a:80"); !errors.Is(err, unknown) {
			t.Errorf("got %v", err)
		}
	})
}
