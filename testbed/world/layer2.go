package world

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Layer2 sends Ethernet frames from the node into the mesh, one ARP request each interval, and keeps the replies. ARP needs
// no address on the node, and a request is a broadcast: it takes the VXLAN's all-zero forwarding entry.
type Layer2 struct {
	w    *World
	dev  string
	stop context.CancelFunc
	done sync.WaitGroup
	record
}

const arpSize = 14 + 28

// Layer2 starts sending frames on a device of the node. The device may come and go.
func (w *World) Layer2(dev string, every time.Duration) *Layer2 {
	ctx, cancel := context.WithCancel(w.ctx)
	l := &Layer2{w: w, dev: dev, stop: cancel, record: newRecord("on " + dev)}
	l.done.Add(1)
	go func() {
		defer l.done.Done()
		l.run(ctx, every)
	}()
	return l
}

// Close ends the sending.
func (l *Layer2) Close() {
	l.stop()
	l.done.Wait()
}

func (l *Layer2) run(ctx context.Context, every time.Duration) {
	// The instrument looks at fixed times; it is what is measured that must not wait.
	tick := time.NewTicker(every)
	defer tick.Stop()
	var s *packetSocket
	defer func() { s.close() }()
	for seq := uint16(0); ; seq++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		link := l.w.NodeLink(l.dev)
		if link == nil || link.Attrs().Flags&net.FlagUp == 0 {
			continue
		}
		if s == nil || s.index != link.Attrs().Index {
			s.close()
			var err error
			if s, err = l.open(link); err != nil {
				s = nil
				continue // it went away again
			}
		}
		l.sending(seq)
		if err := s.send(request(link.Attrs().HardwareAddr, seq)); err != nil {
			l.unsent(seq)
		}
	}
}

// packetSocket is a raw socket on one device.
type packetSocket struct {
	index int
	fd    int
	done  chan struct{}
}

func (l *Layer2) open(link netlink.Link) (*packetSocket, error) {
	s := &packetSocket{index: link.Attrs().Index, done: make(chan struct{})}
	err := l.w.Node.Do(func() (err error) {
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(swap(unix.ETH_P_ARP))); err != nil {
			return err
		}
		// The replies go to addresses that are not the device's.
		if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(s.index), Type: unix.PACKET_MR_PROMISC}); err != nil {
			return err
		}
		return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_ARP), Ifindex: s.index})
	})
	if err != nil {
		return nil, err
	}
	// So that the receiver notices the end.
	if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		return nil, err
	}
	l.done.Add(1)
	go func() {
		defer l.done.Done()
		l.receive(s)
	}()
	return s, nil
}

func (s *packetSocket) send(frame []byte) error {
	return unix.Sendto(s.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.index, Halen: 6})
}

func (s *packetSocket) close() {
	if s != nil {
		close(s.done)
	}
}

func (l *Layer2) receive(s *packetSocket) {
	defer unix.Close(s.fd)
	buf := make([]byte, 256)
	for {
		select {
		case <-s.done:
			return
		default:
		}
		n, _, err := unix.Recvfrom(s.fd, buf, 0)
		at := time.Now()
		if err != nil {
			if errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		seq, ok := asked(buf[:n])
		if !ok {
			continue
		}
		l.answered(seq, at, l.w.byMAC(net.HardwareAddr(buf[22:28])))
	}
}

// request asks who has 10.77.0.254, in the name of 10.77.0.1 (RFC 826). The sequence number is in the MAC address that it
// gives as its own: an IP address for each would fill the neighbour table, which all namespaces of the machine share, and a
// kernel whose table is full answers no request.
func request(mac net.HardwareAddr, seq uint16) []byte {
	f := make([]byte, 0, arpSize)
	f = append(f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	f = append(f, mac...)
	f = append(f, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	f = append(f, askerMAC[:]...)
	f = append(f, byte(seq>>8), byte(seq))
	f = append(f, 10, 77, 0, 1)
	f = append(f, 0, 0, 0, 0, 0, 0, 10, 77, 0, 254)
	return f
}

// askerMAC begins the MAC addresses in requests: locally administered.
var askerMAC = [4]byte{0x02, 0x41, 0x52, 0x50}

// asked gives the sequence number of the request that an ARP reply answers; ok is false for another one's.
func asked(reply []byte) (seq uint16, ok bool) {
	if len(reply) < arpSize || binary.BigEndian.Uint16(reply[20:22]) != 2 || [4]byte(reply[32:36]) != askerMAC {
		return 0, false
	}
	return binary.BigEndian.Uint16(reply[36:38]), true
}

func swap(v uint16) uint16 { return v<<8 | v>>8 }

// byMAC names the gateway whose VXLAN device has that address.
func (w *World) byMAC(mac net.HardwareAddr) string {
	for _, g := range w.Gateways {
		links, err := g.Host.Netlink().LinkList()
		if err != nil {
			continue
		}
		for _, l := range links {
			if l.Type() == "vxlan" && l.Attrs().HardwareAddr.String() == mac.String() {
				return g.Name
			}
		}
	}
	return mac.String()
}
