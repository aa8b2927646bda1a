package line

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"wguplink/testbed/netlab"
)

// maxMTU is the largest of a veth device. The line's own have it, so that it is the ends that limit what passes.
const maxMTU = 65535

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
	f, err := h.Packets(name, unix.ETH_P_ALL, unix.SOCK_RAW)
	if err != nil {
		return nil, err
	}
	return &device{f}, nil
}

// Commands of SIOCETHTOOL that switch a feature (linux/ethtool.h).
const (
	ethtoolSetTxChecksum = 0x17
	ethtoolSetTSO        = 0x1f
	ethtoolSetGSO        = 0x24
	ethtoolSetGRO        = 0x2c
)

// plainFrames turns a device's offloads off: what it sends and receives are frames of the size of its MTU, with
// checksums.
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
