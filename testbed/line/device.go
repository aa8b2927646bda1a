package line

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
)

// maxMTU is the largest of a veth device. The line's own have it, so that it is the ends that limit what passes.
const maxMTU = 65535

// receiveBuffer holds what arrives while the process does not get to run: 16 MiB are some thousand frames.
const receiveBuffer = 16 << 20

// device is a packet socket on one device: Read and Write take whole Ethernet frames.
type device struct{ *os.File }

func openDevice(h *netlab.Host, name string) (*device, error) {
	link, err := h.Netlink().LinkByName(name)
	if err == nil {
		err = h.Netlink().LinkSetMTU(link, maxMTU)
	}
	if err == nil {
		err = plainFrames(h, name)
	}
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	fd := -1
	err = h.Do(func() (err error) {
		// Protocol 0 receives nothing yet.
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
			return err
		}
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
	})
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("packet socket on %s: %w", name, err)
	}
	return &device{os.NewFile(uintptr(fd), name)}, nil
}

// Commands of SIOCETHTOOL that switch a feature (linux/ethtool.h).
const (
	ethtoolSetTxChecksum = 0x17
	ethtoolSetTSO        = 0x1f
	ethtoolSetGSO        = 0x24
	ethtoolSetGRO        = 0x2c
)

// plainFrames turns a device's offloads off: what it sends and receives are frames of the size of its MTU, with checksums.
func plainFrames(h *netlab.Host, dev string) error {
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, command := range []uint32{ethtoolSetTSO, ethtoolSetGSO, ethtoolSetGRO, ethtoolSetTxChecksum} {
			value := struct{ command, on uint32 }{command, 0}
			// struct ifreq of linux/if.h
			req := struct {
				name [unix.IFNAMSIZ]byte
				data unsafe.Pointer
				_    [16]byte
			}{data: unsafe.Pointer(&value)}
			copy(req.name[:unix.IFNAMSIZ-1], dev)
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
			if errno != 0 {
				return fmt.Errorf("turn off an offload of %s (ethtool command %#x): %w", dev, command, errno)
			}
		}
		return nil
	})
}
