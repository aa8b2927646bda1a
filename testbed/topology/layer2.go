package topology

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wguplink/testbed/echo"
)

// Layer2 sends Ethernet frames from the node into the mesh, one ARP request each interval, and keeps the replies. ARP
// needs no address on the node, and a request is a broadcast: it takes the VXLAN's all-zero forwarding entry.
type Layer2 struct {
	topo *Topology
	dev  string
	stop context.CancelFunc
	done sync.WaitGroup
	counter
}

const arpSize = 14 + 28

// Layer2 starts sending frames on a device of the node. The device may come and go.
func (topo *Topology) Layer2(dev string, every time.Duration) *Layer2 {
	ctx, cancel := context.WithCancel(topo.ctx)
	l := &Layer2{topo: topo, dev: dev, stop: cancel, counter: counter{echo.NewRecord("on " + dev)}}
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
		link := l.topo.NodeLink(l.dev)
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
		l.Sending("", seq)
		if _, err := s.Write(request(link.Attrs().HardwareAddr, seq)); err != nil {
			l.Unsent("", seq)
		}
	}
}

// packetSocket is a raw socket on one device.
type packetSocket struct {
	*os.File
	index int
}

func (l *Layer2) open(link netlink.Link) (*packetSocket, error) {
	f, err := l.topo.Node.Packets(l.dev, unix.ETH_P_ARP, unix.SOCK_RAW)
	if err != nil {
		return nil, err
	}
	l.done.Add(1)
	go func() {
		defer l.done.Done()
		l.receive(f)
	}()
	return &packetSocket{f, link.Attrs().Index}, nil
}

func (s *packetSocket) close() {
	if s != nil {
		s.Close()
	}
}

func (l *Layer2) receive(f *os.File) {
	buf := make([]byte, 256)
	for {
		n, err := f.Read(buf)
		at := time.Now()
		if errors.Is(err, unix.ENETDOWN) {
			continue // it may come up again
		}
		if err != nil {
			return
		}
		if seq, ok := asked(buf[:n]); ok {
			l.Answered("", seq, at, l.topo.byMAC(net.HardwareAddr(buf[22:28])))
		}
	}
}

// request asks who has 10.77.0.254, in the name of 10.77.0.1 (RFC 826). The sequence number is in the MAC address that
// it gives as its own: an IP address for each would fill the neighbour table, which all namespaces of the machine
// share, and a kernel whose table is full answers no request.
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

// byMAC names the gateway whose VXLAN device has that address.
func (topo *Topology) byMAC(mac net.HardwareAddr) string {
	for _, g := range topo.Gateways {
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
