package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

var (
	far6 = netip.MustParseAddr("fe80::1")
	far4 = netip.MustParseAddr("192.0.2.1")
)

const (
	lo    = 1280
	early = 100                    // size of the requests that only show that the device is ready
	short = 100 * time.Millisecond // a wait that tests do not mind
	never = time.Hour              // a wait that a test does not live to see
)

// far is the other end of a tun device named "t": it answers echo requests as a test wants it.
type far struct {
	t      *testing.T
	file   *os.File
	answer func(size, nth int, reply []byte) [][]byte // not called for those of size early

	mu   sync.Mutex
	seen []int // sizes of the requests
}

// newFar makes the device. answer gets the size of a packet, how many of that size came until then, and the good
// answer; it returns the packets to send.
func newFar(t *testing.T, mtu int, answer func(size, nth int, reply []byte) [][]byte) *far {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	ok(t, err)
	req, err := unix.NewIfreq("t")
	ok(t, err)
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	ok(t, unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
	f := &far{t: t, file: os.NewFile(uintptr(fd), "t"), answer: answer}
	link, err := netlink.LinkByName("t")
	ok(t, err)
	ok(t, netlink.LinkSetMTU(link, mtu))
	ok(t, netlink.LinkSetUp(link))
	for _, a := range []string{"fe80::2/64", "192.0.2.2/24"} {
		addr, err := netlink.ParseAddr(a)
		ok(t, err)
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		ok(t, netlink.AddrAdd(link, addr))
	}
	done := make(chan struct{})
	go func() { defer close(done); f.serve() }()
	t.Cleanup(func() { f.file.Close(); <-done })
	// A new device drops what is sent before the kernel has noticed that it is ready.
	for {
		_, err := measureBetween(t, far6, early, early, short)
		if err == nil {
			return f
		}
		if !errors.Is(err, ErrSilent) {
			t.Fatal(err)
		}
	}
}

func (f *far) serve() {
	count := map[int]int{}
	buf := make([]byte, 4000)
	for {
		n, err := f.file.Read(buf)
		if err != nil {
			return
		}
		p := append([]byte(nil), buf[:n]...)
		header := ipHeader6
		switch {
		case p[0]>>4 == 6 && p[6] == unix.IPPROTO_ICMPV6 && p[40] == echoRequest6:
			from := [16]byte(p[8:24])
			copy(p[8:24], p[24:40]) // the checksum does not mind the order
			copy(p[24:40], from[:])
			p[40] = echoReply6
		case p[0]>>4 == 4 && p[9] == unix.IPPROTO_ICMP && p[20] == echoRequest4:
			if p[6] != 0x40 {
				f.t.Errorf("flags and fragment offset %#x%02x, want don't-fragment alone", p[6], p[7])
			}
			header = ipHeader4
			from := [4]byte(p[12:16])
			copy(p[12:16], p[16:20])
			copy(p[16:20], from[:])
			p[20] = echoReply4
		case p[0]>>4 == 6 && p[6] == unix.IPPROTO_FRAGMENT:
			f.t.Error("a fragment")
			continue
		default:
			continue // multicast reports and the like
		}
		fix(p, header)
		replies := [][]byte{p}
		if n != early {
			f.mu.Lock()
			f.seen = append(f.seen, n)
			f.mu.Unlock()
			count[n]++
			replies = f.answer(n, count[n], p)
		}
		for _, reply := range replies {
			// The caller that is done asking may have taken the device away.
			if _, err := f.file.Write(reply); err != nil && !errors.Is(err, os.ErrClosed) {
				f.t.Error(err)
			}
		}
	}
}

func (f *far) requests() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int(nil), f.seen...)
}

// fix sets the ICMP checksum of a packet.
func fix(p []byte, header int) {
	m := p[header:]
	m[2], m[3] = 0, 0
	var pseudo []byte
	if header == ipHeader6 {
		pseudo = append(pseudo, p[8:40]...)
		pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(m)))
		pseudo = append(pseudo, 0, 0, 0, unix.IPPROTO_ICMPV6)
	}
	binary.BigEndian.PutUint16(m[2:], checksum(append(pseudo, m...)))
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// upTo answers what is not larger than size.
func upTo(most int) func(size, nth int, reply []byte) [][]byte {
	return func(size, _ int, reply []byte) [][]byte {
		if size > most {
			return nil
		}
		return [][]byte{reply}
	}
}

func measure(t *testing.T, addr netip.Addr, hi int, wait time.Duration) (int, error) {
	t.Helper()
	return measureBetween(t, addr, lo, hi, wait)
}

func measureBetween(t *testing.T, addr netip.Addr, lo, hi int, wait time.Duration) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return Largest(ctx, "t", addr, lo, hi, wait)
}

func TestLargest(t *testing.T) {
	defer goleak.VerifyNone(t)
	for addr, sizes := range map[netip.Addr][]int{far6: {1300, 1299, 1290, 1280}, far4: {1299}} {
		for _, most := range sizes {
			t.Run(fmt.Sprintf("%d bytes to %s", most, addr), func(t *testing.T) {
				newFar(t, 1300, upTo(most))
				if got, err := measure(t, addr, 1300, short); got != most || err != nil {
					t.Errorf("%d, %v", got, err)
				}
			})
		}
		t.Run(fmt.Sprint("nothing to ", addr), func(t *testing.T) {
			newFar(t, 1300, upTo(1279))
			if got, err := measure(t, addr, lo, short); got != 0 || !errors.Is(err, ErrSilent) {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
	if got, err := Largest(context.Background(), "lo", netip.IPv6Loopback(), lo, 1500, never); got != 1500 ||
		err != nil {
		t.Errorf("loopback: %d, %v", got, err)
	}
}

// In the good case it is one packet.
func TestLargestOnePacket(t *testing.T) {
	f := newFar(t, 1420, upTo(1420))
	if got, err := measure(t, far6, 1420, never); got != 1420 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	if s := f.requests(); len(s) != 1 {
		t.Errorf("requests of %v bytes", s)
	}
}

// What the device does not take needs no waiting.
func TestLargestDeviceMTU(t *testing.T) {
	for _, addr := range []netip.Addr{far6, far4} {
		t.Run(addr.String(), func(t *testing.T) {
			newFar(t, 1391, upTo(2000))
			if got, err := measure(t, addr, 1420, never); got != 1391 || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
}

// Five of six requests are lost; those of the size that counts, eleven of twelve.
func TestLargestOverLossyLine(t *testing.T) {
	const most = 1290
	newFar(t, 1300, func(size, nth int, reply []byte) [][]byte {
		if size > most || nth < tries || size == most && nth < 2*tries {
			return nil
		}
		return [][]byte{reply}
	})
	if got, err := measure(t, far6, 1300, short); got != most || err != nil {
		t.Errorf("%d, %v; want %d", got, err, most)
	}
}

// The answer to the largest request comes when a smaller one is being tried, and counts for the largest.
func TestLargestLateAnswer(t *testing.T) {
	for _, late := range []int{1300, 1295} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			held := map[int][]byte{}
			newFar(t, 1300, func(size, nth int, reply []byte) [][]byte {
				if size > lo {
					held[size] = reply
				}
				switch {
				case size == lo && late == 1300:
					return [][]byte{held[1300], reply}
				case size == lo:
					return [][]byte{reply}
				case size > 1290 && held[late] != nil && size != late:
					return [][]byte{held[late]}
				case size <= 1290:
					return [][]byte{reply}
				}
				return nil
			})
			if got, err := measure(t, far6, 1300, short); got != late || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
}

// Answers that are none of ours, or not whole, do not count.
func TestLargestIgnoresOthers(t *testing.T) {
	for name, change := range map[string]func(p []byte) []byte{
		"cookie":   func(p []byte) []byte { p[48] ^= 1; return p },
		"sequence": func(p []byte) []byte { p[47]++; return p },
		"from":     func(p []byte) []byte { p[23] = 9; return p },
		"cut": func(p []byte) []byte {
			p = p[:lo-1]
			binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipHeader6))
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			newFar(t, 1300, func(_, _ int, reply []byte) [][]byte {
				p := change(reply)
				fix(p, ipHeader6)
				return [][]byte{p}
			})
			if got, err := measure(t, far6, lo, short); got != 0 || !errors.Is(err, ErrSilent) {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
}

func TestLargestStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	why := errors.New("enough")
	for _, answered := range []int{0, lo} {
		t.Run(fmt.Sprint(answered), func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			wait := never
			if answered > 0 {
				wait = short
			}
			newFar(t, 1300, func(size, _ int, reply []byte) [][]byte {
				switch {
				case answered == 0:
					cancel(why)
				case size == lo:
					return [][]byte{reply}
				case size < 1300:
					cancel(why)
				}
				return nil
			})
			if got, err := Largest(ctx, "t", far6, lo, 1300, wait); got != answered || !errors.Is(err, why) {
				t.Errorf("%d, %v", got, err)
			}
		})
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if got, err := Largest(over, "lo", netip.IPv6Loopback(), lo, 1500, never); got != 0 ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("a context that is over: %d, %v", got, err)
	}
}

// A device that was made anew under its old name is another one, also for link-local addresses.
func TestEchoNewDevice(t *testing.T) {
	got := make(chan netip.Addr, 1)
	e := NewEcho(func(a netip.Addr, _ time.Duration) { got <- a })
	defer e.Close()
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			newFar(t, 1420, upTo(1420))
			ok(t, e.Send("t", far6))
			select {
			case <-got:
			case <-time.After(20 * time.Second):
				t.Error("no answer")
			}
		})
	}
}

func TestLargestArguments(t *testing.T) {
	for _, tt := range []struct {
		device string
		lo, hi int
		wait   time.Duration
	}{{"lo", 1300, 1280, short}, {"lo", 55, 1280, short}, {"lo", 1280, 65536, short}, {"lo", 1280, 1500, 0},
		{"nonesuch", 1280, 1500, short}} {
		if got, err := Largest(context.Background(), tt.device, netip.IPv6Loopback(), tt.lo, tt.hi,
			tt.wait); err == nil || errors.Is(err, ErrSilent) {
			t.Errorf("%+v: %d, %v", tt, got, err)
		}
	}
	// The smallest that can be asked for.
	if got, err := Largest(context.Background(), "lo", netip.IPv6Loopback(), 56, 56, never); got != 56 || err != nil {
		t.Errorf("56 bytes: %d, %v", got, err)
	}
}
