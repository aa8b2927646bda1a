package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
)

// Result is one run. Memory is that of the end with more, in bytes; CPU time is that of both ends' programs.
type Result struct {
	Mbit        float64       // 10^6 bits of payload each second
	Retransmits uint32        // segments of TCP
	CPU         time.Duration // for each Gbit (10^9 bits) of payload
	Packets     float64       // through both tunnel devices, for each second of CPU
	QueueDrops  uint64        // packets that the queue of a tun had no room for
	SocketDrops uint64        // datagrams that a UDP socket had no room for
	Rest        int64         // VmRSS before
	Peak        int64         // VmHWM
	After       int64         // VmRSS when Setting.After is over; 0: not looked at
	RestAnon    int64         // RssAnon before: what the kernel cannot drop
	AfterAnon   int64         // RssAnon when Setting.After is over
}

const tcpPort = "5001"

// Run measures p once.
func Run(ctx context.Context, p Program, s Setting) (r Result, err error) {
	t, err := open(ctx, p, s.ZeroChecksum)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	conn, received, err := t.connect(ctx)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()

	before, err := t.read()
	if err != nil {
		return Result{}, err
	}
	start := time.Now()
	if err := send(ctx, conn, start.Add(s.Stream)); err != nil {
		return Result{}, err
	}
	info, err := tcpInfo(conn)
	if err != nil {
		return Result{}, err
	}
	conn.CloseWrite()
	in := <-received
	elapsed := time.Since(start)
	if in.err != nil {
		return Result{}, in.err
	}
	after, err := t.read()
	if err != nil {
		return Result{}, err
	}

	bits := float64(in.bytes) * 8
	cpu := after.cpu - before.cpu
	r = Result{
		Mbit:        bits / 1e6 / elapsed.Seconds(),
		Retransmits: info.Total_retrans,
		CPU:         time.Duration(float64(cpu) / (bits / 1e9)),
		Packets:     float64(after.packets-before.packets) / cpu.Seconds(),
		QueueDrops:  after.queueDrops - before.queueDrops,
		SocketDrops: after.socketDrops - before.socketDrops,
		Rest:        before.rss,
		RestAnon:    before.anon,
		Peak:        after.peak,
	}
	if s.After > 0 {
		wait := time.NewTimer(s.After)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
			return r, ctx.Err()
		}
		last, err := t.read()
		if err != nil {
			return r, err
		}
		r.After, r.AfterAnon = last.rss, last.anon
	}
	return r, nil
}

// arrival is what a stream brought.
type arrival struct {
	bytes int64
	err   error
}

// connect opens a stream from the first end to the second, which takes all that comes.
func (t *tunnel) connect(ctx context.Context) (*net.TCPConn, <-chan arrival, error) {
	address := net.JoinHostPort(t.ends[1].mesh().String(), tcpPort)
	l, err := t.ends[1].host.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	received := make(chan arrival, 1)
	go func() {
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			received <- arrival{err: err}
			return
		}
		defer c.Close()
		var a arrival
		buf := make([]byte, 256<<10)
		for {
			n, err := c.Read(buf)
			a.bytes += int64(n)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					a.err = err
				}
				received <- a
				return
			}
		}
	}()
	dial, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := t.ends[0].host.Dial(dial, "tcp", address)
	// A handshake that was begun before the other end was up is begun anew after five seconds (REKEY_TIMEOUT), and ARP
	// gives up after three.
	for errors.Is(err, unix.EHOSTUNREACH) && dial.Err() == nil {
		c, err = t.ends[0].host.Dial(dial, "tcp", address)
	}
	if err != nil {
		l.Close()
		return nil, nil, fmt.Errorf("through the tunnel: %w", err)
	}
	return c.(*net.TCPConn), received, nil
}

// send writes until the deadline.
func send(ctx context.Context, c *net.TCPConn, deadline time.Time) error {
	if err := c.SetWriteDeadline(deadline); err != nil {
		return err
	}
	buf := make([]byte, 128<<10)
	for ctx.Err() == nil {
		if _, err := c.Write(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func tcpInfo(c *net.TCPConn) (info *unix.TCPInfo, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	errControl := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO)
	})
	return info, errors.Join(errControl, err)
}

// reading is what both ends have used so far.
type reading struct {
	cpu         time.Duration
	packets     uint64
	queueDrops  uint64
	socketDrops uint64
	rss         int64
	anon        int64
	peak        int64
}

func (t *tunnel) read() (r reading, err error) {
	for _, e := range t.ends {
		s, err := e.prog.Stats()
		if err != nil {
			return r, err
		}
		r.cpu += s.User + s.System
		r.rss = max(r.rss, s.RSS)
		r.anon = max(r.anon, s.RSSAnon)
		peak, err := highest(e.prog)
		if err != nil {
			return r, err
		}
		r.peak = max(r.peak, peak)
		if err := e.host.Do(func() error {
			l, err := netlink.LinkByName(device)
			if err != nil {
				return err
			}
			r.packets += l.Attrs().Statistics.TxPackets + l.Attrs().Statistics.RxPackets
			r.queueDrops += l.Attrs().Statistics.TxDropped
			n, err := socketDrops()
			r.socketDrops += n
			return err
		}); err != nil {
			return r, err
		}
	}
	return r, nil
}

// highest returns the most memory that p had resident, in bytes.
func highest(p *netlab.Process) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "\nVmHWM:")
	var kib int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
		return 0, fmt.Errorf("VmHWM of process %d: %w", p.PID(), err)
	}
	return kib << 10, nil
}

// socketDrops returns how many datagrams sockets of IPv4 have had no room for, in the namespace of the calling thread.
func socketDrops() (uint64, error) {
	const path = "/proc/thread-self/net/snmp"
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		kind, rest, _ := strings.Cut(line, ":")
		if kind != "Udp" {
			continue
		}
		if names == nil {
			names = strings.Fields(rest)
			continue
		}
		values := strings.Fields(rest)
		if i := slices.Index(names, "RcvbufErrors"); i >= 0 && i < len(values) {
			return strconv.ParseUint(values[i], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no RcvbufErrors of UDP", path)
}
