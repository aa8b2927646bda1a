//go:build userspace

package userspace

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"wguplink/agent/mtu"
)

const clonePath = "/dev/net/tun" // Linux, Documentation/networking/tuntap.rst

// checkName refuses what the kernel would refuse or, worse, take for a pattern ("tun%d").
func checkName(ifname string) error {
	if ifname == "" || len(ifname) >= unix.IFNAMSIZ || ifname == "." || ifname == ".." ||
		strings.ContainsAny(ifname, "/:% \t\n\v\f\r\x00") {
		return fmt.Errorf("interface name %q: 1 to %d characters, no '/', ':', '%%' or white space",
			ifname, unix.IFNAMSIZ-1)
	}
	return nil
}

// packetFile is the device file.
type packetFile interface {
	// ReadBatch waits for a packet and puts it, and others that are there, behind offset bytes of each buffer.
	ReadBatch(bufs [][]byte, sizes []int, offset int) (int, error)
	// WriteBatch writes the packets that begin at offset of each buffer, in order, until an error, and tells how many.
	WriteBatch(bufs [][]byte, offset int) (int, error)
	Close() error
}

// tunDevice is wireguard-go's tun.Device on a tun without offloads, so that packets are never larger than the MTU. Its
// reader is one of the two doors where memory is bounded.
type tunDevice struct {
	file   packetFile
	ctl    *os.File // the same file, for ioctl; nil in tests
	doors  *doors
	errorf func(format string, args ...any)

	events    chan tun.Event
	watcher   *os.File // netlink socket; nil in tests
	closeOnce sync.Once
	closeErr  error

	mu      sync.Mutex
	readErr error // why the reader ended; nil for deletion or Close
}

func newTUNDevice(file packetFile, errorf func(format string, args ...any)) *tunDevice {
	return &tunDevice{file: file, errorf: errorf, events: make(chan tun.Event, 4)}
}

// openTUN creates the tun device ifname. IFF_TUN_EXCL makes sure that it did not exist. With IFF_VNET_HDR it takes runs
// of packets; it gives none, as long as no offload is set.
func openTUN(ifname string, errorf func(format string, args ...any)) (*tunDevice, error) {
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w: install kmod-tun and run as root", clonePath, err)
	}
	ifr, err := unix.NewIfreq(ifname)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("interface name %q: %w", ifname, err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		switch {
		case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EEXIST):
			return nil,
				fmt.Errorf(
					"create tun %s: %w: an interface of this name exists already, delete it or choose another name",
					ifname, err)
		case errors.Is(err, unix.EPERM):
			return nil, fmt.Errorf("create tun %s: %w: run as root (CAP_NET_ADMIN)", ifname, err)
		}
		return nil, fmt.Errorf("create tun %s: %w", ifname, err)
	}
	f := os.NewFile(uintptr(fd), clonePath)
	file, err := newTUNFile(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", clonePath, err)
	}
	t := newTUNDevice(file, errorf)
	t.ctl = f
	if t.watcher, err = subscribeLinks(); err != nil {
		f.Close()
		return nil, fmt.Errorf("watch links: %w", err)
	}
	if err := t.setMTU(DefaultMTU); err != nil {
		t.Close()
		return nil, fmt.Errorf("set MTU %d on %s: %w", DefaultMTU, ifname, err)
	}
	return t, nil
}

// BatchSize implements tun.Device. It is the first thing that the device's reader asks for, before it takes a buffer;
// the answer waits until the doors are in place.
func (t *tunDevice) BatchSize() int {
	<-t.doors.placed
	return t.doors.batch
}

// Read implements tun.Device: the packets that are there. While the device is busy they stay in the tun's queue, where
// the kernel drops what is too much. Packets that the device has no room for after its wait are read and dropped.
func (t *tunDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		room := t.doors.waitOutbound()
		n, err := t.file.ReadBatch(bufs[:max(room, 1)], sizes, offset)
		if err != nil {
			return 0, t.ended(err)
		}
		if room == 0 && t.doors.waitOutbound() == 0 {
			continue
		}
		for i, size := range sizes[:n] {
			if size > mtu.Userspace {
				t.errorf(
					"packet larger than %d bytes dropped: userspace WireGuard carries no more, lower the "+
						"interface's MTU", mtu.Userspace)
				sizes[i] = 0 // the device leaves it out
			}
		}
		return n, nil
	}
}

// ended notes why the reader ends. A deleted link gives EBADFD; or, when the runtime's poller hears of it first, an
// error of its own that says nothing, so we ask the link (which waits until the kernel is done with deleting).
func (t *tunDevice) ended(err error) error {
	if t.ctl != nil && !errors.Is(err, os.ErrClosed) {
		if _, errQuery := t.query(); errQuery != nil {
			err = errQuery
		}
	}
	if errors.Is(err, unix.EBADFD) || errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	t.mu.Lock()
	t.readErr = err
	t.mu.Unlock()
	return err
}

// cause returns the error that ended the reader, nil when the link was deleted or closed.
func (t *tunDevice) cause() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readErr == nil {
		return nil
	}
	return fmt.Errorf("read from tun: %w", t.readErr)
}

// Write implements tun.Device. What arrives while the link is down, which is EIO, is dropped without a word, as by the
// kernel's WireGuard: links are taken down before they are deleted, and peers do not wait for that.
func (t *tunDevice) Write(bufs [][]byte, offset int) (int, error) {
	moved(t.doors.written)
	for done := 0; ; {
		n, err := t.file.WriteBatch(bufs[done:], offset)
		done += n
		switch {
		case err == nil:
			return done, nil
		case errors.Is(err, unix.EIO):
			if done++; done >= len(bufs) {
				return done, nil
			}
		case errors.Is(err, unix.EBADFD):
			return done, os.ErrClosed
		default:
			return done, err
		}
	}
}

// subscribeLinks opens a netlink socket on which the kernel tells that a link changed.
func subscribeLinks() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// watch reports link changes as events (up, down, MTU) until Close or the end of the link. What our link is like is
// read from the kernel at each message, so that nothing depends on the message's content or on none being lost.
func (t *tunDevice) watch() {
	if t.watcher != nil {
		go t.watchLinks()
	}
}

func (t *tunDevice) watchLinks() {
	defer close(t.events)
	defer t.watcher.Close()
	var up bool
	var mtu int
	msg := make([]byte, 4096)
	for {
		nowUp, nowMTU, err := t.state()
		if err != nil {
			return // deleted or closed: the reader sees it, too
		}
		if nowMTU != mtu {
			t.events <- tun.EventMTUUpdate
		}
		if nowUp != up {
			event := tun.Event(tun.EventDown)
			if nowUp {
				event = tun.EventUp
			}
			t.events <- event
		}
		up, mtu = nowUp, nowMTU
		if _, err := t.watcher.Read(msg); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// Events implements tun.Device.
func (t *tunDevice) Events() <-chan tun.Event { return t.events }

// File implements tun.Device.
func (t *tunDevice) File() *os.File { return t.ctl }

// Name implements tun.Device.
func (t *tunDevice) Name() (string, error) {
	ifr, err := t.query()
	if err != nil {
		return "", err
	}
	return ifr.Name(), nil
}

// MTU implements tun.Device.
func (t *tunDevice) MTU() (int, error) {
	if t.ctl == nil {
		return DefaultMTU, nil
	}
	_, mtu, err := t.state()
	return mtu, err
}

// Close implements tun.Device. It deletes the link.
func (t *tunDevice) Close() error {
	t.closeOnce.Do(func() {
		t.closeErr = t.file.Close()
		if t.watcher == nil {
			close(t.events)
			return
		}
		t.watcher.Close()
	})
	return t.closeErr
}

// query returns an Ifreq with the link's present name.
func (t *tunDevice) query() (*unix.Ifreq, error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return nil, err
	}
	if t.ctl == nil {
		return nil, os.ErrClosed
	}
	sc, err := t.ctl.SyscallConn()
	if err != nil {
		return nil, err
	}
	var errIoctl error
	if err := sc.Control(func(fd uintptr) { errIoctl = unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr) }); err != nil {
		return nil, err
	}
	return ifr, errIoctl
}

func (t *tunDevice) state() (up bool, mtu int, err error) {
	err = t.linkIoctl(func(s int, ifr *unix.Ifreq) error {
		if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
			return err
		}
		up = ifr.Uint16()&unix.IFF_UP != 0
		if err := unix.IoctlIfreq(s, unix.SIOCGIFMTU, ifr); err != nil {
			return err
		}
		mtu = int(ifr.Uint32())
		return nil
	})
	return up, mtu, err
}

func (t *tunDevice) setMTU(mtu uint32) error {
	return t.linkIoctl(func(s int, ifr *unix.Ifreq) error {
		ifr.SetUint32(mtu)
		return unix.IoctlIfreq(s, unix.SIOCSIFMTU, ifr)
	})
}

// setQueue sets how many packets the kernel keeps for us.
func (t *tunDevice) setQueue(packets int) error {
	return t.linkIoctl(func(s int, ifr *unix.Ifreq) error {
		ifr.SetUint32(uint32(packets))
		return unix.IoctlIfreq(s, unix.SIOCSIFTXQLEN, ifr)
	})
}

// linkIoctl calls f with a socket for interface ioctls and an Ifreq that names our link.
func (t *tunDevice) linkIoctl(f func(s int, ifr *unix.Ifreq) error) error {
	ifr, err := t.query()
	if err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	return f(s, ifr)
}
