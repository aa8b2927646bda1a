package ubus

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// replay plays ubusd's part of a recorded session; the client's part must be the same to the byte.
func (p *peer) replay(s []recorded) {
	p.t.Helper()
	for i, r := range s {
		if !r.fromClient {
			_, err := p.nc.Write(r.data)
			ok(p.t, err)
			continue
		}
		got := make([]byte, len(r.data))
		_, err := io.ReadFull(p.r, got)
		ok(p.t, err)
		if !bytes.Equal(got, r.data) {
			p.t.Fatalf("write %d\n got %x\nwant %x", i, got, r.data)
		}
	}
}

// What the real ubusd and its clients wrote comes out of our coder as it went in.
func TestRecordedMessages(t *testing.T) {
	n := 0
	for _, name := range []string{"client.txt", "server.txt"} {
		for _, s := range sessions(t, name) {
			for _, w := range s {
				for r := bytes.NewReader(w.data); r.Len() > 0; n++ {
					from := len(w.data) - r.Len()
					m, err := ReadMessage(r)
					ok(t, err)
					want := w.data[from : len(w.data)-r.Len()]
					a, err := m.Attrs()
					ok(t, err)
					for _, id := range []Attr{AttrData, AttrSignature} {
						table, err := a.Table(id)
						ok(t, err)
						if b, err := AppendTable(nil, table); err != nil || !bytes.Equal(b, a[id]) {
							t.Errorf("table %v\n got %x, %v\nwant %x", table, b, err, a[id])
						}
					}
					if b, err := m.Append(nil); err != nil || !bytes.Equal(b, want) {
						t.Errorf("message\n got %x, %v\nwant %x", b, err, want)
					}
				}
			}
		}
	}
	if n != 26 {
		t.Errorf("%d messages in the vectors, want 26", n)
	}
}

const recordedObject = "wgpeerselector.wg_mesh"

// recordedPeers is what the recorded object answered. Lua made an array of the empty table.
var recordedPeers = Table{{"peers", Table{{"gw1", Table{{"established", int32(1490)}}}, {"gw2", Array{}}}}}

func TestClientAsRecorded(t *testing.T) {
	f := newFake(t)
	info := ObjectInfo{ID: 0x45bf5e3c, TypeID: 0x89d16f6d, Name: recordedObject, Methods: []Method{{Name: "status"}}}
	runs := []func(c *Conn) error{
		func(c *Conn) error {
			got, err := c.Lookup(within(t), "")
			if diff := cmp.Diff([]ObjectInfo{info}, got); diff != "" {
				t.Error(diff)
			}
			return err
		},
		func(c *Conn) error {
			got, err := c.Call(within(t), recordedObject, "status", nil)
			if diff := cmp.Diff(recordedPeers, got); diff != "" {
				t.Error(diff)
			}
			return err
		},
		func(c *Conn) error {
			got, err := c.Call(within(t), recordedObject, "nosuch", nil)
			if !errors.Is(err, StatusMethodNotFound) || got != nil {
				t.Errorf("nosuch: %v, %v", got, err)
			}
			return nil
		},
	}
	all := sessions(t, "client.txt")
	if len(all) != len(runs) {
		t.Fatalf("%d sessions", len(all))
	}
	for i, s := range all {
		done := make(chan error, 1)
		go func() {
			c, err := Dial(within(t), f.path)
			if err != nil {
				done <- err
				return
			}
			defer c.Close()
			done <- runs[i](c)
		}()
		f.accept().replay(s)
		ok(t, <-done)
	}
}

func TestServerAsRecorded(t *testing.T) {
	f := newFake(t)
	start(t, NewServer(f.path, Object{recordedObject, []Method{{
		Name:   "status",
		Handle: func(context.Context, Table) (Table, error) { return recordedPeers, nil },
	}}}))
	f.accept().replay(sessions(t, "server.txt")[0])
}

// start runs a server to the end of the test.
func start(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}
