// Package concentrator is one concentrator of a Parker mesh for the lab: a WireGuard device that learns its nodes from
// the store of the configuration service, and routes to each what is the node's, as Brunswick's concentrators do.
//
// WireGuard is the kernel's where there is one, else wireguard-go inside this process.
package concentrator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/parker"
	"wguplink/testbed/wgdevice"
)

// ErrDown is returned by operations on a concentrator that was not started, or was killed.
var ErrDown = errors.New("concentrator is down")

// Defaults of Config.
const (
	DefaultInterface = "wg-nodes"
	DefaultMTU       = 1375 // as at Brunswick
)

// storeRetry is how long a concentrator waits before it asks a store again that gave an error.
const storeRetry = 200 * time.Millisecond

// Config of a Concentrator. Do, Network, PrivateKey, ListenPort and the addresses are required.
type Config struct {
	// Name is for events and errors.
	Name string
	// Do runs a function on an OS thread that is locked inside the concentrator's network namespace, and returns its
	// error.
	Do func(func() error) error
	// Network has the nodes.
	Network parker.Network

	PrivateKey         wgtypes.Key
	ListenPort         uint16
	Address4, Address6 netip.Addr // own, in the tunnels; Address6 may be link-local
	Interface          string     // default DefaultInterface
	MTU                int        // default DefaultMTU
	Backend            wgdevice.Backend

	// OnNode is called after a node was added or changed, on the goroutine that did it; no lock is held.
	OnNode func(parker.Node)
}

// Concentrator is one concentrator host. Its methods may be called from any goroutine.
type Concentrator struct {
	mu      sync.Mutex
	c       Config
	wg      wgdevice.Device // nil while down
	index   int             // of its interface
	nodes   map[peerselector.Key]parker.Node
	changed chan struct{} // closed and made anew when nodes changes
	stop    func()        // ends learning
}

// New checks the configuration and fills in its defaults. It opens and starts nothing.
func New(c Config) (*Concentrator, error) {
	if c.Interface == "" {
		c.Interface = DefaultInterface
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	fail := func(text string) (*Concentrator, error) { return nil, fmt.Errorf("concentrator %q: %s", c.Name, text) }
	switch {
	case c.Do == nil:
		return fail("no function Do; pass one that runs inside its namespace")
	case c.Network.Store == nil:
		return fail("no store; pass the configuration service's")
	case c.PrivateKey == wgtypes.Key{}:
		return fail("no private key; make one with wgtypes.GeneratePrivateKey")
	case c.ListenPort == 0:
		return fail("no listen port; nodes need one that survives a restart")
	case !c.Address4.Is4() || !c.Address6.Is6():
		return fail(fmt.Sprintf("addresses %v and %v; it needs one of each family", c.Address4, c.Address6))
	case len(c.Interface) >= unix.IFNAMSIZ:
		return fail(fmt.Sprintf("interface name %q has over %d letters", c.Interface, unix.IFNAMSIZ-1))
	}
	return &Concentrator{c: c, changed: make(chan struct{})}, nil
}

// PublicKey returns the key that nodes know the concentrator by.
func (c *Concentrator) PublicKey() peerselector.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return peerselector.Key(c.c.PrivateKey.PublicKey())
}

// Port returns the UDP port.
func (c *Concentrator) Port() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.c.ListenPort
}

// Start brings the device up and begins to learn nodes from the store.
func (c *Concentrator) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.start()
}

// Kill is abrupt death: the WireGuard device and its sockets vanish at once, without a packet to any peer. The host
// itself stays: its kernel still answers on the WAN. Killing a concentrator that is down does nothing.
func (c *Concentrator) Kill() error {
	c.mu.Lock()
	wg, stop := c.wg, c.stop
	c.wg, c.stop, c.nodes = nil, nil, nil
	c.mu.Unlock()
	if wg == nil {
		return nil
	}
	err := wg.Close(c.c.Do)
	stop()
	if err != nil {
		return c.errorf("%w", err)
	}
	return nil
}

// Restart kills the concentrator, if it is up, and starts it again as it was.
func (c *Concentrator) Restart() error { return c.restart(func(*Config) {}) }

// ReKey restarts the concentrator with another key.
func (c *Concentrator) ReKey(key wgtypes.Key) error {
	return c.restart(func(f *Config) { f.PrivateKey = key })
}

// Move restarts the concentrator on another UDP port.
func (c *Concentrator) Move(port uint16) error {
	return c.restart(func(f *Config) { f.ListenPort = port })
}

func (c *Concentrator) restart(edit func(*Config)) error {
	if err := c.Kill(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	edit(&c.c)
	return c.start()
}

// Backend returns which WireGuard runs, or Auto while the concentrator is down.
func (c *Concentrator) Backend() wgdevice.Backend {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wg == nil {
		return wgdevice.Auto
	}
	return c.wg.Backend()
}

// Stats returns what WireGuard knows of the nodes, by key.
func (c *Concentrator) Stats() (stats map[peerselector.Key]wgdevice.PeerStats, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wg == nil {
		return nil, c.errorf("peers: %w", ErrDown)
	}
	err = c.c.Do(func() (err error) {
		stats, err = c.wg.Stats()
		return err
	})
	if err != nil {
		return nil, c.errorf("peers: %w", err)
	}
	return stats, nil
}

// Nodes returns the nodes that the concentrator has as peers, in no order.
func (c *Concentrator) Nodes() []parker.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]parker.Node, 0, len(c.nodes))
	for _, n := range c.nodes {
		all = append(all, n)
	}
	return all
}

// Await waits until something holds of the concentrator's nodes.
func (c *Concentrator) Await(ctx context.Context, ok func(map[peerselector.Key]parker.Node) bool) error {
	for {
		c.mu.Lock()
		changed, done := c.changed, ok(c.nodes)
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c.errorf("its nodes never became as wanted: %w", context.Cause(ctx))
		}
	}
}

// AwaitNode waits until a node is a peer.
func (c *Concentrator) AwaitNode(ctx context.Context, key peerselector.Key) error {
	return c.Await(ctx, func(nodes map[peerselector.Key]parker.Node) bool { _, ok := nodes[key]; return ok })
}

// start brings everything up or nothing. The caller holds mu.
func (c *Concentrator) start() error {
	if c.wg != nil {
		return c.errorf("is running already; kill it before starting it again")
	}
	var wg wgdevice.Device
	err := c.c.Do(func() (err error) {
		wg, err = wgdevice.Open(c.c.Interface, c.c.MTU, c.c.PrivateKey, c.c.ListenPort, c.c.Backend)
		if err != nil {
			return err
		}
		c.index, err = wgdevice.LinkUp(c.c.Interface, netip.PrefixFrom(c.c.Address4, 32),
			netip.PrefixFrom(c.c.Address6, 128))
		return err
	})
	if err != nil {
		if wg != nil {
			err = errors.Join(err, wg.Close(c.c.Do))
		}
		return c.errorf("%w", err)
	}
	c.wg, c.nodes = wg, make(map[peerselector.Key]parker.Node)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.learn(ctx)
	}()
	c.stop = func() { cancel(); <-done }
	return nil
}

// learn keeps the peers as the store has them, until ctx ends. While the store is away they stay as they are.
func (c *Concentrator) learn(ctx context.Context) {
	news := c.c.Network.Watch(ctx)
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case _, ok := <-news:
			if !ok {
				return
			}
		case <-again.C:
		}
		nodes, err := c.c.Network.Nodes(ctx)
		if nodes == nil {
			again.Reset(storeRetry)
			continue
		}
		// An error beside the nodes is of some that are not registered rightly.
		added, err2 := c.become(ctx, nodes)
		if c.c.OnNode != nil {
			for _, n := range added {
				c.c.OnNode(n)
			}
		}
		if err = errors.Join(err, err2); err != nil && ctx.Err() == nil {
			again.Reset(storeRetry)
		}
	}
}

func (c *Concentrator) errorf(format string, args ...any) error {
	return fmt.Errorf("concentrator %q: "+format, append([]any{c.c.Name}, args...)...)
}
