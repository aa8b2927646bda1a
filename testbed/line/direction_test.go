package line

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// frame4 makes a unicast IPv4 frame with a packet of that size.
func frame4(size int) []byte {
	f := make([]byte, etherSize+size)
	binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IP)
	f[etherSize] = 0x45
	binary.BigEndian.PutUint16(f[etherSize+2:], uint16(size))
	f[etherSize+9] = unix.IPPROTO_TCP
	return f
}

// drain takes all from a queue, with the time it is due.
func drain(d *direction, now time.Time) (at []time.Duration) {
	start := now
	for {
		frame, wait := d.next(now)
		if frame != nil {
			at = append(at, now.Sub(start))
		} else if wait < 0 {
			return at
		} else {
			now = now.Add(wait)
		}
	}
}

func TestRate(t *testing.T) {
	d, now := newDirection(), time.Unix(1000, 0)
	// 1000 bytes take a second.
	d.set(Shape{Rate: 8000, Queue: 2 * time.Second, Delay: 100 * time.Millisecond})
	for range 5 {
		d.take(frame4(1000-etherSize), now)
	}
	// One under way, two wait no longer than 2 s: 0, 1 and 2.
	if got := drain(d, now); len(got) != 3 || got[0] != 1100*time.Millisecond || got[2] != 3100*time.Millisecond {
		t.Errorf("due at %v", got)
	}
	want := Count{Dropped: Tally{2, 2000}}
	if got := d.stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	// An idle line takes a frame at once, also with the shortest queue.
	now = now.Add(time.Minute)
	d.set(Shape{Rate: 8000, Queue: 1})
	d.take(frame4(1000-etherSize), now)
	if got := drain(d, now); len(got) != 1 || got[0] != time.Second {
		t.Errorf("due at %v", got)
	}
}

// A frame that is lost behind the rate has taken its time there.
func TestLostTakesTime(t *testing.T) {
	d, now := newDirection(), time.Unix(1000, 0)
	d.set(Shape{Rate: 8000, Queue: time.Minute, MTU: 500})
	d.take(frame4(1000-etherSize), now)
	d.take(frame4(500-etherSize), now)
	if got := drain(d, now); len(got) != 1 || got[0] != 1500*time.Millisecond {
		t.Errorf("due at %v", got)
	}
}

// After any change of the shape, no frame overtakes another, and none is early.
func TestOrder(t *testing.T) {
	d, now := newDirection(), time.Unix(1000, 0)
	random := rand.New(rand.NewPCG(1, 2))
	type sent struct{ at time.Time }
	var under []sent
	for i := range 1000 {
		s := Shape{Delay: time.Duration(random.IntN(1000)) * time.Millisecond}
		if i%3 == 0 {
			s.Rate = int64(1000 + random.IntN(100_000))
		}
		d.set(s)
		f := frame4(100)
		binary.BigEndian.PutUint32(f[len(f)-4:], uint32(len(under)))
		before := d.stats().Dropped.Packets
		d.take(f, now)
		if d.stats().Dropped.Packets == before {
			under = append(under, sent{now.Add(s.Delay)})
		}
		now = now.Add(time.Millisecond)
	}
	for i := 0; i < len(under); {
		f, wait := d.next(now)
		if f == nil {
			if wait < 0 {
				t.Fatalf("%d frames of %d", i, len(under))
			}
			now = now.Add(wait)
			continue
		}
		if n := int(binary.BigEndian.Uint32(f[len(f)-4:])); n != i {
			t.Fatalf("frame %d in place of %d", n, i)
		}
		if now.Before(under[i].at) {
			t.Fatalf("frame %d is %v early", i, under[i].at.Sub(now))
		}
		i++
	}
}

func TestBoundedMemory(t *testing.T) {
	d, now := newDirection(), time.Unix(1000, 0)
	d.set(Shape{Delay: time.Hour})
	f := frame4(1500)
	n := maxHeld/len(f) + 10
	for range n {
		d.take(f, now)
	}
	if got := d.stats().Dropped.Packets; got != int64(n-maxHeld/len(f)) {
		t.Errorf("%d dropped", got)
	}
	drain(d, now)
	d.take(f, now)
	if d.bytes != len(f) || len(d.queue) != 1 {
		t.Errorf("%d bytes in %d frames", d.bytes, len(d.queue))
	}
}

// What loss may hit, and what is a fragment.
func TestParse(t *testing.T) {
	ip6 := func(next byte, more ...byte) []byte {
		f := make([]byte, etherSize+ip6Size, etherSize+ip6Size+len(more))
		binary.BigEndian.PutUint16(f[12:], unix.ETH_P_IPV6)
		f[etherSize] = 0x60
		binary.BigEndian.PutUint16(f[etherSize+4:], uint16(len(more)))
		f[etherSize+6] = next
		return append(f, more...)
	}
	change := func(f []byte, at int, v ...byte) []byte {
		copy(f[at:], v)
		return f
	}
	arp := change(make([]byte, 60), 12, 0x08, 0x06)
	for _, test := range []struct {
		name              string
		frame             []byte
		size              int
		losable, fragment bool
		neighbor          bool
	}{
		{"IPv4", frame4(100), 100, true, false, false},
		{"IPv4 and padding", append(frame4(30), make([]byte, 16)...), 30, true, false, false},
		{"IPv4 multicast", change(frame4(100), 0, 1), 100, false, false, false},
		{"first fragment", change(frame4(100), etherSize+6, 0x20, 0), 100, true, true, false},
		{"last fragment", change(frame4(100), etherSize+6, 0, 1), 100, true, true, false},
		{"do not fragment", change(frame4(100), etherSize+6, 0x40, 0), 100, true, false, false},
		{"IPv4 too short", frame4(100)[:113], 0, false, false, false},
		{"ARP", arp, 0, false, false, true},
		{"IPv6 UDP", ip6(17, make([]byte, 8)...), 48, true, false, false},
		{"echo request", ip6(58, 128, 0, 0, 0, 0, 0, 0, 0), 48, true, false, false},
		{"neighbour solicitation", ip6(58, 135, 0, 0, 0, 0, 0, 0, 0), 48, true, false, true},
		{"IPv6 first fragment", ip6(44, append([]byte{17, 0, 0, 1, 0, 0, 0, 0}, make([]byte, 8)...)...), 56,
			true, true, false},
		{"IPv6 last fragment", ip6(44, append([]byte{58, 0, 0, 8, 0, 0, 0, 0}, 135, 0, 0, 0, 0, 0, 0, 0)...), 56,
			true, true, false},
		{"after options", ip6(0, append([]byte{44, 1}, append(make([]byte, 14), make([]byte, 8)...)...)...), 64,
			true, true, false},
		{"options cut off", ip6(0, 44, 9, 0, 0, 0, 0, 0, 0), 48, true, false, false},
		{"nothing", nil, 0, false, false, false},
	} {
		if p := parse(test.frame); p.size != test.size || p.losable() != test.losable || p.fragment != test.fragment ||
			p.neighbor != test.neighbor {
			t.Errorf("%s: size %d, losable %v, fragment %v, neighbour %v", test.name, p.size, p.losable(),
				p.fragment, p.neighbor)
		}
	}
}

// No frame makes the line panic, change its size or read over its end; and what the NAT did it can undo.
func FuzzFrame(f *testing.F) {
	f.Add(frame4(100))
	f.Add(udp4(40000, NATPort, "payload"))
	f.Add(icmpError(udp4(40000, NATPort, "payload")))
	f.Fuzz(func(t *testing.T, frame []byte) {
		parse(frame)
		var n nat
		n.set(true)
		n.outgoing(udp4(40000, NATPort, "")) // so that there is a mapping to find
		n.incoming(bytes.Clone(frame))
		before := bytes.Clone(frame)
		if !n.outgoing(frame) || bytes.Equal(frame, before) {
			return
		}
		p, was := parse(frame), parse(before)
		if bytes.Equal(p.ip[12:16], p.ip[16:20]) {
			return
		}
		// The answer to it is the node's again.
		answer := turned(frame)
		if !n.incoming(answer) {
			t.Fatal("the answer is lost")
		}
		if got := parse(answer).upper; !bytes.Equal(got[2:4], was.upper[:2]) {
			t.Fatalf("the answer is for port %x, not %x", got[2:4], was.upper[:2])
		}
	})
}

// pipe is a device of which the far end is the test.
type pipe chan []byte

func (p pipe) Read(b []byte) (int, error) {
	f, ok := <-p
	if !ok {
		return 0, os.ErrClosed
	}
	if f == nil {
		return 0, &os.PathError{Op: "read", Path: "wan", Err: unix.ENETDOWN}
	}
	return copy(b, f), nil
}

func (p pipe) Write(b []byte) (int, error) {
	if len(b) == 60 {
		return 0, io.ErrClosedPipe
	}
	p <- b
	return len(b), nil
}

// A device that goes down does not end a direction, neither at its beginning nor at its end.
func TestDown(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := newDirection()
	in, out, done, ended := make(pipe), make(pipe), make(chan struct{}), make(chan error, 2)
	go func() { ended <- d.receive(in, out) }()
	go func() { d.send(out, done); ended <- nil }()
	in <- frame4(100)
	<-out
	in <- nil
	in <- frame4(60 - etherSize) // the far device is down
	in <- frame4(200)
	if f := <-out; len(f) != 200+etherSize {
		t.Errorf("%d bytes", len(f))
	}
	close(in)
	close(done)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	want := Count{Passed: Tally{2, 328}, Lost: Tally{1, 60}}
	if got := d.stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
