//go:build !nobroker

package health

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// Beside exchanges echo requests with one address through a WireGuard device, beside the IP stack: by a packet socket
// (packet(7)), so that neither an address nor a route is needed on the device, and what else comes by it goes nowhere.
// It is not safe for concurrent use.
type Beside struct {
	file   *os.File
	own    netip.Addr
	to     netip.Addr
	cookie [8]byte
	seq    uint16
	buf    []byte
}

// OpenBeside opens the socket. own is the address that requests come from, of the family of to. The error is for a
// device that does not exist, or a missing CAP_NET_RAW.
func OpenBeside(device string, own, to netip.Addr) (*Beside, error) {
	index, err := netlink.Index(device)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", device, err)
	}
	protocol := uint16(unix.ETH_P_IPV6)
	if to.Is4() {
		protocol = unix.ETH_P_IP
	}
	var wire [2]byte
	binary.BigEndian.PutUint16(wire[:], protocol)
	number := binary.NativeEndian.Uint16(wire[:])
	// Without a protocol at first: nothing comes in before it is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket (needs CAP_NET_RAW): %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: number, Ifindex: index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind a packet socket to %s: %w", device, err)
	}
	b := &Beside{file: os.NewFile(uintptr(fd), device), own: own, to: to, buf: make([]byte, 65536)}
	rand.Read(b.cookie[:])
	return b, nil
}

// Close closes the socket.
func (b *Beside) Close() { b.file.Close() }

// Ask sends a request of size bytes, IP header included, and waits for its answer at most so long. ok is false when
// none has come, and also for a size that the device does not take.
func (b *Beside) Ask(ctx context.Context, size int, within time.Duration) (rtt time.Duration, ok bool) {
	b.seq++
	sent := time.Now()
	until := sent.Add(within)
	if end, has := ctx.Deadline(); has && end.Before(until) {
		until = end
	}
	if ctx.Err() != nil || b.file.SetDeadline(until) != nil {
		return 0, false
	}
	if _, err := b.file.Write(b.packet(size)); err != nil {
		return 0, false
	}
	for {
		n, err := b.file.Read(b.buf)
		if err != nil {
			return 0, false
		}
		if b.answers(b.buf[:n], size) {
			return time.Since(sent), true
		}
	}
}

// Smallest is the size of the smallest request in bytes.
func (b *Beside) Smallest() int { return b.header() + minMessage }

func (b *Beside) header() int {
	if b.to.Is4() {
		return ipHeader4
	}
	return ipHeader6
}

// packet is an echo request with its IP header (RFC 791, RFC 8200).
func (b *Beside) packet(size int) []byte {
	head := b.header()
	p := make([]byte, head, size)
	m := request(b.cookie, b.to.Is6(), b.seq, size-head)
	if b.to.Is4() {
		p[0], p[6], p[8], p[9] = 0x45, 0x40, 64, unix.IPPROTO_ICMP // do not cut it
		binary.BigEndian.PutUint16(p[2:], uint16(size))
		copy(p[12:], b.own.AsSlice())
		copy(p[16:], b.to.AsSlice())
		binary.BigEndian.PutUint16(p[10:], checksum(p))
		return append(p, m...)
	}
	p[0], p[6], p[7] = 0x60, unix.IPPROTO_ICMPV6, 64
	binary.BigEndian.PutUint16(p[4:], uint16(len(m)))
	copy(p[8:], b.own.AsSlice())
	copy(p[24:], b.to.AsSlice())
	// The checksum covers a pseudo header (RFC 8200, section 8.1).
	pseudo := append(make([]byte, 0, size), p[8:40]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(m)))
	pseudo = append(append(pseudo, 0, 0, 0, unix.IPPROTO_ICMPV6), m...)
	binary.BigEndian.PutUint16(m[2:], checksum(pseudo))
	return append(p, m...)
}

// answers tells whether a packet is the answer to the latest request. An answer that was cut short is none. One that
// comes in pieces counts with its first piece: the way back may be narrower, and the request has passed.
func (b *Beside) answers(p []byte, size int) bool {
	head, from, reply, pieces := ipHeader6, 8, byte(echoReply6), false
	if b.to.Is4() {
		head, from, reply = ipHeader4, 12, echoReply4
	}
	if len(p) < head+minMessage {
		return false
	}
	source, _ := netip.AddrFromSlice(p[from : from+len(b.to.AsSlice())])
	switch {
	case b.to.Is4():
		pieces = p[6]&0x20 != 0 && p[6]&0x1f == 0 && p[7] == 0 // more follow, and none came before (RFC 791)
	case p[6] == unix.IPPROTO_FRAGMENT:
		const fragment = 8 // bytes of its header (RFC 8200, section 4.5)
		pieces = p[head+2] == 0 && p[head+3]&^7 == 0
		if head += fragment; len(p) < head+minMessage {
			return false
		}
	}
	m := p[head:]
	return (pieces || len(p) == size) && source == b.to && m[0] == reply && string(m[8:16]) == string(b.cookie[:]) &&
		binary.BigEndian.Uint16(m[6:8]) == b.seq
}

// Quality is how well an address answers.
type Quality struct {
	Sent, Received int
	RTT            time.Duration // the least
	Largest        int           // bytes of the largest packet that was answered; 0 when none was
}

// How Measure asks.
const (
	qualityProbes = 10
	qualityGap    = 100 * time.Millisecond // between two of them, where answers come fast
	// of one size: a line that loses 30 % each way loses all of them once in 60 times
	qualityTries = 6
)

// Measure looks how well the other side answers, and which sizes up to most, in bytes, pass. It waits up to patience
// for the first answer, as a gateway may need a while to learn of a handshake.
func (b *Beside) Measure(ctx context.Context, most int, patience time.Duration) (q Quality) {
	small := b.Smallest()
	end := time.Now().Add(patience)
	for ctx.Err() == nil && q.RTT == 0 && time.Now().Before(end) {
		if rtt, ok := b.Ask(ctx, small, min(time.Second, time.Until(end))); ok {
			q.RTT = rtt
		}
	}
	if q.RTT == 0 {
		q.Sent = 1
		return q
	}
	wait := max(time.Second, 4*q.RTT)
	for range qualityProbes {
		began := time.Now()
		q.Sent++
		if rtt, ok := b.Ask(ctx, small, wait); ok {
			q.Received++
			q.RTT = min(q.RTT, rtt)
		}
		pause(ctx, qualityGap-time.Since(began))
	}
	q.Largest = b.search(ctx, small, most, max(200*time.Millisecond, 3*q.RTT))
	return q
}

// pause is the distance between two probes: it is what is measured, not something to wait for.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// search halves what is between a size that passes and one that does not.
func (b *Beside) search(ctx context.Context, passes, most int, wait time.Duration) int {
	fails := most + 1
	for size := most; passes+1 < fails && ctx.Err() == nil; size = passes + (fails-passes)/2 {
		answered := false
		for try := 0; try < qualityTries && !answered; try++ {
			_, answered = b.Ask(ctx, size, wait)
		}
		if answered {
			passes = size
		} else {
			fails = size
		}
	}
	return passes
}
