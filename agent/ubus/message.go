package ubus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// MaxMessage is the most bytes that the blob of a message may have (UBUS_MAX_MSGLEN in libubus.h).
const MaxMessage = 1 << 20

// MessageType is what a message is for (enum ubus_msg_type in ubusmsg.h).
type MessageType uint8

const (
	MsgHello MessageType = iota
	MsgStatus
	MsgData
	MsgPing
	MsgLookup
	MsgInvoke
	MsgAddObject
	MsgRemoveObject
	MsgSubscribe
	MsgUnsubscribe
	MsgNotify
)

// Attr names an attribute of a message (enum ubus_msg_attr in ubusmsg.h).
type Attr uint8

const (
	AttrStatus Attr = 1 + iota
	AttrObjPath
	AttrObjID
	AttrMethod
	AttrObjType
	AttrSignature
	AttrData
	AttrTarget
	AttrActive
	AttrNoReply
	AttrSubscribers
	AttrUser
	AttrGroup
	attrMax
)

// EventObject is the id of ubusd's own object that takes and passes on events (UBUS_SYSTEM_OBJECT_EVENT in ubusmsg.h).
const EventObject = 1

// Message is one message between ubusd and a client.
type Message struct {
	Type MessageType
	Seq  uint16 // of the request that it belongs to
	Peer uint32 // who is meant: an object's id, or a client's
	Body Body
}

// Body is the attributes of a message in wire format. Its methods append one.
type Body []byte

// Uint32 appends a number.
func (b Body) Uint32(id Attr, v uint32) Body {
	return b.Bytes(id, binary.BigEndian.AppendUint32(nil, v))
}

// Text appends a string. What follows a zero byte is not seen by others.
func (b Body) Text(id Attr, s string) Body {
	return b.Bytes(id, append([]byte(s), 0))
}

// Bytes appends data that is in wire format already, such as that of AppendTable.
func (b Body) Bytes(id Attr, data []byte) Body {
	b = binary.BigEndian.AppendUint32(b, uint32(id)<<24|uint32(attrHeader+len(data))&attrLength)
	return pad(append(b, data...))
}

// check tells whether a message can hold it.
func (b Body) check() error {
	if n := attrHeader + len(b); n > MaxMessage {
		return fmt.Errorf("a message of %d bytes: ubus takes at most %d", n, MaxMessage)
	}
	return nil
}

// Append appends the message in wire format. A body that is too long is an error.
func (m Message) Append(b []byte) ([]byte, error) {
	if err := m.Body.check(); err != nil {
		return nil, err
	}
	b = append(b, 0, byte(m.Type))
	b = binary.BigEndian.AppendUint16(b, m.Seq)
	b = binary.BigEndian.AppendUint32(b, m.Peer)
	b = binary.BigEndian.AppendUint32(b, uint32(attrHeader+len(m.Body)))
	return append(b, m.Body...), nil
}

// ReadMessage reads one message. It keeps no more memory than what has arrived asks for, up to MaxMessage. After an
// error the place of the next message is unknown; io.EOF is the end between two messages.
func ReadMessage(r io.Reader) (Message, error) {
	var h [12]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Message{}, err
	}
	n := int64(binary.BigEndian.Uint32(h[8:])&attrLength) - attrHeader
	if h[0] != 0 || n < 0 || (n+attrHeader+3)&^3 > MaxMessage {
		return Message{}, fmt.Errorf("% x is no head of a message", h)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, n); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	return Message{
		Type: MessageType(h[1]),
		Seq:  binary.BigEndian.Uint16(h[2:]),
		Peer: binary.BigEndian.Uint32(h[4:]),
		Body: body.Bytes(),
	}, nil
}

// Attrs is the data of each attribute in a message, by id; nil when there is none. It refers to the message's body.
type Attrs [attrMax][]byte

// Attrs takes the body apart. Attributes that are not known are left out.
func (m Message) Attrs() (Attrs, error) {
	var a Attrs
	for b := []byte(m.Body); len(b) > 0; {
		head, data, rest, err := cut(b)
		if err != nil {
			return Attrs{}, err
		}
		if id := Attr(head >> 24 & 0x7f); id < attrMax {
			a[id] = data
		}
		b = rest
	}
	return a, nil
}

// Uint32 returns the attribute if it is a number of 32 bits.
func (a *Attrs) Uint32(id Attr) (uint32, bool) {
	if len(a[id]) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(a[id]), true
}

// Text returns the attribute if it is a string.
func (a *Attrs) Text(id Attr) (string, bool) {
	s, err := decodeString(a[id])
	return s, err == nil
}

// Flag returns the attribute if it is a bool.
func (a *Attrs) Flag(id Attr) bool {
	return len(a[id]) == 1 && a[id][0] != 0
}

// Table returns the attribute as a table; an empty one when it is absent.
func (a *Attrs) Table(id Attr) (Table, error) {
	return DecodeTable(a[id])
}
