//go:build !nobroker

package health

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The packets are those of the kernel's own ping: header, checksums and all. What answers is told from what does not.
func TestBesidePackets(t *testing.T) {
	for _, tt := range []struct{ own, to string }{{"fe80::2", "fe80::1"}, {"10.0.0.2", "10.0.0.1"}} {
		b := &Beside{own: netip.MustParseAddr(tt.own), to: netip.MustParseAddr(tt.to),
			cookie: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, seq: 7}
		p := b.packet(200)
		if len(p) != 200 {
			t.Errorf("%s: %d bytes", tt.to, len(p))
		}
		head, from, to, n := ipHeader6, 8, 24, 16
		if b.to.Is4() {
			head, from, to, n = ipHeader4, 12, 16, 4
			if checksum(p[:head]) != 0 {
				t.Errorf("%s: the header's checksum is %#x", tt.to, checksum(p[:head]))
			}
			if checksum(p[head:]) != 0 {
				t.Errorf("%s: the checksum is %#x", tt.to, checksum(p[head:]))
			}
		} else {
			pseudo := append(append([]byte{}, p[8:40]...), 0, 0, 0, byte(len(p)-head), 0, 0, 0, 58)
			if sum := checksum(append(pseudo, p[head:]...)); sum != 0 {
				t.Errorf("%s: the checksum is %#x", tt.to, sum)
			}
		}
		reply := bytes.Clone(p)
		copy(reply[from:], p[to:to+n])
		copy(reply[to:], p[from:from+n])
		if reply[head] = echoReply6; b.to.Is4() {
			reply[head] = echoReply4
		}
		change := func(f func(m []byte)) []byte {
			m := bytes.Clone(reply)
			f(m)
			return m
		}
		var pieces, second []byte
		if b.to.Is4() {
			pieces = change(func(m []byte) { m[6] = 0x20 })[:120]
			second = change(func(m []byte) { m[6], m[7] = 0, 10 })[:120]
		} else {
			fragment := []byte{58, 0, 0, 1, 0, 0, 0, 9}
			pieces = append(append(change(func(m []byte) { m[6] = 44 })[:head:head], fragment...), reply[head:120]...)
			second = bytes.Clone(pieces)
			binary.BigEndian.PutUint16(second[head+2:], 80)
		}
		got := map[string]bool{}
		for name, m := range map[string][]byte{
			"the answer": reply, "in pieces": pieces, "a later piece": second, "cut short": reply[:150],
			"the request": p, "nothing": nil,
			"from another":       change(func(m []byte) { m[from+n-1]++ }),
			"to another request": change(func(m []byte) { m[head+7]++ }),
			"of another program": change(func(m []byte) { m[head+8]++ }),
		} {
			got[name] = b.answers(m, 200)
		}
		want := map[string]bool{"the answer": true, "in pieces": true, "a later piece": false, "cut short": false,
			"the request": false, "nothing": false,
			"from another": false, "to another request": false, "of another program": false}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.to, diff)
		}
	}
}

func TestBesideWithoutDevice(t *testing.T) {
	if b, err := OpenBeside("no-such-device", netip.MustParseAddr("fe80::2"),
		netip.MustParseAddr("fe80::1")); err == nil {
		b.Close()
		t.Error("a device that is not there")
	}
}

// From a loopback without a listener at that address nothing comes back, and the end of the context is heeded.
func TestBesideEnds(t *testing.T) {
	b, err := OpenBeside("lo", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if q := b.Measure(ctx, 1400, time.Hour); q.Received != 0 || q.RTT != 0 || q.Largest != 0 {
		t.Errorf("%+v", q)
	}
}
