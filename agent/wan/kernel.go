package wan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"wguplink/agent/netlink"
)

// Way is how the kernel sends to an address.
type Way struct {
	Device string
	// Source is the address that it sends from; the zero Addr when it has none to choose.
	Source netip.Addr
	// MTU is the largest packet, in bytes with its IP header, that it sends there in one piece.
	MTU int

	routed bool // a router is the next hop
	link   int  // the device's MTU
}

// NoWayError says why there is no way out to an address.
type NoWayError struct {
	To netip.Addr
	// Mesh is the device of our own mesh that the kernel would send by; "" when it would not send at all.
	Mesh string
	// Err is why it would not send; nil with Mesh.
	Err error
}

func (e *NoWayError) Error() string {
	if e.Mesh != "" {
		return fmt.Sprintf("to %s leads into our own mesh, by %s", e.To, e.Mesh)
	}
	return fmt.Sprintf("to %s: %s", e.To, e.Err)
}

func (e *NoWayError) Unwrap() error { return e.Err }

// Way asks the kernel how it would send WireGuard's packets to that endpoint. The error is a *NoWayError when it would
// not, or by a device of our own mesh only.
func (p Path) Way(to netip.AddrPort) (Way, error) {
	k, err := openKernel(p)
	if err != nil {
		return Way{}, err
	}
	defer k.close()
	w, err := k.way(target{AddrPort: netip.AddrPortFrom(to.Addr().Unmap(), to.Port())})
	if six, serr := MTU6(w.Device); err == nil && serr == nil && to.Addr().Unmap().Is6() {
		w.MTU = min(w.MTU, six)
	}
	return w, err
}

// kernel is asked for routes.
type kernel struct {
	p     Path
	h     *netlink.Handle
	links graph
	// send puts a request for a route to the kernel, and gives the messages of its answer.
	send func(*netlink.Request) ([][]byte, error)
}

func openKernel(p Path) (*kernel, error) {
	h, err := netlink.NewHandle()
	if err != nil {
		return nil, err
	}
	k := &kernel{p: p, h: h}
	k.send = func(r *netlink.Request) ([][]byte, error) { return h.Execute(r, unix.RTM_NEWROUTE) }
	if err = k.relink(); err != nil {
		h.Close()
		return nil, err
	}
	return k, nil
}

func (k *kernel) close() { k.h.Close() }

// relink reads all devices, until the kernel gives a consistent list: it says so when they change while they are being
// read.
func (k *kernel) relink() (err error) {
	for range 10 {
		links := graph{}
		err = k.h.Each(netlink.NewLinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP, 0), unix.RTM_NEWLINK, func(m []byte) {
			links.take(unix.RTM_NEWLINK, m)
		})
		switch {
		case err == nil:
			k.links = links
			return nil
		case !errors.Is(err, netlink.ErrDumpInterrupted):
			return fmt.Errorf("list devices: %w", err)
		}
	}
	return fmt.Errorf("list devices: %w", err)
}

// way is that of a target. What the kernel says of it counts, also when packets go into our own mesh while a worse
// route would lead out of the WAN: they go into the mesh.
func (k *kernel) way(t target) (Way, error) {
	a, err := k.ask(t, netip.Addr{})
	var errno syscall.Errno
	if errors.As(err, &errno) && refusal6(t, errno) {
		// Routes and rules for a source come into play once a socket has chosen its source. netifd writes both: default
		// routes "from" the prefix of the WAN, and rules "from" its addresses.
		if src := k.p.source(t.AddrPort); src.IsValid() {
			a, err = k.ask(t, src)
		}
	}
	switch {
	case errors.As(err, &errno) && !broken(errno):
		return Way{}, &NoWayError{To: t.Addr(), Err: errno}
	case err != nil:
		return Way{}, fmt.Errorf("ask for the route to %s: %w", t.Addr(), err)
	case a.kind != unix.RTN_UNICAST:
		return Way{}, &NoWayError{To: t.Addr(), Err: errNotRemote}
	}
	d, there := k.links[a.device]
	if !there { // made a moment ago
		if err := k.relink(); err != nil {
			return Way{}, err
		}
		d = k.links[a.device]
	}
	switch {
	case k.links.standsOn(a.device, k.p.Own):
		return Way{}, &NoWayError{To: t.Addr(), Mesh: d.name}
	case !d.carrier:
		return Way{}, &NoWayError{To: t.Addr(), Err: fmt.Errorf("%s has no carrier", d.name)}
	}
	w := Way{Device: d.name, Source: a.source, MTU: d.mtu, link: d.mtu, routed: a.routed}
	if a.mtu != 0 {
		w.MTU = min(w.MTU, a.mtu)
	}
	return w, nil
}

var errNotRemote = errors.New("it is an address of this host")

// broken tells errors of the request from answers. An answer is any other error: no route, a route that says no
// (unreachable, blackhole, prohibit), or no such address family in this kernel (EAFNOSUPPORT or EOPNOTSUPP with
// ipv6.disable=1).
func broken(e syscall.Errno) bool {
	switch e {
	case unix.ENOMEM, unix.ENOBUFS, unix.EBADF, unix.EAGAIN, unix.EINTR, unix.EPERM:
		return true
	}
	return false
}

// refusal6 says that the kernel refuses a route for IPv6. A socket of IPv4 gets no further than that: it chooses its
// source by the same route.
func refusal6(t target, e syscall.Errno) bool { return t.Addr().Is6() && !broken(e) }

// source is the address that a socket chooses; the zero Addr when it has no way. Connecting is what makes it choose,
// and sends nothing.
func (p Path) source(to netip.AddrPort) netip.Addr {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}
	}
	defer unix.Close(fd)
	if p.Mark != 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.Mark)) != nil {
		return netip.Addr{}
	}
	const anyPort = 51820 // a socket does not connect to port 0
	port := int(to.Port())
	if port == 0 {
		port = anyPort
	}
	if unix.Connect(fd, &unix.SockaddrInet6{Port: port, Addr: to.Addr().As16()}) != nil {
		return netip.Addr{}
	}
	own, err := unix.Getsockname(fd)
	if six, ok := own.(*unix.SockaddrInet6); err == nil && ok {
		return netip.AddrFrom16(six.Addr)
	}
	return netip.Addr{}
}

// answer is the kernel's.
type answer struct {
	kind   byte // RTN_UNICAST and so on
	device int  // its index
	source netip.Addr
	routed bool
	mtu    int // of the route, or learned of the path; 0 for none
}

// ask sends RTM_GETROUTE (rtnetlink(7)) with all that rules may look at: mark, user, protocol and port. src is the
// address to send from; the zero Addr leaves it to the kernel. The error is a syscall.Errno when the kernel says no.
func (k *kernel) ask(t target, src netip.Addr) (a answer, err error) {
	head := make([]byte, unix.SizeofRtMsg) // struct rtmsg
	head[0], head[1] = unix.AF_INET, byte(t.Addr().BitLen())
	if t.Addr().Is6() {
		head[0] = unix.AF_INET6
	}
	if src.IsValid() {
		head[2] = byte(src.BitLen())
	}
	binary.NativeEndian.PutUint32(head[8:], unix.RTM_F_LOOKUP_TABLE)
	req := netlink.NewRequest(unix.RTM_GETROUTE, 0, head)
	req.Attr(unix.RTA_DST, t.Addr().AsSlice())
	if src.IsValid() {
		req.Attr(unix.RTA_SRC, src.AsSlice())
	}
	if k.p.Mark != 0 {
		req.Uint32(unix.RTA_MARK, k.p.Mark)
	}
	req.Uint32(unix.RTA_UID, uint32(os.Geteuid()))
	protocol := byte(unix.IPPROTO_UDP)
	if t.tcp {
		protocol = unix.IPPROTO_TCP
	}
	req.Attr(unix.RTA_IP_PROTO, []byte{protocol})
	if t.Port() != 0 {
		req.Attr(unix.RTA_DPORT, binary.BigEndian.AppendUint16(nil, t.Port()))
	}
	all, err := k.send(req)
	if err != nil {
		return answer{}, err
	}
	if len(all) == 0 || len(all[0]) < unix.SizeofRtMsg {
		return answer{}, unix.EOPNOTSUPP
	}
	return parseRoute(all[0]), nil
}

func parseRoute(m []byte) (a answer) {
	a.kind = m[7] // rtm_type
	netlink.Attributes(m[unix.SizeofRtMsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.RTA_OIF:
			a.device = netlink.Number(v)
		case unix.RTA_PREFSRC:
			a.source, _ = netip.AddrFromSlice(v)
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			a.routed = true
		case unix.RTA_METRICS:
			netlink.Attributes(v, func(kind uint16, v []byte) {
				if kind == unix.RTAX_MTU {
					a.mtu = netlink.Number(v)
				}
			})
		}
	})
	return a
}
