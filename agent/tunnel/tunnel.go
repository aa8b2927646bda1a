// Package tunnel makes the kernel's state what an uplink wants: WireGuard devices with their peers, addresses and routes,
// and either a VXLAN over the one device, which a mesh protocol such as batman-adv can use as its hard-interface, or default
// routes by one of several.
//
// Apply is declarative: it reads what is there, and changes only what differs. What the agent made carries its mark (the
// interface alias "wguplink NAME"); only that is ever deleted or made anew. So a second agent after a crash goes on with
// the first one's devices, and a device of somebody else with the same name is used or refused, never removed.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/batman"
)

// Desired is the whole kernel state of one uplink.
type Desired struct {
	Name    string   // of the uplink; goes into the mark of ownership
	Devices []Device // what carries our mark and is not here goes
	VXLAN   *VXLAN   // over the first device; nil: layer 3 only
	Exit    *Exit    // nil: default routes are nobody's business
}

// Device is one WireGuard device.
type Device struct {
	Interface string
	// Borrowed says that the device is somebody else's, who makes it and configures it. Only Peers, Leftovers and the peers'
	// routes are looked after; VXLAN must be nil.
	Borrowed   bool
	Backend    Backend
	PrivateKey wgtypes.Key
	FwMark     uint32
	ListenPort uint16 // 0: leave it to the kernel
	PortTurn   int    // changes when the kernel shall choose another port; without effect beside ListenPort
	MTU        int    // bytes
	Addresses  []Address
	Peers      []Peer
	// Claim says that a device without any mark that has PrivateKey becomes ours: the scripts before us have made it.
	Claim bool
	// Unrouted says that no routes follow from the peers' allowed IPs: Exit decides what goes by the device.
	Unrouted bool
	Limit    Limit
	// Leftovers are peers that an earlier run may have left on a device of somebody else. They go, unless they are in Peers.
	Leftovers []wgtypes.Key
}

// Address is one of our own on a WireGuard device.
type Address struct {
	Prefix netip.Prefix
	// Peer is the other end of a point-to-point address, whose Prefix is a single address; the zero Addr for any other.
	Peer netip.Addr
}

// Peer is one gateway on the WireGuard device.
type Peer struct {
	PublicKey  wgtypes.Key
	Endpoint   netip.AddrPort
	AllowedIPs []netip.Prefix // none while the peer is only tried
	Keepalive  time.Duration  // whole seconds
	// Generation changes when the peer shall be created anew, that is, start a fresh handshake at Endpoint.
	Generation int
	// Move changes when the endpoint alone shall be set, and the session kept. While both stay the same the endpoint is
	// left alone, because WireGuard follows a gateway that roams.
	Move int
}

// VXLAN is the layer-2 link over the WireGuard device.
type VXLAN struct {
	Name     string
	ID       uint32
	Port     uint16
	Remote   netip.Addr // link address of the gateway in use; the zero Addr when there is none
	MTU      int        // bytes
	Checksum bool       // send UDP checksums; both kinds are always accepted
	Master   string     // batman-adv device (or bridge) that takes it as a port; "" for none
	// Throughput is what BATMAN_V is told of the link, in kbit/s; 0 leaves it alone. HopPenalty is batman-adv's, of 255; nil
	// leaves it alone.
	Throughput uint32
	HopPenalty *uint8
}

// version is what of a Peer cannot be read back from the device.
type version struct{ generation, move int }

// Report is what Apply found and did.
type Report struct {
	Backend  Backend  // Kernel or Userspace
	Changes  int      // changing messages sent to the kernel or to the WireGuard process
	Warnings []string // what is not as wanted, but does not keep the tunnel from working
	Mesh     *Mesh    // nil when the VXLAN is no hard-interface of batman-adv
}

// Backend is who does the WireGuard work.
type Backend int

// Auto takes the kernel where it can, else userspace.
const (
	Auto Backend = iota
	Kernel
	Userspace
)

func (b Backend) String() string {
	return [...]string{"auto", "kernel", "userspace"}[b]
}

// ErrNoWireGuard says that neither the kernel nor this program can do WireGuard.
var ErrNoWireGuard = errors.New("the kernel has no WireGuard: install kmod-wireguard, or use the userspace variant of this package")

// Spawner starts a userspace WireGuard process for an interface and returns when the interface can be configured.
type Spawner func(ctx context.Context, ifname string) error

// Tunnel applies Desired values of one uplink. It is not safe for concurrent use.
type Tunnel struct {
	spawn   Spawner // nil: this build has no userspace WireGuard
	h       *netlink.Handle
	wg      *wgctrl.Client
	devices map[string]*applied // by interface
	count   int
	swept   []string // the links that were wanted when those of ours that are not were last looked for
	bat     *batman.Client
	mesh    *Mesh // as the last look at batman-adv found it
}

// applied is what of a device cannot be read back.
type applied struct {
	put  map[wgtypes.Key]version // the peers that we put on it
	turn int                     // the PortTurn
}

// memory of a device; empty for one that is new.
func (t *Tunnel) memory(ifname string) *applied {
	m := t.devices[ifname]
	if m == nil {
		m = &applied{put: map[wgtypes.Key]version{}}
		t.devices[ifname] = m
	}
	return m
}

// Open connects to the kernel. spawn may be nil. Close the Tunnel after use; that changes nothing in the kernel.
func Open(spawn Spawner) (*Tunnel, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	wg, err := wgctrl.New()
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("open WireGuard control: %w", err)
	}
	return &Tunnel{spawn: spawn, h: h, wg: wg, devices: map[string]*applied{}}, nil
}

// Close gives the sockets back.
func (t *Tunnel) Close() {
	t.h.Close()
	t.wg.Close()
	if t.bat != nil {
		t.bat.Close()
	}
}

// Apply makes the kernel's state what d says. It may be called again with the same value: that changes nothing. After an
// error what was there before is still there as far as it was not in the way; calling Apply again goes on.
func (t *Tunnel) Apply(ctx context.Context, d Desired) (r Report, err error) {
	before := t.count
	for range 10 {
		// The kernel says so when its lists change while they are being read; what was read may then have gaps.
		if r, err = t.apply(ctx, d); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	r.Changes = t.count - before
	return r, err
}

func (t *Tunnel) apply(ctx context.Context, d Desired) (r Report, err error) {
	t.mesh = nil
	if err := t.sweep(d); err != nil {
		return r, err
	}
	var obsolete [][]wgtypes.Key
	var first netlink.Link
	for i, dev := range d.Devices {
		link, backend, err := t.device(ctx, d.Name, dev)
		if err != nil {
			return r, err
		}
		if i == 0 {
			first, r.Backend = link, backend
		}
		old, warnings, err := t.settle(link, d.Name, dev)
		if err != nil {
			return r, err
		}
		obsolete, r.Warnings = append(obsolete, old), append(r.Warnings, warnings...)
	}
	if d.VXLAN != nil {
		warnings, err := t.vxlan(first, d)
		if err != nil {
			return r, err
		}
		r.Warnings, r.Mesh = append(r.Warnings, warnings...), t.mesh
	}
	if d.Exit != nil {
		warnings, err := t.exit(*d.Exit)
		if err != nil {
			return r, err
		}
		r.Warnings = append(r.Warnings, warnings...)
	}
	// Last: until the VXLAN points at the new gateway, the old one still carries the frames.
	for i, dev := range d.Devices {
		if err := t.removePeers(dev.Interface, obsolete[i]); err != nil {
			return r, err
		}
	}
	return r, nil
}

// settle brings a device that exists to its desired state, but for the peers that it gives back: they go at the end.
func (t *Tunnel) settle(link netlink.Link, uplink string, d Device) (obsolete []wgtypes.Key, warnings []string, err error) {
	if obsolete, err = t.configure(d, owned(link, uplink)); err != nil {
		return nil, nil, err
	}
	if !d.Borrowed {
		if err := t.addresses(link, d, owned(link, uplink)); err != nil {
			return nil, nil, err
		}
		if owned(link, uplink) {
			if warnings, err = t.limit(link, d.Limit); err != nil {
				return nil, nil, err
			}
		}
	}
	return obsolete, warnings, t.routes(link, d)
}

// Remove takes away what carries our mark. On a WireGuard device of somebody else it takes our peers off.
func (t *Tunnel) Remove(d Desired) error {
	var errs []error
	if d.Exit != nil {
		_, err := t.exit(Exit{})
		errs = append(errs, err)
	}
	for _, dev := range d.Devices {
		errs = append(errs, t.giveBack(dev, d.Name))
	}
	errs = append(errs, t.sweep(Desired{Name: d.Name}))
	clear(t.devices)
	t.swept = nil
	return errors.Join(errs...)
}

// giveBack takes our peers and their routes off a device that is not ours.
func (t *Tunnel) giveBack(d Device, uplink string) error {
	link, err := t.h.LinkByName(d.Interface)
	switch {
	case isNotFound(err) || err == nil && owned(link, uplink):
		return nil
	case err != nil:
		return fmt.Errorf("look up %s: %w", d.Interface, err)
	}
	d.Peers = nil
	ours := slices.Clone(d.Leftovers)
	for k := range t.memory(d.Interface).put {
		ours = append(ours, k)
	}
	return errors.Join(t.routes(link, d), t.removePeers(d.Interface, ours))
}

// sweep takes away the links with our mark that nobody wants any more: a changed configuration calls them otherwise, or an
// agent before us made them. They go first, because two VXLANs cannot have one id, nor two devices one port.
func (t *Tunnel) sweep(d Desired) error {
	var want []string
	for _, dev := range d.Devices {
		want = append(want, dev.Interface)
	}
	if d.VXLAN != nil {
		want = append(want, d.VXLAN.Name)
	}
	if t.swept != nil && slices.Equal(t.swept, want) {
		return nil
	}
	links, err := t.h.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		name := l.Attrs().Name
		if !owned(l, d.Name) || slices.Contains(want, name) {
			continue
		}
		if err := t.removeLink(name, d.Name); err != nil {
			return err
		}
	}
	for name := range t.devices {
		if !slices.Contains(want, name) {
			delete(t.devices, name)
		}
	}
	t.swept = append([]string{}, want...)
	return nil
}

// Status reads the WireGuard device. The error is os.ErrNotExist when there is no such device.
func (t *Tunnel) Status(ifname string) (*wgtypes.Device, error) {
	// A userspace process answers for a moment longer than its device exists.
	if err := present(ifname); isNotFound(err) {
		return nil, fmt.Errorf("read WireGuard device %s: %w", ifname, os.ErrNotExist)
	} else if err != nil {
		return nil, fmt.Errorf("look up %s: %w", ifname, err)
	}
	dev, err := t.wg.Device(ifname)
	if err != nil {
		return nil, fmt.Errorf("read WireGuard device %s: %w", ifname, err)
	}
	return dev, nil
}

// change runs one changing request and counts it.
func (t *Tunnel) change(f func() error) error {
	t.count++
	return f()
}

func mark(name string) string { return "wguplink " + name }

func owned(l netlink.Link, name string) bool { return l.Attrs().Alias == mark(name) }

func isNotFound(err error) bool {
	var nf netlink.LinkNotFoundError
	return errors.As(err, &nf) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV)
}
