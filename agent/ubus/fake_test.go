package ubus

import (
	"bufio"
	"context"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within is a context for what takes no time unless it hangs.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// fake is a socket at which the test itself plays ubusd.
type fake struct {
	t    *testing.T
	path string
	ln   *net.UnixListener
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, path: filepath.Join(t.TempDir(), "ubus.sock")}
	f.listen()
	return f
}

func (f *fake) listen() {
	f.t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.path, Net: "unix"})
	ok(f.t, err)
	f.ln = ln
	f.t.Cleanup(func() { ln.Close() })
}

// peer is a client of the fake.
type peer struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

// accept takes the next client.
func (f *fake) accept() *peer {
	f.t.Helper()
	ok(f.t, f.ln.SetDeadline(time.Now().Add(30*time.Second)))
	nc, err := f.ln.Accept()
	ok(f.t, err)
	ok(f.t, nc.SetDeadline(time.Now().Add(30*time.Second)))
	f.t.Cleanup(func() { nc.Close() })
	return &peer{f.t, nc, bufio.NewReader(nc)}
}

// greet accepts a client and says hello.
func (f *fake) greet() *peer {
	f.t.Helper()
	p := f.accept()
	p.send(Message{Type: MsgHello, Peer: 0x1234})
	return p
}

func (p *peer) send(m Message) {
	p.t.Helper()
	b, err := m.Append(nil)
	ok(p.t, err)
	_, err = p.nc.Write(b)
	ok(p.t, err)
}

func (p *peer) receive(want MessageType) (Message, Attrs) {
	p.t.Helper()
	m, err := ReadMessage(p.r)
	ok(p.t, err)
	a, err := m.Attrs()
	ok(p.t, err)
	if m.Type != want {
		p.t.Fatalf("got a message of type %d, want %d: %+v", m.Type, want, m)
	}
	return m, a
}

// status answers a message.
func (p *peer) status(m Message, s Status) {
	p.t.Helper()
	p.send(Message{Type: MsgStatus, Seq: m.Seq, Peer: m.Peer, Body: Body(nil).Uint32(AttrStatus, uint32(s))})
}

// register takes an object as ubusd would.
func (p *peer) register(id uint32) (name string) {
	p.t.Helper()
	m, a := p.receive(MsgAddObject)
	p.send(Message{Type: MsgData, Seq: m.Seq, Body: Body(nil).Uint32(AttrObjID, id)})
	p.status(m, StatusOK)
	name, _ = a.Text(AttrObjPath)
	return name
}

// call invokes a method of an object as ubusd would.
func (p *peer) call(seq uint16, id uint32, method string, args Table) {
	p.t.Helper()
	body, err := invocation(id, method, args)
	ok(p.t, err)
	p.send(Message{Type: MsgInvoke, Seq: seq, Peer: 0x77, Body: body})
}

// answer expects the status of a call.
func (p *peer) answer(seq uint16, id uint32, want Status) {
	p.t.Helper()
	m, a := p.receive(MsgStatus)
	status, _ := a.Uint32(AttrStatus)
	object, _ := a.Uint32(AttrObjID)
	if m.Seq != seq || m.Peer != 0x77 || object != id || Status(status) != want {
		p.t.Fatalf("got status %v for call %d from %#x of object %d, want %v for call %d from 0x77 of object %d",
			Status(status), m.Seq, m.Peer, object, want, seq, id)
	}
}

// data expects the data of a call.
func (p *peer) data(seq uint16, id uint32) Table {
	p.t.Helper()
	m, a := p.receive(MsgData)
	object, _ := a.Uint32(AttrObjID)
	if m.Seq != seq || m.Peer != 0x77 || object != id || a[AttrData] == nil {
		p.t.Fatalf("got data for call %d from %#x of object %d, want it for call %d from 0x77 of %d", m.Seq,
			m.Peer, object, seq, id)
	}
	table, err := a.Table(AttrData)
	ok(p.t, err)
	return table
}

// recorded is one write of a recorded session.
type recorded struct {
	fromClient bool
	data       []byte
}

// sessions reads the recorded sessions of a file.
func sessions(t testing.TB, name string) (out [][]recorded) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] == "#" {
			continue
		}
		b, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		if f[0] == "<" && b[1] == byte(MsgHello) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], recorded{f[0] == ">", b})
	}
	return out
}
