// Package gateway is one gateway of a wgkex mesh for the lab: a WireGuard device, a VXLAN device over it, and the
// worker's part of adding and removing nodes (freifunkMUC/wgkex, wgkex/worker/netlink.py).
//
// WireGuard is the kernel's where there is one, else wireguard-go inside this process. All devices live in the network
// namespace that Config.Do runs its functions in.
package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/derive"
	"wguplink/peerselector"
	"wguplink/testbed/wgdevice"
)

// ErrDown is returned by operations on a gateway that was not started, or was killed.
var ErrDown = errors.New("gateway is down")

// Defaults of Config.
const (
	DefaultInterface      = "wg-mesh"
	DefaultVXLANInterface = "vx-mesh"
	DefaultMTU            = 1406 // as at Munich, Hannover, Aachen
	DefaultVXLANPort      = 8472 // ffmuc-mesh-vpn-wireguard-vxlan
	DefaultLinkPrefix     = 64
)

// Backend is which WireGuard runs.
type Backend = wgdevice.Backend

// The backends.
const (
	Auto      = wgdevice.Auto
	Kernel    = wgdevice.Kernel
	Userspace = wgdevice.Userspace
)

// Config of a Gateway. Do, PrivateKey, ListenPort and LinkAddress are required.
type Config struct {
	// Name is for events and errors.
	Name string
	// Do runs a function on an OS thread that is locked inside the gateway's network namespace, and returns its error.
	// Concurrent calls may be run one after another; a function that Do runs never calls Do.
	Do func(func() error) error

	PrivateKey  wgtypes.Key
	ListenPort  uint16
	LinkAddress netip.Addr // own address in the tunnel, link-local
	LinkPrefix  int        // of LinkAddress on the WireGuard device; default 64
	Interface   string     // WireGuard device; default DefaultInterface
	MTU         int        // WireGuard device; default DefaultMTU
	Backend     Backend
	VXLAN       VXLAN
	Layer3      netip.Addr // own address in a tunnel of plain IP, instead of VXLAN; the zero Addr: none

	// LinkLocal gives the address in the tunnel that belongs to a node's key; nil: derive.LinkLocal over the key with
	// a newline, as the worker computes it.
	LinkLocal func(peerselector.Key) netip.Addr
	// OnEvent is called after each change, on the goroutine that made it; no lock is held.
	OnEvent func(Event)
}

// VXLAN is the layer-2 device over WireGuard. The zero value is none.
type VXLAN struct {
	ID        uint32 // 1 to 16777215; 0: no VXLAN device
	Interface string // default DefaultVXLANInterface
	Port      uint16 // UDP; default DefaultVXLANPort
	MTU       int    // 0: what the kernel derives from the WireGuard device
	// ZeroChecksum sends UDP without a checksum and accepts such packets.
	ZeroChecksum bool
	Addrs        []netip.Prefix // on the device, usable at once
}

// Kind of an Event.
type Kind int

const (
	Started Kind = iota // devices are up
	Killed              // devices are gone
	Added               // a key was added, or added anew
	Removed             // a key was removed
)

// String names the kind, for timelines.
func (k Kind) String() string {
	switch k {
	case Started:
		return "started"
	case Killed:
		return "killed"
	case Added:
		return "key added"
	case Removed:
		return "key removed"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Event is a change at a gateway.
type Event struct {
	Gateway string
	Kind    Kind
	Key     peerselector.Key // of Added and Removed
}

// Gateway is one gateway host. Its methods may be called from any goroutine.
type Gateway struct {
	c Config

	mu    sync.Mutex
	wg    wgdevice.Device // nil while down
	wgIdx int             // interface indexes
	vxIdx int
	addrs []netip.Prefix                      // of the VXLAN device, over restarts
	keys  map[peerselector.Key]netip.Addr     // link addresses of the nodes added
	own3  map[peerselector.Key][]netip.Prefix // what nodes have been assigned at layer 3
}

// New checks the configuration and fills in its defaults. It opens and starts nothing.
func New(c Config) (*Gateway, error) {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Interface, DefaultInterface)
	def(&c.VXLAN.Interface, DefaultVXLANInterface)
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.LinkPrefix == 0 {
		c.LinkPrefix = DefaultLinkPrefix
	}
	if c.VXLAN.Port == 0 {
		c.VXLAN.Port = DefaultVXLANPort
	}
	if c.LinkLocal == nil {
		c.LinkLocal = func(k peerselector.Key) netip.Addr { return derive.LinkLocal(k, true) }
	}

	fail := func(format string, args ...any) (*Gateway, error) {
		return nil, fmt.Errorf("gateway %q: "+format, append([]any{c.Name}, args...)...)
	}
	switch {
	case c.Do == nil:
		return fail("no function Do; pass one that runs inside its namespace")
	case c.PrivateKey == wgtypes.Key{}:
		return fail("no private key; make one with wgtypes.GeneratePrivateKey")
	case c.ListenPort == 0:
		return fail("no listen port; nodes need one that survives a restart")
	case !c.LinkAddress.Is6() || !c.LinkAddress.IsLinkLocalUnicast():
		return fail("link address %v is not in fe80::/10", c.LinkAddress)
	case c.VXLAN.ID >= 1<<24:
		return fail("VXLAN id %d is over 16777215", c.VXLAN.ID)
	}
	for _, name := range []string{c.Interface, c.VXLAN.Interface} {
		if len(name) >= unix.IFNAMSIZ {
			return fail("interface name %q has over %d letters", name, unix.IFNAMSIZ-1)
		}
	}
	return &Gateway{
		c:     c,
		addrs: append([]netip.Prefix(nil), c.VXLAN.Addrs...),
		keys:  make(map[peerselector.Key]netip.Addr),
		own3:  make(map[peerselector.Key][]netip.Prefix),
	}, nil
}

// PublicKey returns the key that nodes know the gateway by.
func (g *Gateway) PublicKey() peerselector.Key { return peerselector.Key(g.c.PrivateKey.PublicKey()) }

// Start brings the devices up, without any node.
func (g *Gateway) Start() error {
	g.mu.Lock()
	err := g.start()
	g.mu.Unlock()
	if err == nil {
		g.event(Started, peerselector.Key{})
	}
	return err
}

// Kill is abrupt death: the WireGuard device, its sockets and the VXLAN device vanish at once, without a packet to any
// peer. The host itself stays: its kernel still answers on the WAN. Killing a gateway that is down does nothing.
func (g *Gateway) Kill() error {
	g.mu.Lock()
	was := g.wg != nil
	err := g.kill()
	g.mu.Unlock()
	if was {
		g.event(Killed, peerselector.Key{})
	}
	return err
}

// Restart kills the gateway, if it is up, and starts it again with the same key, port and addresses. A real gateway
// that was rebooted knows no node until the broker sends its key anew; keepKeys is for one that was quicker.
func (g *Gateway) Restart(keepKeys bool) error {
	if err := g.Kill(); err != nil {
		return err
	}
	g.mu.Lock()
	keys := g.keys
	err := g.start()
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.event(Started, peerselector.Key{})
	if keepKeys {
		for key := range keys {
			if err := g.AddKey(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// Backend returns which WireGuard runs, or Auto while the gateway is down.
func (g *Gateway) Backend() Backend {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wg == nil {
		return Auto
	}
	return g.wg.Backend()
}

// AddAddr gives the VXLAN device one more address, which is usable at once and comes back with Restart.
func (g *Gateway) AddAddr(p netip.Prefix) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.c.VXLAN.ID == 0 {
		return g.errorf("address %v: the gateway has no VXLAN device; set its VXLAN id", p)
	}
	if g.wg == nil {
		return g.errorf("address %v: %w", p, ErrDown)
	}
	if err := g.c.Do(func() error { return wgdevice.AddAddr(g.vxIdx, p) }); err != nil {
		return g.errorf("address %v on %s: %w", p, g.c.VXLAN.Interface, err)
	}
	g.addrs = append(g.addrs, p)
	return nil
}

// start brings everything up or nothing. The caller holds mu.
func (g *Gateway) start() error {
	if g.wg != nil {
		return g.errorf("is running already; kill it before starting it again")
	}
	var wg wgdevice.Device
	err := g.c.Do(func() (err error) {
		wg, err = wgdevice.Open(g.c.Interface, g.c.MTU, g.c.PrivateKey, g.c.ListenPort, g.c.Backend)
		if err != nil {
			return err
		}
		if g.wgIdx, err = wgdevice.LinkUp(g.c.Interface, g.ownAddrs()...); err != nil {
			return fmt.Errorf("device %s: %w", g.c.Interface, err)
		}
		if g.c.VXLAN.ID == 0 {
			return nil
		}
		if g.vxIdx, err = addVXLAN(g.c.VXLAN, g.mac(), g.wgIdx, g.c.LinkAddress, g.addrs); err != nil {
			return fmt.Errorf("device %s: %w", g.c.VXLAN.Interface, err)
		}
		return nil
	})
	if err != nil {
		if wg != nil {
			err = errors.Join(err, wg.Close(g.c.Do)) // takes the VXLAN device with it
		}
		return g.errorf("%w", err)
	}
	g.wg = wg
	g.keys = make(map[peerselector.Key]netip.Addr)
	return nil
}

// kill takes everything down. The caller holds mu.
func (g *Gateway) kill() error {
	if g.wg == nil {
		return nil
	}
	wg := g.wg
	g.wg = nil
	// The kernel removes a VXLAN device together with the device under it.
	if err := wg.Close(g.c.Do); err != nil {
		return g.errorf("%w", err)
	}
	return nil
}

// mac returns the VXLAN device's address: locally administered, taken from the public key, so that it survives a
// restart as a host's would. Nodes hold on to a neighbour's old one for up to a minute.
func (g *Gateway) mac() net.HardwareAddr {
	key := g.PublicKey()
	return net.HardwareAddr{0x02, key[0], key[1], key[2], key[3], key[4]}
}

func (g *Gateway) event(k Kind, key peerselector.Key) {
	if g.c.OnEvent != nil {
		g.c.OnEvent(Event{Gateway: g.c.Name, Kind: k, Key: key})
	}
}

func (g *Gateway) errorf(format string, args ...any) error {
	return fmt.Errorf("gateway %q: "+format, append([]any{g.c.Name}, args...)...)
}

// addVXLAN makes the VXLAN device, without a remote: each node gets its own forwarding entry.
func addVXLAN(v VXLAN, mac net.HardwareAddr, lower int, local netip.Addr, addrs []netip.Prefix) (int, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = v.Interface
	attrs.MTU = v.MTU
	attrs.HardwareAddr = mac
	link := &netlink.Vxlan{
		LinkAttrs:      attrs,
		VxlanId:        int(v.ID),
		VtepDevIndex:   lower,
		SrcAddr:        local.AsSlice(),
		Port:           int(v.Port),
		UDP6ZeroCSumTx: v.ZeroChecksum,
		UDP6ZeroCSumRx: v.ZeroChecksum,
	}
	if err := netlink.LinkAdd(link); err != nil {
		return 0, fmt.Errorf("add: %w", err)
	}
	for _, a := range addrs {
		if err := wgdevice.AddAddr(link.Index, a); err != nil {
			return 0, fmt.Errorf("address %v: %w", a, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return 0, fmt.Errorf("up: %w", err)
	}
	return link.Index, nil
}
