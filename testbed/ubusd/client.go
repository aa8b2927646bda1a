package ubusd

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"wguplink/agent/ubus"
)

// maxQueue is how many bytes wait for a client; what is beyond gets lost (UBUS_CLIENT_MAX_TXQ_LEN in ubusd.h).
const maxQueue = ubus.MaxMessage

// identity is who a client is.
type identity struct {
	uid         uint32
	user, group string
}

// machineGroup looks a group up in the machine's /etc/group.
func machineGroup(gid uint32) (string, error) {
	g, err := user.LookupGroupId(strconv.FormatUint(uint64(gid), 10))
	if err != nil {
		return "", err
	}
	return g.Name, nil
}

// credentials asks the kernel. A connection that is no Unix socket is root's.
func (d *Daemon) credentials(nc net.Conn) (identity, error) {
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		return identity{0, "root", "root"}, nil
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return identity{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return identity{}, err
	}
	if credErr != nil {
		return identity{}, fmt.Errorf("peer credentials: %w", credErr)
	}
	u, err := user.LookupId(strconv.Itoa(int(cred.Uid)))
	if err != nil {
		return identity{}, err
	}
	look := d.Group
	if look == nil {
		look = machineGroup
	}
	group, err := look(cred.Gid)
	if err != nil {
		return identity{}, err
	}
	return identity{cred.Uid, u.Username, group}, nil
}

// client is a connection.
type client struct {
	id      uint32
	who     identity
	objects []*object

	mu     sync.Mutex
	queue  [][]byte
	queued int           // bytes
	more   chan struct{} // holds an item when there may be something in the queue
}

// may tells whether the client may do something to what has a name.
func (c *client) may(name string) bool {
	return c.who.uid == 0 || name == ""
}

// send queues a message.
func (c *client) send(m ubus.Message) {
	b, err := m.Append(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.queued+len(b) > maxQueue+12 {
		return
	}
	c.queue = append(c.queue, b)
	c.queued += len(b)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// serve talks to one client until it goes, does nonsense, or ctx ends.
func (d *Daemon) serve(ctx context.Context, nc net.Conn, who identity) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	c := &client{who: who, more: make(chan struct{}, 1)}
	d.mu.Lock()
	c.id = d.newID(func(id uint32) bool { return d.clients[id] != nil })
	d.clients[c.id] = c
	d.mu.Unlock()
	c.send(ubus.Message{Type: ubus.MsgHello, Peer: c.id})

	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write(ctx, nc)
	}()
	for r := bufio.NewReader(nc); ; {
		m, err := ubus.ReadMessage(r)
		if err != nil {
			break
		}
		d.handle(c, m)
	}
	d.mu.Lock()
	for len(c.objects) > 0 {
		d.free(c.objects[0])
	}
	delete(d.clients, c.id)
	d.mu.Unlock()
	cancel()
	<-written
	nc.Close()
}

// write writes what is queued.
func (c *client) write(ctx context.Context, nc net.Conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.more:
		}
		for {
			c.mu.Lock()
			if len(c.queue) == 0 {
				c.mu.Unlock()
				break
			}
			b := c.queue[0]
			c.queue = c.queue[1:]
			c.queued -= len(b)
			c.mu.Unlock()
			if _, err := nc.Write(b); err != nil {
				return // the reader sees it too
			}
		}
	}
}
