package mqtt

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Defaults of the programs that the lab's clients stand for: freifunkMUC/wgkex, wgkex/config/config.py, and the
// reconnect delays of the Python client that it uses.
const (
	DefaultKeepAlive = 5 * time.Second
	reconnectLeast   = time.Second
	reconnectMost    = 120 * time.Second
)

// Options of a Client. Server, Dial and ID are required.
type Options struct {
	Server string // host:port
	// Dial opens the connection, on whichever host the client is to be.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ID is the client's name at the server. A second client of the same name takes the first one's place.
	ID        string
	KeepAlive time.Duration // default DefaultKeepAlive; whole seconds
	// Will is what the server publishes when the client is gone without a word: after one and a half times KeepAlive at
	// the latest.
	Will *Message
	// OnConnect runs after each connection, on a goroutine of its own: the place to subscribe and to publish what is
	// kept.
	OnConnect func(Bus)
}

// Client is one connection to an MQTT server, made again whenever it breaks.
type Client struct {
	o      Options
	client paho.Client

	mu    sync.Mutex
	conns []*conn
	cut   bool
}

// Connect returns when the server has accepted the client, or ctx has ended.
func Connect(ctx context.Context, o Options) (*Client, error) {
	if o.KeepAlive == 0 {
		o.KeepAlive = DefaultKeepAlive
	}
	c := &Client{o: o}
	po := paho.NewClientOptions().AddBroker("tcp://" + o.Server).SetClientID(o.ID).SetKeepAlive(o.KeepAlive).
		SetProtocolVersion(4).SetCleanSession(true).SetOrderMatters(true).
		SetAutoReconnect(true).SetMaxReconnectInterval(reconnectMost).SetConnectRetry(
		true).SetConnectRetryInterval(reconnectLeast).
		SetCustomOpenConnectionFn(c.open)
	if w := o.Will; w != nil {
		po.SetBinaryWill(w.Topic, w.Payload, w.QoS, w.Retain)
	}
	if o.OnConnect != nil {
		po.SetOnConnectHandler(func(paho.Client) { o.OnConnect(c) })
	}
	c.client = paho.NewClient(po)
	t := c.client.Connect()
	select {
	case <-t.Done():
	case <-ctx.Done():
		c.Close()
		return nil, fmt.Errorf("mqtt client %s at %s: %w", o.ID, o.Server, ctx.Err())
	}
	if err := t.Error(); err != nil {
		return nil, fmt.Errorf("mqtt client %s at %s: %w", o.ID, o.Server, err)
	}
	return c, nil
}

// Publish implements Bus. A message of QoS 1 is sent again after a connection was lost.
func (c *Client) Publish(m Message) error {
	t := c.client.Publish(m.Topic, m.QoS, m.Retain, m.Payload)
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return fmt.Errorf("mqtt client %s: publish %s: %w", c.o.ID, m.Topic, err)
		}
	default: // under way
	}
	return nil
}

// Subscribe implements Bus. It waits for the server's word. A new connection has no subscriptions; see
// Options.OnConnect.
func (c *Client) Subscribe(filter string, f func(Message)) error {
	t := c.client.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) {
		f(Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retain: m.Retained()})
	})
	<-t.Done()
	if err := t.Error(); err != nil {
		return fmt.Errorf("mqtt client %s: subscribe to %s: %w", c.o.ID, filter, err)
	}
	return nil
}

// Close leaves the server with a word, so that it publishes no will.
func (c *Client) Close() {
	const settle = 250 // milliseconds in which messages under way may still go out; the library's own example
	c.client.Disconnect(settle)
}

// Cut takes the client off the net as a host that loses its power: nothing goes out or comes in any more, and the
// server is not told. The client ends.
func (c *Client) Cut() {
	c.mu.Lock()
	c.cut = true
	for _, conn := range c.conns {
		conn.freeze()
	}
	c.mu.Unlock()
	c.client.Disconnect(0)
}

// Release closes what Cut left open, so that the server sees the end of the connection. It is for tidying up.
func (c *Client) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Conn.Close()
	}
	c.conns = nil
}

// Drop breaks the connection once; the client makes a new one.
func (c *Client) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Conn.Close()
	}
	c.conns = nil
}

func (c *Client) open(_ *url.URL, po paho.ClientOptions) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), po.ConnectTimeout)
	defer cancel()
	raw, err := c.o.Dial(ctx, "tcp", c.o.Server)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		raw.Close()
		return nil, net.ErrClosed
	}
	made := &conn{Conn: raw, frozen: make(chan struct{})}
	c.conns = append(c.conns, made)
	return made, nil
}

// conn is a connection that can be frozen: its user sees it closed, its other end sees nothing.
type conn struct {
	net.Conn
	once   sync.Once
	frozen chan struct{}
}

func (c *conn) freeze() {
	c.once.Do(func() {
		close(c.frozen)
		c.Conn.SetDeadline(time.Unix(1, 0)) // wakes who reads and who writes
	})
}

func (c *conn) isFrozen() bool {
	select {
	case <-c.frozen:
		return true
	default:
		return false
	}
}

func (c *conn) Read(b []byte) (int, error) {
	if c.isFrozen() {
		return 0, net.ErrClosed
	}
	return c.Conn.Read(b)
}

func (c *conn) Write(b []byte) (int, error) {
	if c.isFrozen() {
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// SetDeadline and the like must not take a frozen connection's deadline back.
func (c *conn) SetDeadline(t time.Time) error {
	if c.isFrozen() {
		return net.ErrClosed
	}
	return c.Conn.SetDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	if c.isFrozen() {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.isFrozen() {
		return net.ErrClosed
	}
	return c.Conn.SetWriteDeadline(t)
}

// Close leaves a frozen connection open: a host without power sends no FIN.
func (c *conn) Close() error {
	if c.isFrozen() {
		return nil
	}
	return c.Conn.Close()
}
