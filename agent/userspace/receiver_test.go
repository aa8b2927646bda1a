//go:build userspace

package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

func TestRun(t *testing.T) {
	tests := []struct {
		sizes []int
		want  int
	}{
		{[]int{100}, 1},
		{[]int{100, 100, 100}, 3},
		{[]int{100, 100, 50, 100}, 3},
		{[]int{100, 101}, 1},
		{[]int{100, 50, 50}, 2},
		{[]int{40000, 25507}, 2},
		{[]int{40000, 25508}, 1},
	}
	many := make([]int, 70)
	for i := range many {
		many[i] = 32
	}
	tests = append(tests, struct {
		sizes []int
		want  int
	}{many, maxSegments})
	for _, tt := range tests {
		var packets [][]byte
		for _, n := range tt.sizes {
			packets = append(packets, make([]byte, n))
		}
		if got := run(packets); got != tt.want {
			t.Errorf("%v: a run of %d, want %d", tt.sizes, got, tt.want)
		}
	}
}

// gather reads until it has n datagrams.
func gather(t *testing.T, fn conn.ReceiveFunc, n, batch int) (got [][]byte, calls int) {
	t.Helper()
	bufs, sizes, eps := make([][]byte, batch), make([]int, batch), make([]conn.Endpoint, batch)
	for i := range bufs {
		bufs[i] = make([]byte, bufferSize)
	}
	for len(got) < n {
		k, err := fn(bufs, sizes, eps)
		if err != nil {
			t.Fatal(err)
		}
		calls++
		for i := range k {
			if eps[i] == nil || !eps[i].DstIP().IsLoopback() {
				t.Fatalf("datagram %d is from %v", len(got), eps[i])
			}
			got = append(got, bytes.Clone(bufs[i][:sizes[i]]))
		}
	}
	return got, calls
}

// Packets of mixed sizes arrive whole and in order, with the kernel's help and without any.
func TestSegments(t *testing.T) {
	var packets [][]byte
	for i, size := range []int{1400, 1400, 1400, 900, 32, 1400, 1400, 1984, 1984, 1984, 64, 64, 64, 64, 1500} {
		packets = append(packets, bytes.Repeat([]byte{byte('a' + i)}, size))
	}
	for _, tt := range []struct {
		name             string
		segments, joined bool
	}{
		{"both", true, true}, {"only segments", true, false}, {"only joined", false, true}, {"neither", false, false},
	} {
		for _, addr := range []string{"127.0.0.1", "::1"} {
			t.Run(fmt.Sprintf("%s, %s", tt.name, addr), func(t *testing.T) {
				n := newNamespace(t)
				n.loopback()
				b := &bind{batch: 4, wait: func() {}, sending: func(int32) {},
					admit: func(p []byte) bool { return p[0] != 'b' }}
				var port uint16
				n.do(func() (err error) {
					_, port, err = b.Open(0)
					return err
				})
				defer b.Close()
				s := b.v4
				if addr == "::1" {
					s = b.v6
				}
				if got, want := s.segments.Load(), kernelSince(t, 4, 18); got != want {
					t.Errorf("the kernel is said to take segments: %v, want %v", got, want)
				}
				s.segments.Store(tt.segments)
				r := newReceiver(s, b.wait, b.admit)
				able := kernelSince(t, 5, 12)
				if got := r.stream != nil; got != able {
					t.Errorf("the kernel is said to join datagrams: %v, want %v", got, able)
				}
				if !tt.joined {
					r.single()
				}
				ep, err := b.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr(addr), port).String())
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Send(packets, ep); err != nil {
					t.Fatal(err)
				}
				got, calls := gather(t, r.receive, len(packets)-1, b.batch)
				for i, p := range append([][]byte{packets[0]}, packets[2:]...) {
					if !bytes.Equal(got[i], p) {
						t.Errorf("datagram %d is %d times %q, want %d times %q", i, len(got[i]), got[i][:1], len(p),
							p[:1])
					}
				}
				if able && tt.segments && tt.joined && calls >= len(got) {
					t.Errorf("%d datagrams in %d calls: none were joined", len(got), calls)
				}
			})
		}
	}
}

// What is larger than the path takes is fragmented.
func TestSegmentsLargerThanPath(t *testing.T) {
	n := newNamespace(t)
	n.up("lo", "127.0.0.1/8")
	n.do(func() error {
		l, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, 1280)
	})
	b := &bind{batch: 4, wait: func() {}, sending: func(int32) {}, admit: func([]byte) bool { return true }}
	var port uint16
	var fns []conn.ReceiveFunc
	n.do(func() (err error) {
		fns, port, err = b.Open(0)
		return err
	})
	defer b.Close()
	ep, err := b.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	packets := [][]byte{bytes.Repeat([]byte{'a'}, 1400), bytes.Repeat([]byte{'b'}, 1400)}
	if err := b.Send(packets, ep); err != nil {
		t.Fatal(err)
	}
	got, _ := gather(t, fns[0], len(packets), 4)
	for i, p := range packets {
		if !bytes.Equal(got[i], p) {
			t.Errorf("datagram %d has %d bytes, want %d", i, len(got[i]), len(p))
		}
	}
}

func TestSegmentSize(t *testing.T) {
	control := func(level, kind int32, data ...byte) []byte {
		b := make([]byte, unix.CmsgSpace(len(data)))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		h.Level, h.Type = level, kind
		h.SetLen(unix.CmsgLen(len(data)))
		copy(b[unix.CmsgLen(0):], data)
		return b
	}
	size := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	tests := []struct {
		name string
		in   []byte
		want int
	}{
		{name: "none"},
		{name: "joined", in: control(unix.SOL_UDP, unix.UDP_GRO, size(1452)...), want: 1452},
		{name: "another", in: control(unix.SOL_SOCKET, unix.UDP_GRO, size(1452)...)},
		{name: "short", in: control(unix.SOL_UDP, unix.UDP_GRO, 1, 2)},
		{name: "negative", in: control(unix.SOL_UDP, unix.UDP_GRO, size(1<<31)...), want: -1 << 31},
		{name: "cut", in: control(unix.SOL_UDP, unix.UDP_GRO, size(7)...)[:5]},
	}
	for _, tt := range tests {
		if got := segmentSize(tt.in); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
