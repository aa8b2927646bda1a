package netlab

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// packetBuffer holds what arrives while the process does not get to run: 16 MiB are some thousand frames.
const packetBuffer = 16 << 20

// Packets opens a packet socket (packet(7)) on a device of the host, for the
// packets of an Ethernet protocol that arrive there. Read and Write take one
// each: whole frames when typ is SOCK_RAW, and then also those to other
// addresses than the device's; with SOCK_DGRAM what is behind the Ethernet
// header. Close ends a Read, and so does the end of the device.
func (h *Host) Packets(dev string, protocol uint16, typ int) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, fmt.Errorf("netlab: host %s: packets on %s: %w", h.name, dev, err)
	}
	link, err := h.nl.LinkByName(dev)
	if err != nil {
		return fail(err)
	}
	index := link.Attrs().Index
	network := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, protocol))
	fd := -1
	err = h.Do(func() (err error) {
		// Protocol 0 receives nothing yet.
		if fd, err = unix.Socket(unix.AF_PACKET, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packetBuffer); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		if typ == unix.SOCK_RAW {
			all := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
			if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &all); err != nil {
				return err
			}
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network, Ifindex: index})
	})
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return fail(err)
	}
	return os.NewFile(uintptr(fd), dev), nil
}
