// Package line is an access line for the lab: what lies between a node and the first router of its provider. It delays,
// loses and paces packets, each direction by itself, and has a NAT whose mappings can get lost or stuck. It needs no
// support of the kernel (netem, nftables): it is a host with two wires, which takes Ethernet frames from one and gives
// them to the other through packet sockets.
//
//	node ──── line ──── router
//	     up →      ← down
//
// ARP and neighbour discovery (RFC 4861) pass at once, as if a modem answered: with seconds of delay a kernel would
// give up its neighbour every half minute, which no such line in the field has. What else is not IP unicast is delayed,
// and never lost at random. The carrier is each wire's own.
package line

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"wguplink/testbed/netlab"
)

// Shape is what one direction of the line does to packets. The zero value does nothing.
type Shape struct {
	Delay time.Duration // one way, fixed
	Loss  float64       // 0 to 1: the share of IP unicast packets that is lost, each at random
	Rate  int64         // bit/s of Ethernet frames without checksum and preamble; 0: unlimited
	// Queue is the longest wait in front of Rate; what would wait longer is dropped. 0: DefaultQueue.
	Queue time.Duration
	// MTU is the size of the largest IP packet that passes. Larger ones are lost without a word, as on a path that
	// neither fragments nor tells. 0: no limit.
	MTU int
	// DropFragments loses all fragments of IP packets, the first ones too.
	DropFragments bool
}

// DefaultQueue is the wait in front of a rate that an ordinary modem allows.
const DefaultQueue = 200 * time.Millisecond

// Tally is a number of Ethernet frames and of their bytes.
type Tally struct{ Packets, Bytes int64 }

func (t *Tally) add(size int) {
	t.Packets++
	t.Bytes += int64(size)
}

// Count is what became of the frames that entered one direction. Those under way are in none of the three.
type Count struct {
	Passed  Tally
	Lost    Tally // at random, by their size, as fragments, in the NAT, or because the wire at the end is down
	Dropped Tally // for a full queue
}

// End is one end of a line: a host, and the device that the line gives it.
type End struct {
	Host *netlab.Host
	Dev  string
}

// Line is an access line. Its methods may be called from any goroutine, and at any time.
type Line struct {
	lab          *netlab.Lab
	name         string
	node, router End

	nat      nat
	up, down *direction

	mu      sync.Mutex
	devices []*device
	running sync.WaitGroup
	done    chan struct{}
	closed  bool
	broken  error // of a direction that ended by itself
}

// New returns an unshaped line between two hosts of a lab, over a host of that name that is the line's alone. It makes
// nothing yet.
func New(lab *netlab.Lab, name string, node, router End) *Line {
	l := &Line{lab: lab, name: name, node: node, router: router, done: make(chan struct{})}
	l.up, l.down = newDirection(), newDirection()
	// The NAT is at the router's end.
	l.up.leave = l.nat.outgoing
	l.down.enter = l.nat.incoming
	return l
}

// Start makes the line's host and the wires, the devices at both ends among them, and lets frames pass. Both ends send
// ready-made frames from then on: their offloads are off.
func (l *Line) Start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.devices != nil {
		return fmt.Errorf("line %s: was started already; make a new one", l.name)
	}
	if err := l.start(); err != nil {
		l.closed = true
		return fmt.Errorf("line %s: %w", l.name, errors.Join(err, l.closeDevices()))
	}
	return nil
}

func (l *Line) start() error {
	host, err := l.lab.Host(l.name)
	if err != nil {
		return err
	}
	// It has no word of its own to say on the wires.
	for _, key := range []string{"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"} {
		if err := host.Sysctl(key, "1"); err != nil {
			return err
		}
	}
	for _, w := range []struct {
		dev string
		far End
	}{{"node", l.node}, {"router", l.router}} {
		if err := l.lab.Wire(w.far.Host, w.far.Dev, host, w.dev); err != nil {
			return err
		}
		if err := plainFrames(w.far.Host, w.far.Dev); err != nil {
			return err
		}
		d, err := openDevice(host, w.dev)
		if err != nil {
			return err
		}
		l.devices = append(l.devices, d)
	}
	node, router := l.devices[0], l.devices[1]
	l.run(func() error { return l.up.receive(node, router) })
	l.run(func() error { return l.down.receive(router, node) })
	l.run(func() error { l.up.send(router, l.done); return nil })
	l.run(func() error { l.down.send(node, l.done); return nil })
	return nil
}

func (l *Line) run(f func() error) {
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		if err := f(); err != nil {
			l.mu.Lock()
			l.broken = errors.Join(l.broken, fmt.Errorf("line %s: %w", l.name, err))
			l.mu.Unlock()
		}
	}()
}

// Close ends the line; what is under way is gone. The wires stay until the lab goes. The error is of a direction that
// had ended by itself. Closing again does nothing.
func (l *Line) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	err := l.closeDevices()
	l.mu.Unlock()
	l.running.Wait()
	return errors.Join(err, l.broken)
}

func (l *Line) closeDevices() error {
	var errs []error
	for _, d := range l.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// Set shapes what comes from the node (up) and what goes to it (down) from now on. What is under way keeps its time,
// and nothing overtakes it.
func (l *Line) Set(up, down Shape) {
	l.up.set(up)
	l.down.set(down)
}

// Stats says what became of the frames from the node (up) and to it (down) so far.
func (l *Line) Stats() (up, down Count) { return l.up.stats(), l.down.stats() }

// NAT turns the translation of UDP over IPv4 towards NATPort on or off: the node's packets leave the line with another
// source port, the answers are mapped back. The address stays. A mapping belongs to the node's port and takes answers
// from any host's NATPort (RFC 4787, REQ-1 and REQ-8); it is made by what goes out and does not age. What comes in
// without one is lost. Off forgets all mappings and blocks.
func (l *Line) NAT(on bool) { l.nat.set(on) }

// LoseMappings forgets all mappings, as a NAT does that restarts: what comes in for an old one is lost, and what goes
// out gets a port that was not in use before. Blocks stay.
func (l *Line) LoseMappings() { l.nat.forget() }

// Ports gives the node's source ports that have a mapping, in order.
func (l *Line) Ports() []uint16 { return l.nat.ports() }

// Block lets the mappings of these source ports of the node lose everything in both directions for good, as a stuck
// mapping of a DS-Lite line does: only another local port helps. It has an effect while the NAT is on.
func (l *Line) Block(ports ...uint16) { l.nat.block(ports) }
