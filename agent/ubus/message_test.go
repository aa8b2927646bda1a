package ubus

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
)

// A length that is announced costs nothing before the data comes.
func TestReadMessageAllocates(t *testing.T) {
	head := []byte{0, 2, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0} // 1 MiB
	for _, arrived := range []int{0, 100, 10_000} {
		in := append(bytes.Clone(head), make([]byte, arrived)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ReadMessage(bytes.NewReader(in))
		runtime.ReadMemStats(&after)
		if err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", arrived, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 128<<10 {
			t.Errorf("%d bytes arrived, and %d were allocated", arrived, got)
		}
	}
}

func TestReadMessageLimits(t *testing.T) {
	head := func(version byte, n uint32) []byte {
		return []byte{version, 2, 0, 0, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	for _, tt := range []struct {
		name string
		in   []byte
		err  error // nil: any
	}{
		{"nothing", nil, io.EOF},
		{"half a head", head(0, 4)[:7], io.ErrUnexpectedEOF},
		{"version", head(1, 4), nil},
		{"length 0", head(0, 0), nil},
		{"length 3", head(0, 3), nil},
		{"1 MiB + 1", append(head(0, MaxMessage+1), make([]byte, MaxMessage+8)...), nil},
		{"1 MiB - 3 + 4", append(head(0, 0xffffff), make([]byte, MaxMessage+8)...), nil},
		{"half a body", append(head(0, 12), 1, 2, 3), io.ErrUnexpectedEOF},
	} {
		_, err := ReadMessage(bytes.NewReader(tt.in))
		if err == nil || tt.err != nil && err != tt.err {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	full := Message{Type: MsgData, Seq: 0xfffe, Peer: 0xfffffffd,
		Body: Body(nil).Bytes(AttrData, make([]byte, MaxMessage-8))}
	b, err := full.Append(nil)
	ok(t, err)
	m, err := ReadMessage(bytes.NewReader(b))
	ok(t, err)
	if m.Type != full.Type || m.Seq != full.Seq || m.Peer != full.Peer || !bytes.Equal(m.Body, full.Body) {
		t.Error("the largest message has changed")
	}
	full.Body = Body(nil).Bytes(AttrData, make([]byte, MaxMessage-7))
	if _, err := full.Append(nil); err == nil {
		t.Error("sent a message that is too long")
	}
}

func TestAttrs(t *testing.T) {
	m := Message{Body: Body(nil).Uint32(AttrObjID, 7).Text(AttrMethod, "status").Bytes(AttrNoReply, []byte{1}).
		Bytes(99, []byte("unknown")).Bytes(AttrData, nil)}
	a, err := m.Attrs()
	ok(t, err)
	id, okID := a.Uint32(AttrObjID)
	method, okMethod := a.Text(AttrMethod)
	if id != 7 || !okID || method != "status" || !okMethod || !a.Flag(AttrNoReply) ||
		a[AttrData] == nil || a[AttrUser] != nil {
		t.Errorf("%v", a)
	}
	_, number := a.Uint32(AttrMethod)
	_, text := a.Text(AttrObjID)
	if number || text || a.Flag(AttrObjID) || a.Flag(AttrActive) {
		t.Error("read an attribute as what it is not")
	}
	for _, body := range []string{"\x03", "\x03\x00\x00\x03", "\x03\x00\x00\x0c\x00\x00\x00\x00", "\x03\xff\xff\xff"} {
		if a, err := (Message{Body: Body(body)}).Attrs(); err == nil {
			t.Errorf("%x: %v", body, a)
		}
	}
}

func TestStatusText(t *testing.T) {
	for s, want := range map[Status]string{
		StatusInvalidArgument: "Invalid argument", StatusMethodNotFound: "Method not found",
		StatusNotFound: "Not found",
		9:              "Unknown error", 13: "System error", 14: "Unknown error: 14",
		1<<32 - 1: "Unknown error: 4294967295",
	} {
		if got := s.Error(); got != want {
			t.Errorf("%d: %s", uint32(s), got)
		}
	}
	if StatusOK.err() != nil || !errors.Is(StatusTimeout.err(), StatusTimeout) {
		t.Error("err")
	}
}
