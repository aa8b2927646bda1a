package netlink

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Family is a part of the kernel that speaks generic netlink.
type Family struct {
	ID      uint16 // also the kind of its messages
	Version uint8
}

// NewGenericHandle opens a socket of the family NETLINK_GENERIC.
func NewGenericHandle() (*Handle, error) { return newHandle(unix.NETLINK_GENERIC) }

// NewGenericRequest begins a request to a family (struct genlmsghdr, linux/genetlink.h).
func NewGenericRequest(f Family, command uint8, flags int) *Request {
	return NewRequest(int(f.ID), flags, []byte{command, f.Version, 0, 0})
}

// Family looks one up by its name. The error is os.ErrNotExist when the kernel has none of that name.
func (h *Handle) Family(name string) (f Family, err error) {
	r := NewGenericRequest(Family{ID: unix.GENL_ID_CTRL, Version: 1}, unix.CTRL_CMD_GETFAMILY, 0)
	r.String(unix.CTRL_ATTR_FAMILY_NAME, name)
	err = h.Each(r, unix.GENL_ID_CTRL, func(m []byte) { f = parseFamily(m) })
	switch {
	case err == unix.ENOENT:
		return Family{}, fmt.Errorf("netlink family %s: %w", name, os.ErrNotExist)
	case err == nil && f.ID == 0:
		err = errShort
	}
	if err != nil {
		return Family{}, fmt.Errorf("netlink family %s: %w", name, err)
	}
	return f, nil
}

func parseFamily(m []byte) (f Family) {
	GenericAttributes(m, func(kind uint16, v []byte) {
		switch {
		case kind == unix.CTRL_ATTR_FAMILY_ID && len(v) >= 2:
			f.ID = binary.NativeEndian.Uint16(v)
		case kind == unix.CTRL_ATTR_VERSION:
			f.Version = uint8(number32(v)) // a header has no room for more
		}
	})
	return f
}

// GenericAttributes is Attributes for a message of generic netlink.
func GenericAttributes(m []byte, f func(kind uint16, v []byte)) {
	Attributes(m[min(len(m), unix.GENL_HDRLEN):], f)
}
