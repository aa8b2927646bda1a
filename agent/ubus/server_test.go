package ubus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// handler is a method that answers with what it is told to on a channel.
type handler struct {
	called chan Table
	answer chan result
}

func newHandler() *handler {
	return &handler{make(chan Table, maxCalls), make(chan result, maxCalls)}
}

func (h *handler) handle(ctx context.Context, args Table) (Table, error) {
	h.called <- args
	select {
	case r := <-h.answer:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serving gives a server that is registered at a fake ubusd as object 7, with a method "slow", told by a handler, and
// "quick".
func serving(t *testing.T) (*fake, *peer, *handler, *Server) {
	t.Helper()
	f, h := newFake(t), newHandler()
	s := NewServer(f.path, Object{"test", []Method{
		{Name: "slow", Handle: h.handle},
		{Name: "waits", Waits: true, Handle: h.handle},
		{Name: "waits too", Waits: true, Handle: h.handle},
		{Name: "quick", Args: []Arg{{"n", TypeInt32}, {"any", TypeUnspec}},
			Handle: func(_ context.Context, args Table) (Table, error) {
				return args, nil
			}},
		{Name: "nothing"},
	}})
	start(t, s)
	p := f.greet()
	if name := p.register(7); name != "test" {
		t.Fatalf("registered %q", name)
	}
	return f, p, h, s
}

func TestAnswers(t *testing.T) {
	_, p, h, _ := serving(t)
	wrapped := fmt.Errorf("wrapped: %w", StatusPermissionDenied)
	for i, tt := range []struct {
		answer result
		data   Table
		status Status
	}{
		{result{nil, nil}, nil, StatusOK},
		{result{Table{}, nil}, Table{}, StatusOK},
		{result{Table{{"a", true}}, nil}, Table{{"a", true}}, StatusOK},
		{result{nil, StatusNoData}, nil, StatusNoData},
		{result{Table{{"why", "x"}}, wrapped}, Table{{"why", "x"}}, StatusPermissionDenied},
		{result{nil, errors.New("other")}, nil, StatusUnknownError},
		{result{Table{{"a", struct{}{}}}, nil}, nil, StatusUnknownError},
		{result{Table{{"a", strings.Repeat("x", MaxMessage)}}, nil}, nil, StatusUnknownError},
	} {
		h.answer <- tt.answer
		p.call(uint16(i), 7, "slow", nil)
		<-h.called
		if tt.data != nil {
			if diff := cmp.Diff(tt.data, p.data(uint16(i), 7)); diff != "" {
				t.Errorf("%d: %s", i, diff)
			}
		}
		p.answer(uint16(i), 7, tt.status)
	}
}

func TestBadCalls(t *testing.T) {
	_, p, h, _ := serving(t)
	p.call(1, 7, "nosuch", nil)
	p.answer(1, 7, StatusMethodNotFound)
	p.call(2, 7, "nothing", nil)
	p.answer(2, 7, StatusMethodNotFound)
	p.call(3, 8, "quick", nil)
	p.answer(3, 8, StatusNotFound)
	p.call(4, 7, "quick", Table{{"n", "1"}})
	p.answer(4, 7, StatusInvalidArgument)
	p.call(5, 7, "quick", Table{{"n", int64(1)}})
	p.answer(5, 7, StatusInvalidArgument)

	body := Body(nil).Uint32(AttrObjID, 7)
	p.send(Message{Type: MsgInvoke, Seq: 6, Peer: 0x77, Body: body})
	p.answer(6, 7, StatusInvalidArgument)
	body = body.Text(AttrMethod, "quick")
	p.send(Message{Type: MsgInvoke, Seq: 7, Peer: 0x77, Body: body.Bytes(AttrData, []byte{0x83, 0, 0, 99})})
	p.answer(7, 7, StatusInvalidArgument)

	// These cannot be answered, and do no harm.
	p.send(Message{Type: MsgInvoke, Seq: 8, Body: Body{1}})
	p.send(Message{Type: MsgInvoke, Seq: 9, Body: Body(nil).Text(AttrMethod, "quick")})
	p.send(Message{Type: MsgNotify, Body: Body(nil).Uint32(AttrObjID, 7)})
	p.send(Message{Type: 99})
	h.answer <- result{Table{}, nil}
	body = Body(nil).Uint32(AttrObjID, 7).Text(AttrMethod, "slow").Bytes(AttrNoReply, []byte{1})
	p.send(Message{Type: MsgInvoke, Seq: 10, Body: body})
	<-h.called
	body = Body(nil).Uint32(AttrObjID, 7).Text(AttrMethod, "x").Bytes(AttrNoReply, []byte{1})
	p.send(Message{Type: MsgInvoke, Seq: 11, Body: body})

	// No data at all is no arguments; unknown ones, and any type where any will do, are passed on.
	p.send(Message{Type: MsgInvoke, Seq: 12, Peer: 0x77,
		Body: Body(nil).Uint32(AttrObjID, 7).Text(AttrMethod, "quick")})
	p.data(12, 7)
	p.answer(12, 7, StatusOK)
	args := Table{{"any", true}, {"n", int32(1)}, {"other", "x"}}
	p.call(13, 7, "quick", args)
	if diff := cmp.Diff(args, p.data(13, 7)); diff != "" {
		t.Error(diff)
	}
	p.answer(13, 7, StatusOK)
}

// A method that takes its time holds up no other, until there are too many.
func TestSlowMethod(t *testing.T) {
	_, p, h, _ := serving(t)
	for i := range maxCalls - 1 {
		p.call(uint16(i), 7, "slow", nil)
		<-h.called
	}
	p.call(100, 7, "quick", nil)
	p.data(100, 7)
	p.answer(100, 7, StatusOK)
	p.call(101, 7, "slow", nil)
	<-h.called
	p.call(200, 7, "slow", nil)
	p.answer(200, 7, StatusTimeout)
	p.call(201, 7, "nosuch", nil)
	p.answer(201, 7, StatusMethodNotFound)
}

// Calls that wait leave room for the calls of other methods, be it of one that waits, too.
func TestWaitingMethod(t *testing.T) {
	_, p, h, _ := serving(t)
	const each = maxCalls / 4
	for i, name := range []string{"waits", "waits too"} {
		for n := range each {
			p.call(uint16(10*i+n), 7, name, nil)
			<-h.called
		}
		p.call(uint16(100+i), 7, name, nil)
		p.answer(uint16(100+i), 7, StatusTimeout)
	}
	for i := range maxCalls / 2 {
		p.call(uint16(200+i), 7, "slow", nil)
		<-h.called
	}
	p.call(300, 7, "quick", nil)
	p.answer(300, 7, StatusTimeout)
}

// The connection's end is the end of its calls; the next one starts afresh.
func TestRestart(t *testing.T) {
	f, p, h, s := serving(t)
	p.call(1, 7, "slow", nil)
	<-h.called
	for id := uint32(8); id < 12; id++ {
		f.ln.Close()
		p.nc.Close()
		f.listen()
		p = f.greet()
		p.register(id)
		p.call(2, id, "quick", nil)
		p.data(2, id)
		p.answer(2, id, StatusOK)
		s.Send("event", nil)
		m, _ := p.receive(MsgInvoke)
		p.status(m, StatusOK)
	}
}

// What is sent when the objects have come to be registered arrives, each time.
func TestOnRegistered(t *testing.T) {
	f := newFake(t)
	s := NewServer(f.path, Object{Name: "x"})
	s.OnRegistered = func() { s.Send("here", nil) }
	start(t, s)
	for id := uint32(7); id < 10; id++ {
		p := f.greet()
		p.register(id)
		m, a := p.receive(MsgInvoke)
		if args, err := a.Table(AttrData); err != nil || !cmp.Equal(args[0], Field{"id", "here"}) {
			t.Errorf("%+v, %v", args, err)
		}
		p.status(m, StatusOK)
		f.ln.Close()
		p.nc.Close()
		f.listen()
	}
}

// An error in a message's frame ends the connection, and the server comes back.
func TestBadFrame(t *testing.T) {
	f, p, _, _ := serving(t)
	_, err := p.nc.Write([]byte{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9})
	ok(t, err)
	p = f.greet()
	p.register(8)
}

func TestEvents(t *testing.T) {
	f := newFake(t)
	s := NewServer(f.path, Object{Name: "x"})
	errs := make(chan error, 10)
	s.OnError = func(err error) { errs <- err }
	s.Send("too.early", nil)
	start(t, s)
	p := f.greet()
	p.register(7) // events are taken since the hello
	data := Table{{"n", int32(0)}}
	receive := func(want int32) {
		t.Helper()
		m, a := p.receive(MsgInvoke)
		args, err := a.Table(AttrData)
		ok(t, err)
		if diff := cmp.Diff(Table{{"id", "e"}, {"data", Table{{"n", want}}}}, args); diff != "" {
			t.Error(diff)
		}
		p.status(m, Status(want%2)*StatusPermissionDenied)
	}
	s.Send("bad", Table{{"n", struct{}{}}})
	s.Send("long", Table{{"n", strings.Repeat("x", MaxMessage)}})
	for range 2 {
		if err := <-errs; !strings.Contains(err.Error(), "event bad") && !strings.Contains(err.Error(), "event long") {
			t.Error(err)
		}
	}
	s.Send("e", data)
	// ubusd takes its time: the queue fills, nothing blocks, and what is beyond gets lost.
	m, _ := p.receive(MsgInvoke)
	for i := range int32(maxEvents + 10) {
		data[0].Value = i + 1
		s.Send("e", data)
	}
	data[0].Value = "changed later"
	p.status(m, StatusOK)
	for i := range int32(maxEvents) {
		receive(i + 1)
	}
	if err := <-errs; !errors.Is(err, StatusPermissionDenied) {
		t.Error(err)
	}
	if len(errs) != 0 {
		t.Errorf("the same error again: %v", <-errs)
	}
	s.Send("e", Table{{"n", int32(100)}})
	receive(100)
}

// An object that ubusd does not take is tried again, less and less often; the others are served meanwhile.
func TestNameTaken(t *testing.T) {
	f := newFake(t)
	quick := []Method{{Name: "quick", Handle: func(context.Context, Table) (Table, error) { return nil, nil }}}
	s := NewServer(f.path, Object{"taken", quick}, Object{"free", quick})
	errs := make(chan error, 10)
	s.OnError = func(err error) { errs <- err }
	timers := make(chan time.Duration, 100)
	fire := make(chan time.Time)
	s.after = func(d time.Duration) <-chan time.Time {
		timers <- d
		return fire
	}
	start(t, s)
	p := f.greet()
	refuse := func() {
		t.Helper()
		m, a := p.receive(MsgAddObject)
		if name, _ := a.Text(AttrObjPath); name != "taken" {
			t.Errorf("registers %q", name)
		}
		p.status(m, StatusInvalidArgument)
	}
	refuse()
	p.register(7)
	if err := <-errs; !errors.Is(err, StatusInvalidArgument) || !strings.Contains(err.Error(), "taken") {
		t.Error(err)
	}
	want := retryMin
	for range 15 {
		if got := <-timers; got != want {
			t.Errorf("tries again after %v, want %v", got, want)
		}
		p.call(1, 7, "quick", nil)
		p.answer(1, 7, StatusOK)
		fire <- time.Time{}
		refuse()
		want = min(2*want, retryMax)
	}
	if len(errs) != 0 {
		t.Errorf("the same error again: %v", <-errs)
	}
	<-timers
	fire <- time.Time{}
	p.register(8)
	p.call(1, 8, "quick", nil)
	p.answer(1, 8, StatusOK)
}

// A client that is hung up on again and again is told so, once.
func TestHungUp(t *testing.T) {
	f := newFake(t)
	s := NewServer(f.path, Object{Name: "x"})
	timers := make(chan time.Duration, 100)
	s.after = func(d time.Duration) <-chan time.Time {
		timers <- d
		ch := make(chan time.Time, 1)
		ch <- time.Time{}
		return ch
	}
	errs := make(chan error, 10)
	s.OnError = func(err error) { errs <- err }
	start(t, s)
	for range 5 {
		f.accept().nc.Close()
		<-timers
		if len(errs) != 0 {
			t.Errorf("reports %v", <-errs)
		}
	}
	for range 5 {
		f.accept().nc.Close()
		<-timers
	}
	if err := <-errs; !errors.Is(err, errHungUp) || len(errs) != 0 {
		t.Errorf("%v, and %d more", err, len(errs))
	}
	f.greet().register(1)
}

func TestRunRefuses(t *testing.T) {
	for name, o := range map[string]Object{
		"no name":        {"", nil},
		"no method name": {"x", []Method{{}}},
		"no arg name":    {"x", []Method{{Name: "m", Args: []Arg{{}}}}},
	} {
		if err := NewServer("/nonexistent/ubus.sock", o).Run(within(t)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Run ends when it is told to, wherever it is.
func TestRunEnds(t *testing.T) {
	f := newFake(t)
	stop := start(t, NewServer(f.path, Object{Name: "x"}))
	f.accept() // says nothing
	stop()
	stop = start(t, NewServer(f.path, Object{Name: "x"}))
	f.greet().receive(MsgAddObject) // gets no answer
	stop()
	stop = start(t, NewServer(f.path+"/nowhere"))
	stop()
}
