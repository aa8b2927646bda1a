package ubusd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wguplink/agent/ubus"
)

// serve runs a server of agent/ubus to the end of the test.
func serve(t *testing.T, s *ubus.Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func dial(t *testing.T, path string) *ubus.Conn {
	t.Helper()
	c, err := ubus.Dial(within(t), path)
	ok(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// Client and server of agent/ubus, through the daemon: a slow method holds up no other.
func TestTalk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus", "ubus.sock")
	began, finish := make(chan struct{}, 1), make(chan struct{})
	s := ubus.NewServer(path, ubus.Object{Name: "test.a", Methods: []ubus.Method{
		{Name: "slow", Handle: func(context.Context, ubus.Table) (ubus.Table, error) {
			began <- struct{}{}
			<-finish
			return ubus.Table{{Name: "slow", Value: true}}, nil
		}},
		{Name: "echo", Args: []ubus.Arg{{Name: "n", Type: ubus.TypeInt32}},
			Handle: func(_ context.Context, args ubus.Table) (ubus.Table, error) { return args, nil }},
		{Name: "fail", Handle: func(context.Context, ubus.Table) (ubus.Table, error) {
			return ubus.Table{{Name: "why", Value: "because"}}, fmt.Errorf("no: %w", ubus.StatusNotSupported)
		}},
	}}, ubus.Object{Name: "test.b"})
	serve(t, s) // before the daemon, and its folder
	d := New()
	ok(t, os.Mkdir(filepath.Dir(path), 0o755))
	start(t, d, path)
	ok(t, d.Await(within(t), "test.b"))

	c := dial(t, path)
	ctx := within(t)
	objects, err := c.Lookup(ctx, "test.*")
	ok(t, err)
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
	}
	if diff := cmp.Diff([]string{"test.a", "test.b"}, names); diff != "" {
		t.Error(diff)
	}
	want := []ubus.Method{{Name: "slow"}, {Name: "echo", Args: []ubus.Arg{{Name: "n", Type: ubus.TypeInt32}}},
		{Name: "fail"}}
	if diff := cmp.Diff(want, objects[0].Methods); diff != "" {
		t.Error(diff)
	}

	type result struct {
		data ubus.Table
		err  error
	}
	slow := make(chan result, 1)
	go func() {
		data, err := c.Call(ctx, "test.a", "slow", nil)
		slow <- result{data, err}
	}()
	<-began
	args := ubus.Table{{Name: "n", Value: int32(1)}, {Name: "t", Value: ubus.Table{}},
		{Name: "a", Value: ubus.Array{1.5, nil}}}
	for _, client := range []*ubus.Conn{c, dial(t, path)} {
		got, err := client.Call(ctx, "test.a", "echo", args)
		if diff := cmp.Diff(args, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
	close(finish)
	if r := <-slow; r.err != nil || !cmp.Equal(r.data, ubus.Table{{Name: "slow", Value: true}}) {
		t.Errorf("slow: %+v", r)
	}

	got, err := c.Call(ctx, "test.a", "fail", nil)
	if !errors.Is(err, ubus.StatusNotSupported) || !cmp.Equal(got, ubus.Table{{Name: "why", Value: "because"}}) {
		t.Errorf("fail: %v, %v", got, err)
	}
	for _, tt := range []struct {
		object, method string
		args           ubus.Table
		want           ubus.Status
	}{
		{"test.a", "echo", ubus.Table{{Name: "n", Value: "1"}}, ubus.StatusInvalidArgument},
		{"test.a", "nosuch", nil, ubus.StatusMethodNotFound},
		{"test.c", "echo", nil, ubus.StatusNotFound},
	} {
		if data, err := c.Call(ctx, tt.object, tt.method, tt.args); !errors.Is(err, tt.want) || data != nil {
			t.Errorf("%s %s: %v, %v", tt.object, tt.method, data, err)
		}
	}
	if _, err := c.Lookup(ctx, "none"); !errors.Is(err, ubus.StatusNotFound) {
		t.Error(err)
	}
}

// Events reach who listens for them, from a client and from a server, and no other client.
func TestTalkEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	d := New()
	start(t, d, path)
	c, listener := dial(t, path), dial(t, path)
	type event struct {
		Name string
		Data ubus.Table
	}
	events := make(chan event, 10)
	hear := func(name string, data ubus.Table) { events <- event{name, data} }
	ok(t, listener.Listen(within(t), "my.*", hear))
	ok(t, listener.Listen(within(t), "ubus.object.*", hear))
	ok(t, c.Send(within(t), "your.event", nil))
	ok(t, c.Send(within(t), "my.event", nil))
	if diff := cmp.Diff(event{"my.event", ubus.Table{}}, <-events); diff != "" {
		t.Error(diff)
	}
	s := ubus.NewServer(path, ubus.Object{Name: "x"})
	serve(t, s)
	if e := <-events; e.Name != "ubus.object.add" {
		t.Errorf("%+v", e)
	}
	s.Send("my.state", ubus.Table{{Name: "n", Value: 5}})
	if diff := cmp.Diff(event{"my.state", ubus.Table{{Name: "n", Value: int32(5)}}}, <-events); diff != "" {
		t.Error(diff)
	}
	if err := c.Send(within(t), "ubus.fake", nil); !errors.Is(err, ubus.StatusPermissionDenied) {
		t.Error(err)
	}
}

// The daemon is stopped, or dies and leaves its socket behind, and starts again.
func TestTalkRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	s := ubus.NewServer(path, ubus.Object{Name: "x", Methods: []ubus.Method{{
		Name: "get", Handle: func(context.Context, ubus.Table) (ubus.Table, error) { return ubus.Table{}, nil },
	}}})
	s.OnError = func(err error) { t.Errorf("reports %v", err) }
	serve(t, s)
	for i := range 6 {
		d := New()
		ln, err := Listen(path)
		ok(t, err)
		ln.SetUnlinkOnClose(i%2 == 0)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func(ln net.Listener) { done <- d.Serve(ctx, ln) }(ln)
		ok(t, d.Await(within(t), "x"))
		c := dial(t, path)
		if _, err := c.Call(within(t), "x", "get", nil); err != nil {
			t.Error(err)
		}
		cancel()
		ok(t, <-done)
		<-c.Done()
	}
}

// A name that is taken is tried until it is free.
func TestTalkNameTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ubus.sock")
	d := New()
	start(t, d, path)
	first := connect(t, path)
	first.add("x")
	again := make(chan struct{})
	ok(t, dial(t, path).Listen(within(t), "ubus.object.add", func(_ string, data ubus.Table) {
		if name, _ := data.String("path"); name == "x" {
			close(again)
		}
	}))
	s := ubus.NewServer(path, ubus.Object{Name: "x"}, ubus.Object{Name: "y"})
	errs := make(chan error, 1)
	s.OnError = func(err error) { errs <- err }
	serve(t, s)
	if err := <-errs; !errors.Is(err, ubus.StatusInvalidArgument) {
		t.Error(err)
	}
	ok(t, d.Await(within(t), "y"))
	first.nc.Close()
	select {
	case <-again:
	case <-within(t).Done():
		t.Error("x did not come back")
	}
}
