package ubus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"
)

// writeTimeout is how long ubusd may leave a message unread before the connection is given up. ubusd never waits for
// others.
const writeTimeout = 5 * time.Second

// errBusy is the answer to more requests at once than any caller needs.
var errBusy = errors.New("too many requests at once")

// errHungUp is a connection that ends before it has begun.
var errHungUp = errors.New(
	"it hung up at once, as ubusd does to users and groups that are not in /etc/passwd and /etc/group")

// Conn is a connection to ubusd. Its methods may be called from any goroutine, except that a function called by Conn
// must not call its methods.
type Conn struct {
	nc      net.Conn
	id      uint32
	timeout time.Duration // for one write
	done    chan struct{} // closed when nothing is received any more

	writing sync.Mutex // held while a message goes out

	mu      sync.Mutex
	seq     uint16
	pending map[uint16]*request
	objects map[uint32]invoked // by id
	err     error              // why the connection ended
}

// invoked handles an invocation of an object of ours. It must not block: it is called by the one who receives.
type invoked func(m Message, a Attrs)

// request is one that waits for its answer.
type request struct {
	peer uint32
	data func(Attrs) // takes each message with data; nil when there is no use for it
	left int         // bytes that may still come
	end  chan error  // gets nil, a Status, or why there is none
}

// Dial connects to ubusd at path; "" stands for DefaultPaths. ctx bounds the connecting only. The caller closes Conn.
func Dial(ctx context.Context, path string) (*Conn, error) {
	if path != "" {
		return dial(ctx, path)
	}
	var why error
	for _, p := range DefaultPaths() {
		c, err := dial(ctx, p)
		if err == nil {
			return c, nil
		}
		if why == nil || errors.Is(why, fs.ErrNotExist) {
			why = err
		}
	}
	return nil, why
}

func dial(ctx context.Context, path string) (*Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to ubusd: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	r := bufio.NewReader(nc)
	hello, err := ReadMessage(r)
	switch {
	case !stop():
		err = ctx.Err()
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		err = errHungUp
	case err == nil && (hello.Type != MsgHello || hello.Peer == 0):
		err = fmt.Errorf("its first message has type %d and names client %d: is that ubusd?", hello.Type, hello.Peer)
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to ubusd at %s: %w", path, err)
	}
	c := &Conn{
		nc: nc, id: hello.Peer, timeout: writeTimeout, done: make(chan struct{}),
		pending: map[uint16]*request{}, objects: map[uint32]invoked{},
	}
	go c.receive(r)
	return c, nil
}

// ID returns the id that ubusd has given to this client.
func (c *Conn) ID() uint32 { return c.id }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err tells why the connection has ended; nil while it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection. A caller that waits for an answer gets an error, and objects and listeners are gone.
func (c *Conn) Close() error {
	c.fail(net.ErrClosed)
	<-c.done
	return nil
}

// fail ends the connection; the first reason is kept.
func (c *Conn) fail(why error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = fmt.Errorf("the connection to ubusd has ended: %w", why)
	}
	c.mu.Unlock()
	c.nc.Close()
}

func (c *Conn) receive(r io.Reader) {
	defer close(c.done)
	for {
		m, err := ReadMessage(r)
		if err != nil {
			c.fail(err)
			return
		}
		switch m.Type {
		case MsgStatus, MsgData:
			c.answer(m)
		case MsgInvoke:
			c.invoke(m)
		}
	}
}

// answer gives a message to the request that it belongs to. Those that belong to none are late, and dropped.
func (c *Conn) answer(m Message) {
	c.mu.Lock()
	r := c.pending[m.Seq]
	c.mu.Unlock()
	if r == nil || r.peer != m.Peer {
		return
	}
	a, err := m.Attrs()
	if r.left -= len(m.Body); r.left < 0 {
		err = fmt.Errorf("the answer has more than %d bytes", MaxMessage)
	}
	if err == nil && m.Type == MsgData {
		if r.data != nil {
			r.data(a)
		}
		return
	}
	if err == nil {
		status, ok := a.Uint32(AttrStatus)
		if !ok {
			status = uint32(StatusInvalidArgument) // so does libubus
		}
		err = Status(status).err()
	}
	c.forget(m.Seq, r)
	select {
	case r.end <- err:
	default: // a second end that came while the first was being taken
	}
}

// forget ends the wait for an answer, unless the number is in use by another request already.
func (c *Conn) forget(seq uint16, r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[seq] == r {
		delete(c.pending, seq)
	}
}

// ask sends a request and waits for its status, which is the error unless it is success. data is called for each
// message with data before that; what it has written is for the caller only when ask returned nil or a Status.
func (c *Conn) ask(ctx context.Context, m Message, data func(Attrs)) error {
	r := &request{peer: m.Peer, data: data, left: MaxMessage, end: make(chan error, 1)}
	c.mu.Lock()
	if c.err != nil || len(c.pending) >= 1024 {
		defer c.mu.Unlock()
		if c.err != nil {
			return c.err
		}
		return errBusy
	}
	c.seq++
	for c.pending[c.seq] != nil {
		c.seq++
	}
	m.Seq = c.seq
	c.pending[m.Seq] = r
	c.mu.Unlock()
	defer c.forget(m.Seq, r)

	if err := c.write(m); err != nil {
		return err
	}
	select {
	case err := <-r.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
	}
	select {
	case err := <-r.end: // it was the last that came
		return err
	default:
		return c.Err()
	}
}

// write sends a message by one write, so that others cannot come between its parts.
func (c *Conn) write(m Message) error {
	b, err := m.Append(nil)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err = c.nc.SetWriteDeadline(time.Now().Add(c.timeout)); err == nil {
		_, err = c.nc.Write(b)
	}
	if err != nil {
		c.fail(err) // a part of it may be out
		return c.Err()
	}
	return nil
}
