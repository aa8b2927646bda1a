//go:build userspace && go1.25

package userspace

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a door whose pool of packets from the tun is the test's.
func counted(l limits) (d *doors, inside func(n int)) {
	d = newDoors(l)
	count := uint32(l.batch)
	d.outbound = pool{new(sync.Mutex), &count}
	return d, func(n int) {
		d.outbound.lock.Lock()
		defer d.outbound.lock.Unlock()
		count = uint32(n + l.batch)
	}
}

func TestWaitOutbound(t *testing.T) {
	l := limits{out: 400, in: 400, batch: 8}
	t.Run("room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, inside := counted(l)
			for _, tt := range []struct{ inside, want int }{{0, 8}, {150, 8}, {199, 8}} {
				inside(tt.inside)
				if got := d.waitOutbound(); got != tt.want {
					t.Errorf("with %d inside there is room for %d, want %d", tt.inside, got, tt.want)
				}
			}
			time.Sleep(3 * trimAfter)
		})
	})
	t.Run("back-pressure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, inside := counted(l)
			inside(200)
			room := make(chan int, 1)
			go func() { room <- d.waitOutbound() }()
			// Packets leave one by one, in less than the patience each: the tun is not read before there is some room.
			for n := 199; n >= 150; n-- {
				time.Sleep(outboundPatience / 2)
				inside(n)
				moved(d.sent)
				synctest.Wait()
				select {
				case got := <-room:
					t.Fatalf("read with %d inside, room for %d", n, got)
				default:
				}
			}
			inside(149)
			moved(d.sent)
			if got := <-room; got != 8 {
				t.Errorf("then there is room for %d, want a batch", got)
			}
			time.Sleep(3 * trimAfter)
		})
	})
	t.Run("slow line", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, inside := counted(l)
			inside(200)
			d.send(1)
			room := make(chan int, 1)
			go func() { room <- d.waitOutbound() }()
			time.Sleep(20 * outboundPatience)
			select {
			case got := <-room:
				t.Fatalf("read while a call sends, room for %d", got)
			default:
			}
			inside(100)
			d.send(-1)
			if got := <-room; got != 8 {
				t.Errorf("then there is room for %d, want a batch", got)
			}
			time.Sleep(3 * trimAfter)
		})
	})
	t.Run("waiting for sessions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, inside := counted(l)
			inside(200)
			start := time.Now()
			if got := d.waitOutbound(); got != 1 {
				t.Errorf("beside stuck packets there is room for %d, want 1", got)
			}
			if got := time.Since(start); got != outboundPatience {
				t.Errorf("that took %v, want %v", got, outboundPatience)
			}
			inside(300)
			start = time.Now()
			if got := d.waitOutbound(); got != 1 || time.Since(start) != 0 {
				t.Errorf("one more is taken after %v (%d), want at once", time.Since(start), got)
			}
			// Full: after one more wait further packets are dropped without any.
			inside(400)
			if got := d.waitOutbound(); got != 0 {
				t.Errorf("full of stuck packets, and room for %d", got)
			}
			start = time.Now()
			if got := d.waitOutbound(); got != 0 || time.Since(start) != 0 {
				t.Errorf("the next is dropped after %v (%d), want at once", time.Since(start), got)
			}
			// They are given up.
			inside(0)
			if got := d.waitOutbound(); got != 8 {
				t.Errorf("empty, and room for %d", got)
			}
			time.Sleep(3 * trimAfter)
		})
	})
}

func TestWaitInbound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoors(limits{out: 10, in: 10, batch: 1})
		count := uint32(10)
		d.inbound = pool{new(sync.Mutex), &count}
		start := time.Now()
		d.waitInbound()
		if got := time.Since(start); got != inboundPatience {
			t.Errorf("full and nothing moves: waited %v, want %v", got, inboundPatience)
		}
		done := make(chan struct{})
		go func() {
			d.waitInbound()
			close(done)
		}()
		synctest.Wait()
		start = time.Now()
		d.inbound.lock.Lock()
		count = 9
		d.inbound.lock.Unlock()
		moved(d.written)
		<-done
		if got := time.Since(start); got != 0 {
			t.Errorf("waited %v after there was a place", got)
		}
		time.Sleep(3 * trimAfter)
	})
}

// The memory of a load goes back once it is over, and only then.
func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr trimmer
		var mu sync.Mutex
		var at []time.Duration
		start := time.Now()
		tr.free = func() {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(start))
		}
		freed := func() []time.Duration {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(at)
		}
		for range 25 {
			tr.touch()
			time.Sleep(time.Second)
		}
		if at := freed(); len(at) > 0 {
			t.Errorf("freed during the load, after %v", at)
		}
		time.Sleep(time.Hour)
		if at := freed(); len(at) != 1 || at[0] > 25*time.Second+2*trimAfter {
			t.Errorf("freed after %v, want once within %v after the load", at, 2*trimAfter)
		}
		tr.touch()
		time.Sleep(time.Hour)
		if at := freed(); len(at) != 2 {
			t.Errorf("after another load freed %d times, want 2", len(at))
		}
	})
}
