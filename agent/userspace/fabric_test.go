//go:build userspace

package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/mtu"
)

// patience ends a test that hangs; no test waits for it.
const patience = 30 * time.Second

// fakeFile stands in for /dev/net/tun. Nothing is buffered: what the device has taken is inside the device.
type fakeFile struct {
	in, out   chan []byte
	closed    chan struct{}
	closeOnce sync.Once
	bursts    bool // in is buffered: what is there comes at once
}

func (f *fakeFile) ReadBatch(bufs [][]byte, sizes []int, offset int) (int, error) {
	take := func(n int, b []byte) int {
		sizes[n] = copy(bufs[n][offset:offset+mtu.Userspace+1], b)
		return n + 1
	}
	var n int
	select {
	case b := <-f.in:
		n = take(0, b)
	case <-f.closed:
		return 0, os.ErrClosed
	}
	for f.bursts && n < len(bufs) {
		select {
		case b := <-f.in:
			n = take(n, b)
		default:
			return n, nil
		}
	}
	return n, nil
}

func (f *fakeFile) WriteBatch(bufs [][]byte, offset int) (int, error) {
	for i, b := range bufs {
		select {
		case f.out <- bytes.Clone(b[offset:]):
		case <-f.closed:
			return i, os.ErrClosed
		}
	}
	return len(bufs), nil
}

func (f *fakeFile) Close() error {
	f.closeOnce.Do(func() { close(f.closed) })
	return nil
}

// fabric joins the binds of a test by their addresses; what goes elsewhere is swallowed.
type fabric struct {
	mu    sync.Mutex
	binds map[netip.AddrPort]*fabricBind
}

type datagram struct {
	payload []byte
	from    netip.AddrPort
}

type fabricBind struct {
	bind
	fabric *fabric
	addr   netip.AddrPort
	recv   chan datagram
	up     bool // between Open and Close; the device closes before it opens
	closed chan struct{}
	seen   chan struct{} // one item per data datagram that the receiver took and let in or refused
	hold   chan struct{} // while open, data is not sent
}

func (b *fabricBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.up = true
	return []conn.ReceiveFunc{func(bufs [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		for {
			select {
			case d := <-b.recv:
				b.wait()
				buf := bufs[0][:bufferSize]
				n := copy(buf, d.payload)
				ok := b.admit(buf[:n])
				if isData(d.payload) {
					b.seen <- struct{}{}
				}
				if !ok {
					continue
				}
				sizes[0], eps[0] = n, &endpoint{d.from}
				return 1, nil
			case <-b.closed:
				return 0, net.ErrClosed
			}
		}
	}}, b.addr.Port(), nil
}

func isData(p []byte) bool {
	// Longer than a keepalive, which carries no packet.
	return len(p) > device.MessageKeepaliveSize && binary.LittleEndian.Uint32(p) == device.MessageTransportType
}

func (b *fabricBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	b.sending(1)
	b.sending(-1)
	b.fabric.mu.Lock()
	dst := b.fabric.binds[ep.(*endpoint).dst]
	b.fabric.mu.Unlock()
	for _, p := range bufs {
		if b.hold != nil && isData(p) {
			select {
			case <-b.hold:
			case <-b.closed:
			}
		}
		if dst == nil {
			continue
		}
		select {
		case dst.recv <- datagram{bytes.Clone(p), b.addr}:
		case <-dst.closed:
		case <-b.closed:
		}
	}
	return nil
}

func (b *fabricBind) SetMark(uint32) error { return nil }

func (b *fabricBind) Close() error {
	if b.up {
		b.up = false
		close(b.closed)
	}
	return nil
}

// node is a device in memory.
type node struct {
	t     *testing.T
	key   wgtypes.Key
	ip    netip.Addr
	file  *fakeFile
	bind  *fabricBind
	doors *doors
	dev   *device.Device
}

func newNode(t *testing.T, f *fabric, n int, l limits, hold chan struct{}) *node {
	t.Helper()
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	nd := &node{
		t:    t,
		key:  key,
		ip:   netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}),
		file: &fakeFile{in: make(chan []byte), out: make(chan []byte), closed: make(chan struct{})},
		bind: &fabricBind{
			fabric: f, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 51820),
			recv: make(chan datagram), closed: make(chan struct{}),
			seen: make(chan struct{}, 1<<16), hold: hold,
		},
	}
	nd.doors = newDoors(l)
	nd.bind.bind = *newBind(nd.doors, 0)
	f.mu.Lock()
	f.binds[nd.bind.addr] = nd.bind
	f.mu.Unlock()
	return nd
}

func (n *node) start() {
	n.t.Helper()
	var err error
	n.dev, err = newDevice(newTUNDevice(n.file, device.DiscardLogf), n.bind, n.doors, func(string, ...any) {})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(n.dev.Close)
	n.set(fmt.Sprintf("private_key=%x\n", n.key[:]))
	if err := n.dev.Up(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) set(conf string) {
	n.t.Helper()
	if err := n.dev.IpcSet(conf); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) addPeer(key wgtypes.Key, addr netip.AddrPort, ip netip.Addr) {
	n.t.Helper()
	n.set(fmt.Sprintf("public_key=%x\nendpoint=%s\nallowed_ip=%s/32\n", key[:], addr, ip))
}

// packet is an IPv4 packet of size bytes with a serial number.
func packet(src, dst netip.Addr, size, serial int) []byte {
	p := make([]byte, size)
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(size))
	s, d := src.As4(), dst.As4()
	copy(p[12:], s[:])
	copy(p[16:], d[:])
	binary.BigEndian.PutUint32(p[20:], uint32(serial))
	return p
}

func (n *node) send(p []byte) {
	n.t.Helper()
	within(n.t, "the device to read a packet from the tun", func(end <-chan time.Time) bool {
		select {
		case n.file.in <- p:
			return true
		case <-end:
			return false
		}
	})
}

func (n *node) receive() (serial int) {
	n.t.Helper()
	within(n.t, "a packet on the tun", func(end <-chan time.Time) bool {
		select {
		case p := <-n.file.out:
			serial = int(binary.BigEndian.Uint32(p[20:]))
			return true
		case <-end:
			return false
		}
	})
	return serial
}

func within(t *testing.T, what string, f func(end <-chan time.Time) bool) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	if !f(timer.C) {
		t.Fatalf("waited in vain for %s", what)
	}
}

// pair returns two nodes with a session.
func pair(t *testing.T, la, lb limits, hold chan struct{}) (*fabric, *node, *node) {
	t.Helper()
	f := &fabric{binds: make(map[netip.AddrPort]*fabricBind)}
	a, b := newNode(t, f, 1, la, nil), newNode(t, f, 2, lb, nil)
	a.bind.hold = hold
	a.start()
	b.start()
	a.addPeer(b.key.PublicKey(), b.bind.addr, b.ip)
	b.addPeer(a.key.PublicKey(), a.bind.addr, a.ip)
	b.send(packet(b.ip, a.ip, 100, 4711))
	if got := a.receive(); got != 4711 {
		t.Fatalf("first packet has serial %d", got)
	}
	<-a.bind.seen
	return f, a, b
}

var wide = limits{out: 1 << 20, in: 1 << 20, batch: maxBatch}

// bound fails when more packet buffers are out than the limits allow, with room for the readers and for keepalives.
func (n *node) bound() {
	n.t.Helper()
	slack := 3*n.doors.batch + 4
	if got, limit := n.doors.buffers.taken(), n.doors.out+n.doors.in+slack; got > limit {
		n.t.Errorf("%d packet buffers taken, want at most %d", got, limit)
	}
}

// leakCheck fails the test when goroutines are left after its cleanup. It comes first in a test.
func leakCheck(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}
