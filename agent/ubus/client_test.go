package ubus

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// connect gives both ends of a connection.
func connect(t *testing.T) (*Conn, *peer) {
	t.Helper()
	f := newFake(t)
	type dialled struct {
		c   *Conn
		err error
	}
	ch := make(chan dialled, 1)
	go func() {
		c, err := Dial(within(t), f.path)
		ch <- dialled{c, err}
	}()
	p := f.greet()
	d := <-ch
	ok(t, d.err)
	t.Cleanup(func() { d.c.Close() })
	return d.c, p
}

// result is what a call gave.
type result struct {
	data Table
	err  error
}

// later runs a call beside the test.
func later(call func() (Table, error)) <-chan result {
	ch := make(chan result, 1)
	go func() {
		data, err := call()
		ch <- result{data, err}
	}()
	return ch
}

func TestDialFails(t *testing.T) {
	if _, err := Dial(within(t), filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
	for name, hello := range map[string]Message{
		"no hello":  {Type: MsgStatus, Peer: 1},
		"client 0":  {Type: MsgHello},
		"a giant's": {Type: MsgHello, Body: make(Body, 1000)},
	} {
		f := newFake(t)
		got := make(chan error, 1)
		go func() {
			_, err := Dial(within(t), f.path)
			got <- err
		}()
		f.accept().send(hello)
		if err := <-got; err == nil || !strings.Contains(err.Error(), f.path) {
			t.Errorf("%s: %v", name, err)
		}
	}

	f := newFake(t)
	ctx, cancel := context.WithCancel(within(t))
	got := make(chan error, 1)
	go func() {
		_, err := Dial(ctx, f.path)
		got <- err
	}()
	f.accept()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("silent server: %v", err)
	}
}

// Answers find their requests, in any order.
func TestCallsAtOnce(t *testing.T) {
	c, p := connect(t)
	call := func(method string) <-chan result {
		return later(func() (Table, error) { return c.call1(within(t), 5, method, nil) })
	}
	a := call("a")
	ma, _ := p.receive(MsgInvoke)
	b := call("b")
	mb, _ := p.receive(MsgInvoke)
	answer := func(m Message, text string) {
		data, err := AppendTable(nil, Table{{"is", text}})
		ok(t, err)
		p.send(Message{Type: MsgData, Seq: m.Seq, Peer: m.Peer,
			Body: Body(nil).Uint32(AttrObjID, 5).Bytes(AttrData, data)})
	}
	answer(Message{Seq: mb.Seq, Peer: 6}, "from another object")
	answer(Message{Seq: 999, Peer: 5}, "for no request")
	answer(mb, "for b")
	p.status(mb, StatusOK)
	answer(ma, "for a")
	p.status(Message{Seq: ma.Seq, Peer: 6}, StatusOK)
	p.status(ma, StatusNoData)
	if diff := cmp.Diff(result{data: Table{{"is", "for b"}}}, <-b, cmp.AllowUnexported(result{})); diff != "" {
		t.Error(diff)
	}
	if r := <-a; !errors.Is(r.err, StatusNoData) || !cmp.Equal(r.data, Table{{"is", "for a"}}) {
		t.Errorf("data beside an error: %+v", r)
	}
}

func TestCallFails(t *testing.T) {
	c, p := connect(t)
	ctx, cancel := context.WithCancel(within(t))
	call := func() (Table, error) { return c.call1(ctx, 5, "x", nil) }

	r := later(call)
	late, _ := p.receive(MsgInvoke)
	cancel()
	if got := <-r; !errors.Is(got.err, context.Canceled) {
		t.Errorf("no answer: %+v", got)
	}
	c.mu.Lock()
	if len(c.pending) != 0 {
		t.Error("it is still waited for")
	}
	c.mu.Unlock()
	p.status(late, StatusNoData)

	ctx = within(t)
	r = later(call)
	m, _ := p.receive(MsgInvoke)
	p.send(Message{Type: MsgData, Seq: m.Seq, Peer: 5, Body: Body(nil).Bytes(AttrData, []byte{0xff})})
	p.status(m, StatusOK)
	if got := <-r; got.err == nil || got.data != nil {
		t.Errorf("data that makes no sense: %+v", got)
	}

	r = later(call)
	m, _ = p.receive(MsgInvoke)
	p.send(Message{Type: MsgData, Seq: m.Seq, Peer: 5, Body: Body{1, 2, 3}})
	if got := <-r; got.err == nil {
		t.Errorf("attributes that make no sense: %+v", got)
	}

	r = later(call)
	m, _ = p.receive(MsgInvoke)
	p.send(Message{Type: MsgStatus, Seq: m.Seq, Peer: 5})
	if got := <-r; !errors.Is(got.err, StatusInvalidArgument) {
		t.Errorf("a status without status: %+v", got)
	}

	r = later(call)
	m, _ = p.receive(MsgInvoke)
	for range 2 {
		p.send(Message{Type: MsgData, Seq: m.Seq, Peer: 5, Body: Body(nil).Bytes(AttrData, make([]byte, MaxMessage/2))})
	}
	if got := <-r; got.err == nil || !strings.Contains(got.err.Error(), "more than") {
		t.Errorf("an endless answer: %+v", got)
	}

	if _, err := c.call1(ctx, 5, "x", Table{{"a", uint8(1)}}); err == nil {
		t.Error("sent what cannot be")
	}

	r = later(call)
	p.receive(MsgInvoke)
	p.nc.Close()
	if got := <-r; got.err == nil || c.Err() == nil {
		t.Errorf("ubusd gone: %+v, %v", got, c.Err())
	}
	<-c.Done()
	if _, err := call(); !errors.Is(err, c.Err()) {
		t.Errorf("after the end: %v", err)
	}
}

func TestClose(t *testing.T) {
	c, p := connect(t)
	r := later(func() (Table, error) { return c.call1(within(t), 5, "x", nil) })
	p.receive(MsgInvoke)
	ok(t, c.Close())
	if got := <-r; !errors.Is(got.err, net.ErrClosed) {
		t.Errorf("%+v", got)
	}
	ok(t, c.Close())
}

// Numbers of requests wrap around, and one that is in use is left out.
func TestSequenceWraps(t *testing.T) {
	c, p := connect(t)
	call := func() (Table, error) { return c.call1(within(t), 5, "x", nil) }
	first := later(call)
	m1, _ := p.receive(MsgInvoke)
	c.mu.Lock()
	c.seq = 0xffff
	c.mu.Unlock()
	for _, want := range []uint16{0, 2} {
		r := later(call)
		m, _ := p.receive(MsgInvoke)
		if m.Seq != want {
			t.Errorf("number %d, want %d", m.Seq, want)
		}
		p.status(m, StatusOK)
		ok(t, (<-r).err)
	}
	p.status(m1, StatusOK)
	ok(t, (<-first).err)
}

func TestLookup(t *testing.T) {
	c, p := connect(t)
	type found struct {
		list []ObjectInfo
		err  error
	}
	ch := make(chan found, 1)
	go func() {
		list, err := c.Lookup(within(t), "a*")
		ch <- found{list, err}
	}()
	m, a := p.receive(MsgLookup)
	if path, _ := a.Text(AttrObjPath); path != "a*" {
		t.Errorf("asks for %q", path)
	}
	signature, err := AppendTable(nil, Table{{"set", Table{{"n", int32(TypeInt32)}, {"on", int32(TypeBool)}}},
		{"get", Array{}}})
	ok(t, err)
	reply := func(b Body) { p.send(Message{Type: MsgData, Seq: m.Seq, Body: b}) }
	reply(Body(nil).Text(AttrObjPath, "ab").Uint32(AttrObjID, 1).Uint32(AttrObjType, 2).Bytes(AttrSignature, signature))
	reply(Body(nil).Text(AttrObjPath, "no id").Uint32(AttrObjType, 2))
	reply(Body(nil).Text(AttrObjPath, "bad").Uint32(AttrObjID, 1).Uint32(AttrObjType,
		2).Bytes(AttrSignature, []byte{1}))
	p.status(m, StatusOK)
	got := <-ch
	want := []ObjectInfo{{ID: 1, TypeID: 2, Name: "ab", Methods: []Method{
		{Name: "set", Args: []Arg{{"n", TypeInt32}, {"on", TypeBool}}}, {Name: "get"},
	}}}
	if diff := cmp.Diff(want, got.list); got.err != nil || diff != "" {
		t.Error(got.err, diff)
	}

	// A name with a star is not a pattern for Call.
	r := later(func() (Table, error) { return c.Call(within(t), "a*", "x", nil) })
	m, _ = p.receive(MsgLookup)
	reply(Body(nil).Text(AttrObjPath, "ab").Uint32(AttrObjID, 1).Uint32(AttrObjType, 2))
	p.status(m, StatusOK)
	if got := <-r; !errors.Is(got.err, StatusNotFound) {
		t.Errorf("%+v", got)
	}
}

func TestSendAndListen(t *testing.T) {
	c, p := connect(t)
	r := later(func() (Table, error) { return nil, c.Send(within(t), "my.event", Table{{"n", 1}}) })
	m, a := p.receive(MsgInvoke)
	id, _ := a.Uint32(AttrObjID)
	method, _ := a.Text(AttrMethod)
	args, err := a.Table(AttrData)
	want := Table{{"id", "my.event"}, {"data", Table{{"n", int32(1)}}}}
	if diff := cmp.Diff(want, args); m.Peer != 1 || id != 1 || method != "send" || err != nil || diff != "" {
		t.Errorf("peer %d, object %d, method %q, %v\n%s", m.Peer, id, method, err, diff)
	}
	p.status(m, StatusPermissionDenied)
	if got := <-r; !errors.Is(got.err, StatusPermissionDenied) {
		t.Error(got.err)
	}

	type event struct {
		Name string
		Data Table
	}
	events := make(chan event, 3)
	r = later(func() (Table, error) {
		return nil, c.Listen(within(t), "my.*", func(name string, data Table) { events <- event{name, data} })
	})
	if name := p.register(0x80000005); name != "" {
		t.Errorf("the listener has the name %q", name)
	}
	m, a = p.receive(MsgInvoke)
	args, err = a.Table(AttrData)
	listener := uint32(0x80000005)
	want = Table{{"object", int32(listener)}, {"pattern", "my.*"}}
	if diff := cmp.Diff(want, args); err != nil || diff != "" {
		t.Error(err, diff)
	}
	p.status(m, StatusOK)
	ok(t, (<-r).err)
	p.call(1, listener, "my.first", Table{{"n", 1}})
	p.send(Message{Type: MsgInvoke, Body: Body(nil).Uint32(AttrObjID, listener).Text(AttrMethod,
		"bad").Bytes(AttrData, []byte{1})})
	p.call(2, listener, "my.second", nil)
	for _, want := range []event{{"my.first", Table{{"n", int32(1)}}}, {"my.second", Table{}}} {
		if diff := cmp.Diff(want, <-events); diff != "" {
			t.Error(diff)
		}
	}
}

// A peer that does not read costs the connection, not the caller.
func TestPeerDoesNotRead(t *testing.T) {
	c, _ := connect(t)
	c.timeout = 50 * time.Millisecond
	ctx, big := within(t), Table{{"x", strings.Repeat("x", MaxMessage/2)}}
	r := later(func() (Table, error) { return c.call1(ctx, 5, "x", big) })
	if got := <-r; !errors.Is(got.err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", got.err)
	}
	<-c.Done()
}
