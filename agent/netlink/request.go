package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Request is a message to the kernel.
type Request struct {
	Kind  uint16
	Flags uint16
	// Data begins after the netlink header: the header of the kind (struct ifinfomsg, rtmsg, …), then attributes.
	Data []byte
}

// NewRequest begins a request. head is the header of its kind.
func NewRequest(kind, flags int, head []byte) *Request {
	return &Request{Kind: uint16(kind), Flags: uint16(flags) | unix.NLM_F_REQUEST, Data: head}
}

// finish gives the whole message. Without a kind of answer to wait for, the kernel is asked to say that it has done it.
func (r *Request) finish(seq uint32, answer uint16) []byte {
	flags := r.Flags
	if answer == 0 {
		flags |= unix.NLM_F_ACK
	}
	b := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(r.Data))
	binary.NativeEndian.PutUint32(b, uint32(unix.SizeofNlMsghdr+len(r.Data)))
	binary.NativeEndian.PutUint16(b[4:], r.Kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], seq)
	return append(b, r.Data...)
}

// Attr appends an attribute.
func (r *Request) Attr(kind int, v []byte) {
	size := unix.SizeofRtAttr + len(v)
	r.Data = binary.NativeEndian.AppendUint16(r.Data, uint16(size))
	r.Data = binary.NativeEndian.AppendUint16(r.Data, uint16(kind))
	r.Data = append(r.Data, v...)
	r.Data = append(r.Data, make([]byte, align(size)-size)...)
}

// Uint16 appends an attribute of 16 bits.
func (r *Request) Uint16(kind int, v uint16) { r.Attr(kind, binary.NativeEndian.AppendUint16(nil, v)) }

// Uint32 appends an attribute of 32 bits.
func (r *Request) Uint32(kind int, v uint32) { r.Attr(kind, binary.NativeEndian.AppendUint32(nil, v)) }

// Flag appends an attribute of one byte, 0 or 1.
func (r *Request) Flag(kind int, v bool) {
	b := []byte{0}
	if v {
		b[0] = 1
	}
	r.Attr(kind, b)
}

// String appends an attribute that is a text, with its final zero.
func (r *Request) String(kind int, v string) { r.Attr(kind, append([]byte(v), 0)) }

// Nested appends an attribute that holds those which f appends.
func (r *Request) Nested(kind int, f func()) {
	begin := len(r.Data)
	r.Attr(kind, nil)
	f()
	binary.NativeEndian.PutUint16(r.Data[begin:], uint16(len(r.Data)-begin))
}

// Attributes calls f for each attribute of a list, until one is cut short.
func Attributes(b []byte, f func(kind uint16, v []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:size])
		b = b[min(len(b), align(size)):]
	}
}

// Number reads an attribute of 32 bits with a sign, such as a device's index; 0 when it is shorter.
func Number(v []byte) int { return int(int32(number32(v))) }

func number32(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

// first is the first byte of an attribute; 0 when it has none.
func first(v []byte) byte {
	if len(v) == 0 {
		return 0
	}
	return v[0]
}
