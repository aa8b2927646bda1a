package ubusd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/ubus"
)

func TestRequests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	d := New()
	start(t, d, path)
	r, other := connect(t, path), connect(t, path)

	r.send(ubus.MsgPing, 9, 5, ubus.Body(nil).Text(ubus.AttrMethod, "x"))
	if m := r.receive(ubus.MsgData); m.Seq != 9 || m.Peer != 5 || len(m.Body) != 8 {
		t.Errorf("pong %+v", m)
	}
	r.status(9, 5, ubus.StatusOK)

	b, a2, a1 := r.add("b"), r.add("a2"), r.add("a1")
	anonymous := r.add("")
	if got := d.Objects(); !cmp.Equal(got, []string{"a1", "a2", "b"}) {
		t.Errorf("objects %q", got)
	}
	lookup := func(pattern string, want ubus.Status, ids ...uint32) {
		t.Helper()
		var body ubus.Body
		if pattern != "all" {
			body = body.Text(ubus.AttrObjPath, pattern)
		}
		other.send(ubus.MsgLookup, 1, 0, body)
		for _, id := range ids {
			a, err := other.receive(ubus.MsgData).Attrs()
			ok(t, err)
			if got, _ := a.Uint32(ubus.AttrObjID); got != id || a[ubus.AttrSignature] == nil {
				t.Errorf("look up %q: object %x, want %x", pattern, got, id)
			}
		}
		other.status(1, 0, want)
	}
	lookup("all", ubus.StatusOK, a1, a2, b)
	lookup("*", ubus.StatusOK, a1, a2, b)
	lookup("a*", ubus.StatusOK, a1, a2)
	lookup("a1", ubus.StatusOK, a1)
	lookup("a1*", ubus.StatusOK, a1)
	lookup("a", ubus.StatusNotFound)
	lookup("z*", ubus.StatusNotFound)
	lookup("", ubus.StatusInvalidArgument)

	taken := ubus.Body(nil).Text(ubus.AttrObjPath, "b").Bytes(ubus.AttrSignature, nil)
	other.send(ubus.MsgAddObject, 1, 0, taken)
	other.status(1, 0, ubus.StatusInvalidArgument)

	remove := func(r *raw, id uint32, want ubus.Status) {
		t.Helper()
		r.send(ubus.MsgRemoveObject, 3, 0, ubus.Body(nil).Uint32(ubus.AttrObjID, id))
		if want == ubus.StatusOK {
			r.receive(ubus.MsgData)
		}
		r.status(3, 0, want)
	}
	remove(other, b, ubus.StatusPermissionDenied)
	remove(r, b, ubus.StatusOK)
	remove(r, b, ubus.StatusNotFound)
	remove(r, anonymous, ubus.StatusOK)
	other.send(ubus.MsgRemoveObject, 3, 0, nil)
	other.status(3, 0, ubus.StatusInvalidArgument)
	other.add("b")

	invoke := func(body ubus.Body, want ubus.Status) {
		t.Helper()
		other.send(ubus.MsgInvoke, 4, 8, body)
		other.status(4, 8, want)
	}
	invoke(ubus.Body(nil).Uint32(ubus.AttrObjID, b), ubus.StatusInvalidArgument)
	invoke(ubus.Body(nil).Text(ubus.AttrMethod, "x"), ubus.StatusInvalidArgument)
	invoke(ubus.Body(nil).Uint32(ubus.AttrObjID, b).Text(ubus.AttrMethod, "x"), ubus.StatusNotFound)
	for kind, want := range map[ubus.MessageType]ubus.Status{
		ubus.MsgHello: ubus.StatusInvalidCommand, 77: ubus.StatusInvalidCommand,
		ubus.MsgNotify: ubus.StatusNotSupported,
	} {
		other.send(kind, 5, 6, nil)
		other.status(5, 6, want)
	}

	// Answers are passed on only from the object's own client, and to a client that exists.
	for _, from := range []*raw{other, r} {
		from.send(ubus.MsgStatus, 6, other.id, ubus.Body(nil).Uint32(ubus.AttrStatus, 2).Uint32(ubus.AttrObjID, a1))
		from.send(ubus.MsgStatus, 6, 1, ubus.Body(nil).Uint32(ubus.AttrStatus, 2).Uint32(ubus.AttrObjID, a1))
		from.send(ubus.MsgData, 6, other.id, ubus.Body(nil).Uint32(ubus.AttrObjID, a1))
		from.send(ubus.MsgStatus, 6, other.id, ubus.Body(nil).Uint32(ubus.AttrObjID, a1))
	}
	if m := other.receive(ubus.MsgStatus); m.Seq != 6 || m.Peer != a1 {
		t.Errorf("answer %+v", m)
	}
	lookup("a2", ubus.StatusOK, a2) // nothing else was there

	// A client that goes takes its objects along; nonsense is a way to go.
	_, err := r.nc.Write(bytes.Repeat([]byte{0xff}, 12))
	ok(t, err)
	if _, err := r.nc.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after nonsense: %v", err)
	}
	ok(t, d.AwaitGone(within(t), "a1"))
	lookup("*", ubus.StatusOK, must(ubusID(other, "b")))
}

// A type may be used by other objects, and goes with the last of them.
func TestTypes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	start(t, New(), path)
	r := connect(t, path)
	ask := func(kind ubus.MessageType, body ubus.Body) (id, objectType uint32, hasType bool) {
		t.Helper()
		r.send(kind, 1, 0, body)
		a, err := r.receive(ubus.MsgData).Attrs()
		ok(t, err)
		r.status(1, 0, ubus.StatusOK)
		id, _ = a.Uint32(ubus.AttrObjID)
		objectType, hasType = a.Uint32(ubus.AttrObjType)
		return id, objectType, hasType
	}
	typed := func(name string, objectType uint32) ubus.Body {
		return ubus.Body(nil).Text(ubus.AttrObjPath, name).Uint32(ubus.AttrObjType, objectType)
	}
	first, kind, has := ask(ubus.MsgAddObject, ubus.Body(nil).Text(ubus.AttrObjPath,
		"a").Bytes(ubus.AttrSignature, mustTable(t)))
	if !has {
		t.Fatal("no type")
	}
	second, _, has := ask(ubus.MsgAddObject, typed("b", kind))
	if has {
		t.Error("a type that is known is told again")
	}
	r.send(ubus.MsgLookup, 1, 0, ubus.Body(nil).Text(ubus.AttrObjPath, "b"))
	a, err := r.receive(ubus.MsgData).Attrs()
	ok(t, err)
	if got, _ := a.Uint32(ubus.AttrObjType); got != kind || !bytes.Equal(a[ubus.AttrSignature], mustTable(t)) {
		t.Errorf("type %x with methods %x", got, a[ubus.AttrSignature])
	}
	r.status(1, 0, ubus.StatusOK)
	if _, _, has := ask(ubus.MsgRemoveObject, ubus.Body(nil).Uint32(ubus.AttrObjID, first)); has {
		t.Error("the type went with the first object")
	}
	if _, got, has := ask(ubus.MsgRemoveObject, ubus.Body(nil).Uint32(ubus.AttrObjID, second)); !has || got != kind {
		t.Error("the type did not go with the last object")
	}
	ask(ubus.MsgAddObject, typed("c", kind))
	r.send(ubus.MsgLookup, 1, 0, ubus.Body(nil).Text(ubus.AttrObjPath, "c"))
	r.status(1, 0, ubus.StatusOK) // found, but without a type there is nothing to show
}

func TestEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	d := New()
	start(t, d, path)
	r, sender := connect(t, path), connect(t, path)
	id, second := r.add(""), r.add("")
	own := sender.add("")
	r.listen(id, "my.*", ubus.StatusOK)
	r.listen(id, "my.event", ubus.StatusOK) // heard once all the same
	r.listen(second, "my.event", ubus.StatusOK)
	r.listen(id, "ubus.object.*", ubus.StatusOK)
	sender.listen(own, "*", ubus.StatusOK) // no echo
	r.listen(own, "*", ubus.StatusPermissionDenied)
	r.listen(5, "*", ubus.StatusPermissionDenied)
	r.listen(5000, "*", ubus.StatusNotFound)
	r.event("register", ubus.Table{{Name: "pattern", Value: "*"}}, ubus.StatusInvalidArgument)
	r.event("unregister", nil, ubus.StatusInvalidCommand)

	send := func(name string, data any, want ubus.Status) {
		t.Helper()
		sender.event("send", ubus.Table{{Name: "id", Value: name}, {Name: "data", Value: data}}, want)
	}
	data := ubus.Table{{Name: "n", Value: int32(1)}, {Name: "empty", Value: ubus.Table{}}}
	send("my.event", data, ubus.StatusOK)
	send("my.event2", ubus.Table{}, ubus.StatusOK)
	send("your.event", data, ubus.StatusOK)
	send("ubus.object.add", data, ubus.StatusPermissionDenied)
	send("my.event", "text", ubus.StatusInvalidArgument)
	r.hears(1, id, "my.event", data)
	r.hears(2, second, "my.event", data)
	r.hears(3, id, "my.event2", nil)

	// One event number each for r and for the sender's own listener: objects come from ubusd itself.
	object := connect(t, path).add("thing")
	about := ubus.Table{{Name: "id", Value: int32(object)}, {Name: "path", Value: "thing"}}
	sender.hears(4, own, "ubus.object.add", about)
	r.hears(5, id, "ubus.object.add", about)

	// An object that is gone hears nothing.
	r.send(ubus.MsgRemoveObject, 3, 0, ubus.Body(nil).Uint32(ubus.AttrObjID, id))
	r.receive(ubus.MsgData)
	r.status(3, 0, ubus.StatusOK)
	send("my.event", data, ubus.StatusOK)
	r.hears(6, second, "my.event", data)
}

// Others than root see and may nothing.
func TestOnlyRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	d := New()
	start(t, d, path)
	r := connect(t, path)
	id := r.add("named")
	anonymous := r.add("")
	r.send(ubus.MsgAddObject, 1, 0, ubus.Body(nil).Text(ubus.AttrObjPath,
		"full").Bytes(ubus.AttrSignature, mustTable(t)))
	r.receive(ubus.MsgData)
	r.status(1, 0, ubus.StatusOK)

	c := &client{id: 5000, who: identity{1000, "user", "users"}, more: make(chan struct{}, 1)}
	for _, tt := range []struct {
		name string
		kind ubus.MessageType
		body ubus.Body
		want ubus.Status
	}{
		{"add", ubus.MsgAddObject, ubus.Body(nil).Text(ubus.AttrObjPath, "x"), ubus.StatusInvalidArgument},
		{"invoke", ubus.MsgInvoke, ubus.Body(nil).Uint32(ubus.AttrObjID, id).Text(ubus.AttrMethod, "x"),
			ubus.StatusPermissionDenied},
		{"lookup", ubus.MsgLookup, ubus.Body(nil).Text(ubus.AttrObjPath, "full"), ubus.StatusOK},
	} {
		c.queue = nil
		d.handle(c, ubus.Message{Type: tt.kind, Body: tt.body})
		want, err := ubus.Message{Type: ubus.MsgStatus,
			Body: ubus.Body(nil).Uint32(ubus.AttrStatus, uint32(tt.want))}.Append(nil)
		ok(t, err)
		if diff := cmp.Diff([][]byte{want}, c.queue); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	event := eventArgs(t, ubus.Table{{Name: "id", Value: "x"}, {Name: "data", Value: ubus.Table{}}})
	if got := d.event(c, "send", event); got != ubus.StatusPermissionDenied {
		t.Errorf("event: %v", got)
	}
	c.queue = nil
	body := ubus.Body(nil).Uint32(ubus.AttrObjID, anonymous).Text(ubus.AttrMethod, "x")
	d.handle(c, ubus.Message{Type: ubus.MsgInvoke, Body: body})
	a, err := r.receive(ubus.MsgInvoke).Attrs()
	ok(t, err)
	if user, _ := a.Text(ubus.AttrUser); user != "user" || len(c.queue) != 0 {
		t.Errorf("an object without a name is for all users: %q, %q", user, c.queue)
	}
}

func mustTable(t *testing.T) []byte {
	b, err := ubus.AppendTable(nil, ubus.Table{{Name: "m", Value: ubus.Table{}}})
	ok(t, err)
	return b
}

func eventArgs(t *testing.T, args ubus.Table) (a ubus.Attrs) {
	b, err := ubus.AppendTable(nil, args)
	ok(t, err)
	a[ubus.AttrData] = b
	return a
}

// A client that does not read loses messages, and holds up no other.
func TestSlowClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	d := New()
	start(t, d, path)
	lazy, r := connect(t, path), connect(t, path)
	id := lazy.add("")
	lazy.listen(id, "*", ubus.StatusOK)
	big := ubus.Table{{Name: "id", Value: "e"}, {Name: "data",
		Value: ubus.Table{{Name: "x", Value: strings.Repeat("x", 1<<19)}}}}
	for range 10 {
		r.event("send", big, ubus.StatusOK)
	}
	d.mu.Lock()
	c := d.clients[lazy.id]
	d.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued > maxQueue+12 {
		t.Errorf("%d bytes are queued", c.queued)
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ubus.sock")
	ln, err := Listen(path)
	ok(t, err)
	ln.SetUnlinkOnClose(false)
	ln.Close()
	ln, err = Listen(path) // over the stale one
	ok(t, err)
	info, err := os.Stat(path)
	ok(t, err)
	if info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v", info.Mode())
	}
	ln.Close()
	if err := New().Serve(within(t), ln); err == nil {
		t.Error("served a listener that was closed before")
	}
	if _, err := Listen(dir); err == nil {
		t.Error("listens at a folder")
	}
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	if err := New().Await(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
