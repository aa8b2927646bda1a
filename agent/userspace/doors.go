//go:build userspace

package userspace

import (
	"encoding/binary"
	"reflect"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

const (
	// bufferSize is the memory of one packet buffer in bytes: header, a packet of mtu.Userspace, padding,
	// authenticator.
	bufferSize      = 2048
	poly1305TagSize = 16

	// maxHandshakes bounds the handshake messages that wait for their turn. It must stay above 128
	// (device.QueueHandshakeSize/8), where the device begins to answer with cookies.
	maxHandshakes = 192

	// maxWindow is how many packets from the tun may be on their way at most: a few milliseconds of a fast line. More
	// only wait, and would do so better in the kernel's queue.
	maxWindow = 256

	// maxBatch is how many packets go through one call at most: a run of the largest ones is below the 65507 bytes of a
	// UDP datagram, as which it is handed to the kernel.
	maxBatch = 32
)

const (
	// outboundPatience is how long the tun waits, while nothing is sent, before it takes the packets inside for stuck.
	// A slow line is not such a case: a packet that it has no room for waits in a call that sends.
	outboundPatience = 50 * time.Millisecond

	// inboundPatience is how long a socket waits for a place. It is short: what comes in never waits for another node.
	inboundPatience = 5 * time.Millisecond
)

// limits are the numbers of packets that may be inside the device at once, per direction.
type limits struct {
	out   int // from the tun: waiting for a session, for encryption or for the socket
	in    int // from the network: waiting for decryption or for the tun
	batch int // packets of one call; each reader (the tun, two sockets) holds as many buffers
	queue int // what the kernel keeps of packets from the tun while there is no room
}

// limitsFor sizes the limits for a machine with memTotal bytes of RAM: a sixty-fourth of it for both directions.
// The lower end leaves room for the queues of two peers without a session (device.QueueStagedSize, 128 each) beside the
// traffic of the others; the upper end is more than a queue is good for.
func limitsFor(memTotal uint64) limits {
	const minPackets, maxPackets = 768, 4096
	n := int(min(max(memTotal/64/bufferSize, minPackets), maxPackets))
	l := limits{out: n / 2, in: n / 2, batch: min(n/96, maxBatch)}
	// Less than what a tun has by itself would lose more, in the kernel's memory instead of ours.
	const tunQueue = 500 // TUN_READQ_SIZE in Linux, drivers/net/tun.c
	l.queue = max(l.out-l.window(), tunQueue)
	return l
}

// window is how many packets from the tun may be on their way.
func (l limits) window() int { return min(l.out/2, maxWindow) }

// socketMemory sizes what a socket may hold for us in the kernel, in bytes, while others have the processor: 128 KiB on
// a router with 64 MiB.
func socketMemory(memTotal uint64) int {
	return int(min(memTotal/512, 2<<20))
}

// doors bound the memory of a device. wireguard-go takes packet buffers of 64 KiB from pools without a limit. Its own
// limit, where it is compiled in (WaitPool.max), makes the taker wait, and the takers include those that would give
// buffers back: with a few unanswered peers' queues full, receiving stops for all. So we only let the pools count, and
// watch the places where packets enter, which are ours: tunDevice.Read and the sockets' receivers. These wait while the
// device is busy, so that further packets stay in the kernel's queues, and drop when it is stuck.
type doors struct {
	limits
	placed   chan struct{} // closed when the pools count
	buffers  pool          // all packet buffers
	inbound  pool          // one per data packet from the network
	outbound pool          // one per packet from the tun, per keepalive, and per buffer of the tun's reader

	sending atomic.Int32  // calls that send to the network
	sent    chan struct{} // there was such a call
	written chan struct{} // packets went to the tun
	stuck   int           // outbound packets that wait for a session; the tun's reader only
	trim    trimmer

	newBuffer func() any
}

func newDoors(l limits) *doors {
	l.batch = max(l.batch, 1)
	return &doors{
		limits: l, placed: make(chan struct{}), newBuffer: newBuffer,
		sent: make(chan struct{}, 1), written: make(chan struct{}, 1), trim: trimmer{free: freeMemory},
	}
}

// newDevice starts a device whose memory d bounds. It takes t over, also when it fails.
func newDevice(t *tunDevice, b conn.Bind, d *doors, errorf func(string, ...any)) (*device.Device, error) {
	t.doors = d
	dev := device.NewDevice(t, b, &device.Logger{Verbosef: device.DiscardLogf, Errorf: errorf})
	err := d.place(reflect.ValueOf(dev).Elem().FieldByName("pool"))
	if err != nil {
		t.Close()
	}
	// Only now may the device take its first buffer: in its reader, or when an event brings it up.
	close(d.placed)
	t.watch()
	if err != nil {
		dev.Close()
		return nil, err
	}
	return dev, nil
}

// outboundInside returns how many packets from the tun are inside, without the buffers that its reader holds.
func (d *doors) outboundInside() int {
	return d.outbound.taken() - d.batch
}

// waitOutbound waits until packets may come in from the tun, and returns how many; 0 means that the next one is to be
// dropped. Only the tun's reader calls it.
//
// Packets inside are on their way, or they wait for a session, up to 90 s. Those on their way have a window.
// When that is reached and nothing is sent for outboundPatience, all that is inside counts as waiting for a session
// until there is less of it. When that reaches the limit, further packets are dropped.
func (d *doors) waitOutbound() int {
	window := d.window()
	for full := false; ; {
		inside := d.outboundInside()
		d.stuck = min(d.stuck, inside)
		moving := inside - d.stuck
		if inside > d.batch {
			d.trim.touch()
		}
		switch {
		case inside < d.out && (moving < window*3/4 || !full && moving < window):
			// A queue of a peer without a session is counted in batches. In the upper half a batch is one packet, and
			// pushes a larger one out of such a queue, so that one peer cannot keep the whole room.
			if inside >= d.out/2 {
				return 1
			}
			return min(d.batch, d.out-inside)
		case moving <= 0:
			return 0
		}
		full = true
		if !await(d.sent, outboundPatience) && d.sending.Load() == 0 {
			d.stuck = d.outboundInside()
		}
	}
}

// send notes that a call that sends to the network begins (1) or has ended (-1).
func (d *doors) send(n int32) {
	d.sending.Add(n)
	moved(d.sent)
}

// waitInbound waits a short time for a place for data from the network.
func (d *doors) waitInbound() {
	for {
		inside := d.inbound.taken()
		if inside > d.batch {
			d.trim.touch()
		}
		if inside < d.in || !await(d.written, inboundPatience) {
			return
		}
	}
}

// await returns whether moved came before patience was over.
func await(moved <-chan struct{}, patience time.Duration) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-moved:
		return true
	case <-t.C:
		return false
	}
}

// moved tells a door that waits that there may be room.
func moved(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// admitInbound tells whether a datagram may come in from the network. Data and handshake messages are counted apart, so
// that neither a flood of data nor one of handshakes keeps the other out.
func (d *doors) admitInbound(packet []byte) bool {
	if len(packet) < device.MinMessageSize {
		return false
	}
	if binary.LittleEndian.Uint32(packet) == device.MessageTransportType {
		return d.inbound.taken() < d.in
	}
	const sockets = 2
	return d.buffers.taken()-d.inbound.taken()-d.outbound.taken() < maxHandshakes+sockets*d.batch
}
