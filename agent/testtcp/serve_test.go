package testtcp

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Each connection is served beside the others, and closed after its talk. The end of a test waits for all talks, and
// leaves no listener.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var begun, ended atomic.Int32
	t.Run("served", func(t *testing.T) {
		Serve(t, l, func(c net.Conn) {
			begun.Add(1)
			defer ended.Add(1)
			b := make([]byte, 1)
			if _, err := io.ReadFull(c, b); err == nil {
				_, _ = c.Write(append(b, '!'))
			}
		})
		first, second := dial(t, l), dial(t, l)
		for _, c := range []net.Conn{second, first} { // the first one waits and does not hold up the second
			if _, err := c.Write([]byte("a")); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); err != nil || string(got) != "a!" {
				t.Errorf("got %q, %v; want a! and the end", got, err)
			}
		}
		dial(t, l).Close() // a talk that ends by itself
	})
	if b, e := begun.Load(), ended.Load(); b < 2 || b != e {
		t.Errorf("%d talks have begun, %d have ended", b, e)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the listener is there after the test")
	}
}
