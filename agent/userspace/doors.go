//go:build userspace

package userspace

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"sync"
	"unsafe"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

const (
	// bufferSize is the memory of one packet buffer in bytes: header, a packet of MaxMTU, padding, authenticator.
	bufferSize      = 2048
	poly1305TagSize = 16

	// maxHandshakes bounds the handshake messages that wait for their turn. It must stay above 128
	// (device.QueueHandshakeSize/8), where the device begins to answer with cookies.
	maxHandshakes = 192

	// idleBuffers are held by the device's readers (two sockets and the tun), waiting for a packet.
	idleBuffers = 3
)

// limits are the numbers of packets that may be inside the device at once, per direction.
type limits struct {
	out int // from the tun: waiting for a session, for encryption or for the socket
	in  int // from the network: waiting for decryption or for the tun
}

// limitsFor sizes the limits for a machine with memTotal bytes of RAM: a sixty-fourth of it for both directions.
// The lower end leaves room for the queues of two peers without a session (device.QueueStagedSize, 128 each) beside the
// traffic of the others; the upper end is more than a queue is good for.
func limitsFor(memTotal uint64) limits {
	const minPackets, maxPackets = 768, 4096
	n := min(max(memTotal/64/bufferSize, minPackets), maxPackets)
	return limits{out: int(n / 2), in: int(n / 2)}
}

// doors bound the memory of a device. wireguard-go takes packet buffers of 64 KiB from pools without a limit. Its own
// limit, where it is compiled in (WaitPool.max), makes the taker wait, and the takers include those that would give
// buffers back: with a few unanswered peers' queues full, receiving stops for all. So we only let the pools count, and
// keep packets out at the two places where they enter, which are both ours: tunDevice.Read and bind's receivers.
type doors struct {
	limits
	placed   chan struct{} // closed when the pools count
	buffers  pool          // all packet buffers
	inbound  pool          // one per data packet from the network
	outbound pool          // one per packet from the tun, and per keepalive

	newBuffer func() any
}

func newDoors(l limits) *doors {
	return &doors{limits: l, placed: make(chan struct{}), newBuffer: newBuffer}
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

// place makes the pools of a device (its field "pool") count, and its buffers small.
func (d *doors) place(pools reflect.Value) error {
	if !pools.IsValid() || pools.Kind() != reflect.Struct {
		return errLayout("Device.pool")
	}
	for _, p := range []struct {
		name string
		dst  *pool
	}{
		{"messageBuffers", &d.buffers},
		{"inboundElements", &d.inbound},
		{"outboundElements", &d.outbound},
	} {
		f := pools.FieldByName(p.name)
		if !f.IsValid() || f.Type() != reflect.TypeFor[*device.WaitPool]() || f.IsNil() {
			return errLayout("Device.pool." + p.name)
		}
		w := (*device.WaitPool)(f.UnsafePointer())
		var err error
		if *p.dst, err = counting(w); err != nil {
			return err
		}
		if p.dst == &d.buffers {
			if err := setNew(w, d.newBuffer); err != nil {
				return err
			}
		}
	}
	return nil
}

// admitOutbound tells whether one more packet may come in from the tun.
func (d *doors) admitOutbound() bool {
	return d.outbound.taken() < d.out
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
	return d.buffers.taken()-d.inbound.taken()-d.outbound.taken() < maxHandshakes+idleBuffers
}

// The buffer holds whatever the encryption makes of the largest packet.
const _ uint = bufferSize - (device.MessageTransportHeaderSize + MaxMTU + device.PaddingMultiple - 1 + poly1305TagSize)

// newBuffer returns a packet buffer with the type that the device wants, [65535]byte, of which only the first bufferSize
// bytes exist. That is sound as long as nobody reads or writes beyond them, and only three places fill a buffer: our
// Read and our receivers, which cut it to size, and the encryption, which adds up to 47 bytes to what Read gave (the
// padding is not aligned for a packet above the present MTU). A real one would cost 64 KiB, all of it touched when the garbage collector has turned it over once.
//
//go:nocheckptr
func newBuffer() any {
	return (*[device.MaxMessageSize]byte)(unsafe.Pointer(new([bufferSize]byte)))
}

// pool is the counter of a device.WaitPool.
type pool struct {
	lock  *sync.Mutex
	count *uint32
}

// counting lets w count what is taken and not yet given back. A WaitPool counts when its max is not zero; ours is never
// reached, so that nobody waits.
func counting(w *device.WaitPool) (pool, error) {
	v := reflect.ValueOf(w).Elem()
	limit, count, lock := v.FieldByName("max"), v.FieldByName("count"), v.FieldByName("lock")
	for name, f := range map[string]reflect.Value{"max": limit, "count": count} {
		if !f.IsValid() || f.Kind() != reflect.Uint32 {
			return pool{}, errLayout("WaitPool." + name)
		}
	}
	if !lock.IsValid() || lock.Type() != reflect.TypeFor[sync.Mutex]() {
		return pool{}, errLayout("WaitPool.lock")
	}
	p := pool{(*sync.Mutex)(unsafe.Pointer(lock.UnsafeAddr())), (*uint32)(unsafe.Pointer(count.UnsafeAddr()))}
	p.lock.Lock()
	defer p.lock.Unlock()
	*(*uint32)(unsafe.Pointer(limit.UnsafeAddr())) = math.MaxUint32
	return p, nil
}

// setNew makes w create its items with f.
func setNew(w *device.WaitPool, f func() any) error {
	v := reflect.ValueOf(w).Elem().FieldByName("pool")
	if !v.IsValid() || v.Type() != reflect.TypeFor[sync.Pool]() {
		return errLayout("WaitPool.pool")
	}
	(*sync.Pool)(unsafe.Pointer(v.UnsafeAddr())).New = f
	return nil
}

func (p pool) taken() int {
	p.lock.Lock()
	defer p.lock.Unlock()
	return int(*p.count)
}

func errLayout(field string) error {
	return fmt.Errorf("%s of golang.zx2c4.com/wireguard/device is not what it was: memory cannot be bounded, build with the version in go.mod", field)
}
