// Package ubusd is a message bus for the lab that behaves like OpenWrt's ubusd (openwrt/ubus: ubusd_proto.c,
// ubusd_obj.c, ubusd_event.c), as far as services and their callers use it: hello, ping, lookup, invoke, objects and
// events. Only root may do anything, as without an ACL file. Subscriptions, monitoring and the passing of file
// descriptors are left out.
package ubusd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sort"
	"sync"

	"golang.org/x/sys/unix"

	"wguplink/agent/ubus"
)

// Daemon is one ubusd. Its methods may be called from any goroutine.
type Daemon struct {
	// NewID makes the ids of clients, types and objects, in the order in which ubusd does; nil means at random. It is
	// asked again for one that is in use or below 1024. Set before Serve.
	NewID func() uint32
	// Group names a client's group, as /etc/group does where ubusd runs; nil asks the machine's. An error ends the
	// client. Set before Serve.
	Group func(gid uint32) (string, error)

	mu       sync.Mutex
	clients  map[uint32]*client
	types    map[uint32]*objectType
	objects  map[uint32]*object
	byName   map[string]*object
	patterns []*pattern    // sorted by prefix
	eventSeq uint16        // of the last event sent
	changed  chan struct{} // closed, and made anew, when a name comes or goes
}

// systemObjectMax is the first id that is not ubusd's own (UBUS_SYSTEM_OBJECT_MAX in ubusmsg.h).
const systemObjectMax = 1024

// New returns a daemon that serves no client yet.
func New() *Daemon {
	return &Daemon{
		clients: map[uint32]*client{}, types: map[uint32]*objectType{}, objects: map[uint32]*object{},
		byName: map[string]*object{}, changed: make(chan struct{}),
	}
}

// Listen makes the socket as ubusd does: over a stale one, and open to all users. The folder must exist. Closing the
// listener removes the socket.
func Listen(path string) (*net.UnixListener, error) {
	if err := unix.Unlink(path); err != nil && err != unix.ENOENT {
		return nil, fmt.Errorf("ubusd: unlink %s: %w", path, err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("ubusd: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		ln.Close()
		return nil, fmt.Errorf("ubusd: %w", err)
	}
	return ln, nil
}

// Serve serves clients of ln until ctx ends, then closes ln and all connections, and returns nil once they are done
// with.
func (d *Daemon) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	var clients sync.WaitGroup
	defer clients.Wait()
	all, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		nc, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				nc.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("ubusd: %w", err)
		}
		who, err := d.credentials(nc)
		if err != nil { // ubusd does the same to users and groups without a name
			nc.Close()
			continue
		}
		clients.Add(1)
		go func() {
			defer clients.Done()
			d.serve(all, nc, who)
		}()
	}
}

// Objects returns the names of all objects, sorted.
func (d *Daemon) Objects() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names()
}

func (d *Daemon) names() []string {
	var names []string
	for name := range d.byName {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Await returns when an object of that name is registered.
func (d *Daemon) Await(ctx context.Context, name string) error {
	return d.await(ctx, name, true)
}

// AwaitGone returns when no object of that name is registered.
func (d *Daemon) AwaitGone(ctx context.Context, name string) error {
	return d.await(ctx, name, false)
}

func (d *Daemon) await(ctx context.Context, name string, there bool) error {
	for {
		d.mu.Lock()
		ok := (d.byName[name] != nil) == there
		changed, names := d.changed, d.names()
		d.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("ubusd: wait for object %s (there: %v), and there are %q: %w", name, there,
				names, ctx.Err())
		}
	}
}

// newID returns an id that taken does not know.
func (d *Daemon) newID(taken func(uint32) bool) uint32 {
	for {
		id := rand.Uint32()
		if d.NewID != nil {
			id = d.NewID()
		}
		if id >= systemObjectMax && !taken(id) {
			return id
		}
	}
}

// handle does what a message asks for. Answers are queued, so that no client has to wait for another.
func (d *Daemon) handle(c *client, m ubus.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Attributes that make no sense are as good as none.
	a, _ := m.Attrs()
	var status ubus.Status
	switch m.Type {
	case ubus.MsgPing:
		pong := m
		pong.Type = ubus.MsgData
		c.send(pong)
	case ubus.MsgLookup:
		status = d.lookup(c, m, a)
	case ubus.MsgInvoke:
		var passed bool
		if status, passed = d.invoke(c, m, a); passed {
			return
		}
	case ubus.MsgStatus, ubus.MsgData:
		d.respond(c, m, a)
		return
	case ubus.MsgAddObject:
		status = d.addObject(c, m, a)
	case ubus.MsgRemoveObject:
		status = d.removeObject(c, m, a)
	case ubus.MsgSubscribe, ubus.MsgUnsubscribe, ubus.MsgNotify:
		status = ubus.StatusNotSupported // only here
	default:
		status = ubus.StatusInvalidCommand
	}
	m.Type, m.Body = ubus.MsgStatus, ubus.Body(nil).Uint32(ubus.AttrStatus, uint32(status))
	c.send(m)
}
