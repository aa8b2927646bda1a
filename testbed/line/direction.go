package line

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxHeld bounds the bytes that are under way in one direction: 5 s of delay at 50 Mbit/s.
const maxHeld = 32 << 20

// maxFrame is what a wire can carry: the largest MTU of a veth device with an Ethernet header.
const maxFrame = maxMTU + etherSize

// direction is one direction of a line. One goroutine runs receive, another one send.
type direction struct {
	// change a frame at the beginning and at the end; false: it is lost. May be nil.
	enter, leave func(frame []byte) bool
	random       func() float64 // in [0, 1)

	wake chan struct{} // the queue is not empty any more

	mu    sync.Mutex
	shape Shape
	free  time.Time // when Rate is done with what it was given
	queue []held    // in order of arrival; the first holds up the others
	bytes int       // in queue
	count Count
}

// held is a frame that is under way.
type held struct {
	frame []byte
	due   time.Time // not earlier
}

func newDirection() *direction {
	return &direction{random: rand.Float64, wake: make(chan struct{}, 1)}
}

func (d *direction) set(s Shape) {
	if s.Queue == 0 {
		s.Queue = DefaultQueue
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shape = s
}

func (d *direction) stats() Count {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// receive takes frames from a device until it is closed. Those that find neighbours pass at once.
func (d *direction) receive(from io.Reader, to io.Writer) error {
	buf := make([]byte, maxFrame)
	for {
		n, err := from.Read(buf)
		switch {
		case err == nil:
			if parse(buf[:n]).neighbor {
				d.give(to, buf[:n])
			} else {
				d.take(bytes.Clone(buf[:n]), time.Now())
			}
		case errors.Is(err, os.ErrClosed), errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, unix.ENETDOWN): // said once; the socket goes on when the device is up again
		default:
			return fmt.Errorf("receive: %w", err)
		}
	}
}

// take decides what becomes of a frame that begins its way now.
func (d *direction) take(frame []byte, now time.Time) {
	ok := d.enter == nil || d.enter(frame)
	p := parse(frame)
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.shape
	at := now
	if s.Rate > 0 && ok {
		if d.free.After(at) {
			at = d.free
		}
		if at.Sub(now) > s.Queue {
			d.count.Dropped.add(len(frame))
			return
		}
		at = at.Add(time.Duration(float64(len(frame)) * 8 / float64(s.Rate) * float64(time.Second)))
		d.free = at
	}
	// It is lost behind the rate, and takes its time there.
	switch {
	case !ok,
		s.MTU > 0 && p.size > s.MTU,
		s.DropFragments && p.fragment,
		p.losable() && d.random() < s.Loss:
		d.count.Lost.add(len(frame))
		return
	case d.bytes+len(frame) > maxHeld:
		d.count.Dropped.add(len(frame))
		return
	}
	d.queue = append(d.queue, held{frame, at.Add(s.Delay)})
	d.bytes += len(frame)
	if len(d.queue) == 1 {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}

// next takes the first frame from the queue if its time has come, else it says how long that takes. Negative: the queue
// is empty.
func (d *direction) next(now time.Time) (frame []byte, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		return nil, -1
	}
	first := d.queue[0]
	if wait = first.due.Sub(now); wait > 0 {
		return nil, wait
	}
	d.queue[0] = held{}
	d.queue = d.queue[1:]
	d.bytes -= len(first.frame)
	return first.frame, 0
}

// send gives frames to a device when their time has come, until done.
func (d *direction) send(to io.Writer, done <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		frame, wait := d.next(time.Now())
		switch {
		case frame != nil:
			d.give(to, frame)
		case wait < 0:
			select {
			case <-d.wake:
			case <-done:
				return
			}
		default:
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-done:
				return
			}
		}
	}
}

// give lets a frame leave the line.
func (d *direction) give(to io.Writer, frame []byte) {
	ok := d.leave == nil || d.leave(frame)
	if ok {
		_, err := to.Write(frame)
		ok = err == nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if ok {
		d.count.Passed.add(len(frame))
	} else {
		d.count.Lost.add(len(frame))
	}
}
