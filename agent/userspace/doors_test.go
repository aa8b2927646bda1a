//go:build userspace

package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/mtu"
)

func TestOutboundBound(t *testing.T) {
	leakCheck(t)
	hold := make(chan struct{})
	_, a, b := pair(t, limits{out: 300, in: 300, batch: 8}, wide, hold)
	const flood = 3000
	for i := range flood {
		a.send(packet(a.ip, b.ip, 1000, i))
	}
	a.send(nil) // taken: the device is done with the one before
	a.bound()
	if got := a.doors.outboundInside(); got < 300 || got > 302 {
		t.Errorf("%d packets inside with a stuck socket, want the limit of 300", got)
	}
	close(hold)
	for i := range 299 {
		if got := b.receive(); got != i {
			t.Fatalf("packet %d has serial %d", i, got)
		}
	}
	// The door is open again.
	for {
		a.send(packet(a.ip, b.ip, 1000, flood))
		if b.receive() == flood {
			break
		}
	}
}

func TestInboundBound(t *testing.T) {
	leakCheck(t)
	_, a, b := pair(t, limits{out: 300, in: 300, batch: 8}, wide, nil)
	const flood = 3000
	for i := range flood {
		b.send(packet(b.ip, a.ip, 1000, i))
	}
	for range flood {
		<-a.bind.seen
	}
	a.bound()
	if got := a.doors.inbound.taken(); got < 299 || got > 301 {
		t.Errorf("%d packets inside with a stuck tun, want the limit of 300", got)
	}
	for i := range 300 {
		if got := a.receive(); got != i {
			t.Fatalf("packet %d has serial %d", i, got)
		}
	}
	b.send(packet(b.ip, a.ip, 1000, flood))
	if got := a.receive(); got != flood {
		t.Errorf("after the flood came serial %d, want %d", got, flood)
	}
}

// A WaitPool with a max would stop here for good: the queues of peers without an answer hold every buffer, and neither
// the receivers nor the handshake workers get one.
func TestSilentPeers(t *testing.T) {
	tests := []struct {
		name   string
		silent int
		reply  bool // there is room left for packets out
	}{
		{name: "two fill their queues", silent: 2, reply: true},
		{name: "ten want more than there is", silent: 10, reply: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leakCheck(t)
			f := &fabric{binds: make(map[netip.AddrPort]*fabricBind)}
			a := newNode(t, f, 1, limitsFor(0), nil)
			a.start()
			for i := range tt.silent {
				k, err := wgtypes.GeneratePrivateKey()
				if err != nil {
					t.Fatal(err)
				}
				ip := netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
				a.addPeer(k.PublicKey(), netip.AddrPortFrom(ip, 1), ip)
				for j := range 3 * device.QueueStagedSize {
					a.send(packet(a.ip, ip, 1000, j))
				}
			}
			a.send(nil)
			a.bound()
			if got, want := a.doors.outboundInside(), min(tt.silent*device.QueueStagedSize, a.doors.out); got < want ||
				got > want+2 {
				t.Fatalf("%d packets wait for a session, want %d", got, want)
			}

			b := newNode(t, f, 2, wide, nil)
			b.start()
			a.addPeer(b.key.PublicKey(), b.bind.addr, b.ip)
			b.addPeer(a.key.PublicKey(), a.bind.addr, a.ip)
			for i := range 1000 {
				b.send(packet(b.ip, a.ip, 1000, i))
				if got := a.receive(); got != i {
					t.Fatalf("packet %d has serial %d", i, got)
				}
			}
			if tt.reply {
				for i := range 1000 {
					a.send(packet(a.ip, b.ip, 1000, i))
					if got := b.receive(); got != i {
						t.Fatalf("reply %d has serial %d", i, got)
					}
				}
			}
			a.bound()
		})
	}
}

// A keepalive must not wait for a buffer either: it is sent by the worker that completes a handshake.
func TestKeepaliveWhenFull(t *testing.T) {
	leakCheck(t)
	_, a, b := pair(t, limits{out: 0, in: 300}, wide, nil)
	a.send(packet(a.ip, b.ip, 100, 1)) // refused
	a.send(nil)
	f := a.bind.fabric
	c := newNode(t, f, 3, wide, nil)
	c.start()
	// c has a packet but does not know where a is; a's initiation, and the keepalive that confirms it, let it go.
	pub := a.key.PublicKey()
	c.set(fmt.Sprintf("public_key=%x\nallowed_ip=%s/32\n", pub[:], a.ip))
	c.send(packet(c.ip, a.ip, 100, 2))
	c.send(nil)
	pub = c.key.PublicKey()
	a.set(fmt.Sprintf("public_key=%x\nendpoint=%s\nallowed_ip=%s/32\npersistent_keepalive_interval=25\n",
		pub[:], c.bind.addr, c.ip))
	if got := a.receive(); got != 2 {
		t.Errorf("got serial %d, want 2", got)
	}
}

func TestHandshakesAndDataApart(t *testing.T) {
	msg := func(kind uint32, size int) []byte {
		p := make([]byte, size)
		binary.LittleEndian.PutUint32(p, kind)
		return p
	}
	const batch, idle = 4, 3 * 4 // the readers of the tun and of two sockets
	data, hello := msg(device.MessageTransportType, 100),
		msg(device.MessageInitiationType, device.MessageInitiationSize)
	set := func(n uint32) pool { return pool{new(sync.Mutex), &n} }
	tests := []struct {
		name                    string
		buffers, inbound        uint32
		wantData, wantHandshake bool
	}{
		{name: "idle", buffers: idle, wantData: true, wantHandshake: true},
		{name: "data full", buffers: idle + 10, inbound: 10, wantHandshake: true},
		{name: "handshakes full", buffers: idle + maxHandshakes, wantData: true},
		{name: "both full", buffers: idle + maxHandshakes + 10, inbound: 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoors(limits{out: 10, in: 10, batch: batch})
			d.buffers, d.inbound, d.outbound = set(tt.buffers), set(tt.inbound), set(batch)
			if got := d.admitInbound(data); got != tt.wantData {
				t.Errorf("data admitted: %v, want %v", got, tt.wantData)
			}
			if got := d.admitInbound(hello); got != tt.wantHandshake {
				t.Errorf("handshake admitted: %v, want %v", got, tt.wantHandshake)
			}
			if d.admitInbound([]byte{4, 0, 0}) {
				t.Error("a datagram of 3 bytes is admitted")
			}
		})
	}
}

// TestBufferEnd runs packets of every size near the largest and checks that nothing touches what is not there.
func TestBufferEnd(t *testing.T) {
	leakCheck(t)
	const guard = 256
	var mu sync.Mutex
	var all []*[bufferSize + guard]byte
	guarded := func() any {
		b := new([bufferSize + guard]byte)
		for i := range guard {
			b[bufferSize+i] = 0xa5
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, b)
		return (*[device.MaxMessageSize]byte)(unsafe.Pointer(b))
	}
	f := &fabric{binds: make(map[netip.AddrPort]*fabricBind)}
	a, b := newNode(t, f, 1, wide, nil), newNode(t, f, 2, wide, nil)
	a.doors.newBuffer, b.doors.newBuffer = guarded, guarded
	a.start()
	b.start()
	a.addPeer(b.key.PublicKey(), b.bind.addr, b.ip)
	b.addPeer(a.key.PublicKey(), a.bind.addr, a.ip)
	for size := mtu.Userspace - 40; size <= mtu.Userspace+40; size++ {
		a.send(packet(a.ip, b.ip, size, size))
		if size <= mtu.Userspace {
			if got := b.receive(); got != size {
				t.Fatalf("packet of %d bytes came as %d", size, got)
			}
		}
	}
	// A datagram from the network that is larger than a buffer.
	huge := make([]byte, 60000)
	binary.LittleEndian.PutUint32(huge, device.MessageTransportType)
	b.bind.recv <- datagram{huge, a.bind.addr}
	a.send(packet(a.ip, b.ip, 100, 1))
	if got := b.receive(); got != 1 {
		t.Errorf("after too large packets came serial %d, want 1", got)
	}
	mu.Lock()
	defer mu.Unlock()
	want := bytes.Repeat([]byte{0xa5}, guard)
	for i, b := range all {
		if !bytes.Equal(b[bufferSize:], want) {
			t.Errorf("buffer %d of %d was written beyond its end", i, len(all))
		}
	}
}

// The device's own buffers have 64 KiB.
func TestBufferSize(t *testing.T) {
	leakCheck(t)
	a := newNode(t, &fabric{binds: make(map[netip.AddrPort]*fabricBind)}, 1, limitsFor(0), nil)
	a.start()
	const n = 500
	taken := make([]*[device.MaxMessageSize]byte, n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range taken {
		taken[i] = a.dev.GetMessageBuffer()
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / n; got > 2*bufferSize {
		t.Errorf("a buffer costs %d bytes, want about %d", got, bufferSize)
	}
	for _, b := range taken {
		a.dev.PutMessageBuffer(b)
	}
}

func TestLimits(t *testing.T) {
	tests := []struct {
		mib    uint64
		want   int // per direction
		batch  int
		queue  int
		memory int // KiB of a socket
	}{
		{0, 384, 8, 500, 0}, {64, 384, 8, 500, 128}, {128, 512, 10, 500, 256}, {256, 1024, 21, 768, 512},
		{512, 2048, 32, 1792, 1024}, {1 << 14, 2048, 32, 1792, 2048},
	}
	for _, tt := range tests {
		if got, want := limitsFor(tt.mib<<20), (limits{tt.want, tt.want, tt.batch, tt.queue}); got != want {
			t.Errorf("%d MiB: %+v, want %+v", tt.mib, got, want)
		}
		if got := socketMemory(tt.mib << 20); got != tt.memory<<10 {
			t.Errorf("%d MiB: %d bytes for a socket, want %d KiB", tt.mib, got, tt.memory)
		}
	}
}
