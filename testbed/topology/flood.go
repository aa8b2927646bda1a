package topology

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/testbed/gateway"
	"wguplink/testbed/netlab"
)

// floodType is the first of the EtherTypes for local experiments (IEEE 802, clause 9.2.4).
const floodType = 0x88b5

// Sizes of a flood's frames: the smallest has room for the id behind the Ethernet header; the largest is for an MTU of
// 1500.
const (
	floodMinSize = 14 + 4
	floodMaxSize = 14 + 1500
)

// A flood's clock: how often it sends what is owed, after how long a pause it owes no more, and how often it looks for
// a device that is not there.
const (
	floodTick  = 5 * time.Millisecond
	floodPause = 50 * time.Millisecond
	floodRetry = 50 * time.Millisecond
)

// Flood is a saturating flow of Ethernet frames through the mesh, in both directions. The frames are broadcasts, so
// that they take the VXLAN's all-zero forwarding entries, and no program takes them for anything.
type Flood struct {
	frame [floodMinSize]byte // the beginning of each; the end of it tells this flood's frames from another's
	size  int
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu       sync.Mutex
	up, down FloodCount
	broken   error
}

// FloodCount is one direction of a Flood, in frames. A frame can arrive more than once, or be sent to no host.
type FloodCount struct {
	Sent     int64 // into the device
	Refused  int64 // by the device; those that were due while there was none are in neither
	Received int64
	Bytes    int64 // of the frames received
}

// Flood has the node send frames of size bytes (with their Ethernet header) into its device dev at up bit/s, and each
// gateway into its VXLAN device at down bit/s; 0 is none. What arrives is counted at the other end. All devices may
// come and go. It ends with ctx, with Close, or with the topology.
func (topo *Topology) Flood(ctx context.Context, dev string, up, down int64, size int) (*Flood, error) {
	if up < 0 || down < 0 {
		return nil, fmt.Errorf("flood on %s: rates of %d and %d bit/s; none may be negative", dev, up, down)
	}
	if size < floodMinSize || size > floodMaxSize {
		return nil, fmt.Errorf("flood on %s: frames of %d bytes; they have %d to %d", dev, size,
			floodMinSize, floodMaxSize)
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &Flood{size: size, stop: cancel}
	copy(f.frame[:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	binary.BigEndian.PutUint16(f.frame[12:], floodType)
	binary.BigEndian.PutUint32(f.frame[14:], rand.Uint32())
	f.run(ctx, &floodEnd{f: f, host: topo.Node, dev: dev, rate: up, out: &f.up, in: &f.down})
	for _, g := range topo.Gateways {
		f.run(ctx, &floodEnd{f: f, host: g.Host, dev: gateway.DefaultVXLANInterface, rate: down,
			out: &f.down, in: &f.up})
	}
	topo.mu.Lock()
	defer topo.mu.Unlock()
	topo.floods = append(topo.floods, f)
	return f, nil
}

// Stats says what was sent and what came through so far, from the node (up) and to it (down).
func (f *Flood) Stats() (up, down FloodCount) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.up, f.down
}

// Close ends the flood. The error is of frames that a device did not take for their size; it is told once.
func (f *Flood) Close() error {
	f.stop()
	f.done.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.broken
	f.broken = nil
	return err
}

func (f *Flood) run(ctx context.Context, e *floodEnd) {
	f.done.Add(1)
	go func() {
		defer f.done.Done()
		e.run(ctx)
	}()
}

// floodEnd is one device of a flood: it sends there, and counts what arrives.
type floodEnd struct {
	f       *Flood
	host    *netlab.Host
	dev     string
	rate    int64 // bit/s
	out, in *FloodCount
}

func (e *floodEnd) run(ctx context.Context) {
	retry := time.NewTicker(floodRetry)
	defer retry.Stop()
	for {
		if s, frame, err := e.open(); err == nil {
			e.serve(ctx, s, frame)
		}
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
		}
	}
}

// serve sends and counts on a socket until its device goes or ctx ends.
func (e *floodEnd) serve(ctx context.Context, s *os.File, frame []byte) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		e.count(s)
	}()
	defer func() { s.Close(); <-gone }()
	// A write may wait for room.
	defer context.AfterFunc(ctx, func() { s.Close() })()
	tick := time.NewTicker(floodTick)
	defer tick.Stop()
	cost := time.Duration(0) // of a frame
	if e.rate > 0 {
		cost = time.Duration(float64(e.f.size) * 8 / float64(e.rate) * float64(time.Second))
	}
	for due := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-gone:
			return
		case now := <-tick.C:
			if oldest := now.Add(-max(floodPause, cost)); due.Before(oldest) {
				due = oldest
			}
			for ; e.rate > 0 && !due.After(now); due = due.Add(cost) {
				if !e.send(s, frame) {
					return
				}
			}
		}
	}
}

// send sends one frame. It is false when the device is gone.
func (e *floodEnd) send(s *os.File, frame []byte) bool {
	_, err := s.Write(frame)
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	switch {
	case err == nil:
		e.out.Sent++
	case errors.Is(err, unix.EMSGSIZE):
		e.out.Refused++
		e.f.broken = fmt.Errorf("flood: frames of %d bytes do not fit %s: %w", e.f.size, e.dev, err)
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN):
		e.out.Refused++
	default:
		return false
	}
	return true
}

// count counts what arrives, until the device goes or is set down, or the socket is closed.
func (e *floodEnd) count(s *os.File) {
	buf := make([]byte, floodMaxSize+1)
	for {
		n, err := s.Read(buf)
		if err != nil {
			return
		}
		if n != e.f.size || [4]byte(buf[14:]) != [4]byte(e.f.frame[14:]) {
			continue
		}
		e.f.mu.Lock()
		e.in.Received++
		e.in.Bytes += int64(n)
		e.f.mu.Unlock()
	}
}

// open makes a socket on the device, and the frame to send there.
func (e *floodEnd) open() (*os.File, []byte, error) {
	link, err := e.host.Netlink().LinkByName(e.dev)
	if err != nil {
		return nil, nil, err
	}
	s, err := e.host.Packets(e.dev, floodType, unix.SOCK_RAW)
	if err != nil {
		return nil, nil, err
	}
	frame := make([]byte, e.f.size)
	copy(frame, e.f.frame[:])
	copy(frame[6:12], link.Attrs().HardwareAddr)
	return s, frame, nil
}
