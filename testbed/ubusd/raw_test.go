package ubusd

import (
	"bytes"
	"net"
	"testing"
	"time"

	"wguplink/agent/ubus"
)

// raw is a client that sends and receives messages as they are.
type raw struct {
	t  *testing.T
	nc net.Conn
	id uint32
}

func connect(t *testing.T, path string) *raw {
	t.Helper()
	nc, err := net.Dial("unix", path)
	ok(t, err)
	ok(t, nc.SetDeadline(time.Now().Add(30*time.Second)))
	t.Cleanup(func() { nc.Close() })
	r := &raw{t: t, nc: nc}
	m := r.receive(ubus.MsgHello)
	if m.Peer == 0 || m.Seq != 0 || len(m.Body) != 0 {
		t.Fatalf("hello %+v", m)
	}
	r.id = m.Peer
	return r
}

func (r *raw) receive(want ubus.MessageType) ubus.Message {
	r.t.Helper()
	m, err := ubus.ReadMessage(r.nc)
	ok(r.t, err)
	if m.Type != want {
		r.t.Fatalf("got %+v, want type %d", m, want)
	}
	return m
}

func (r *raw) send(kind ubus.MessageType, seq uint16, peer uint32, body ubus.Body) {
	r.t.Helper()
	b, err := ubus.Message{Type: kind, Seq: seq, Peer: peer, Body: body}.Append(nil)
	ok(r.t, err)
	_, err = r.nc.Write(b)
	ok(r.t, err)
}

// status expects the end of a request.
func (r *raw) status(seq uint16, peer uint32, want ubus.Status) {
	r.t.Helper()
	m := r.receive(ubus.MsgStatus)
	body := ubus.Body(nil).Uint32(ubus.AttrStatus, uint32(want))
	if m.Seq != seq || m.Peer != peer || !bytes.Equal(m.Body, body) {
		r.t.Fatalf("got %+v, want status %d of %d, peer %d", m, want, seq, peer)
	}
}

// add registers an object without methods.
func (r *raw) add(name string) uint32 {
	r.t.Helper()
	body := ubus.Body(nil)
	if name != "" {
		body = body.Text(ubus.AttrObjPath, name).Bytes(ubus.AttrSignature, nil)
	}
	r.send(ubus.MsgAddObject, 1, 0, body)
	a, err := r.receive(ubus.MsgData).Attrs()
	ok(r.t, err)
	id, is := a.Uint32(ubus.AttrObjID)
	if _, kind := a.Uint32(ubus.AttrObjType); !is || kind != (name != "") {
		r.t.Fatalf("registered %q: %v", name, a)
	}
	r.status(1, 0, ubus.StatusOK)
	return id
}

func (r *raw) listen(id uint32, pattern string, want ubus.Status) {
	r.t.Helper()
	r.event("register", ubus.Table{{Name: "object", Value: int32(id)}, {Name: "pattern", Value: pattern}}, want)
}

func (r *raw) event(method string, args ubus.Table, want ubus.Status) {
	r.t.Helper()
	data, err := ubus.AppendTable(nil, args)
	ok(r.t, err)
	r.send(ubus.MsgInvoke, 2, ubus.EventObject,
		ubus.Body(nil).Uint32(ubus.AttrObjID, ubus.EventObject).Text(ubus.AttrMethod,
			method).Bytes(ubus.AttrData, data))
	r.status(2, ubus.EventObject, want)
}

func (r *raw) hears(seq uint16, object uint32, id string, data ubus.Table) {
	r.t.Helper()
	table, err := ubus.AppendTable(nil, data)
	ok(r.t, err)
	m := r.receive(ubus.MsgInvoke)
	body := ubus.Body(nil).Uint32(ubus.AttrObjID, object).Text(ubus.AttrMethod, id).Bytes(ubus.AttrData, table)
	if m.Seq != seq || m.Peer != 0 || !bytes.Equal(m.Body, body) {
		r.t.Fatalf("got event %+v, want %d %x", m, seq, body)
	}
}

// ubusID looks an object up.
func ubusID(r *raw, name string) (uint32, bool) {
	r.send(ubus.MsgLookup, 1, 0, ubus.Body(nil).Text(ubus.AttrObjPath, name))
	a, err := r.receive(ubus.MsgData).Attrs()
	ok(r.t, err)
	r.status(1, 0, ubus.StatusOK)
	return a.Uint32(ubus.AttrObjID)
}

func must(id uint32, _ bool) uint32 { return id }
