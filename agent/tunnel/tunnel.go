// Package tunnel makes the kernel's state what an uplink wants: a WireGuard device with its peers, the link address, routes,
// and over it a VXLAN that a mesh protocol such as batman-adv can use as its hard-interface.
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
)

// Desired is the whole kernel state of one uplink.
type Desired struct {
	Name      string // of the uplink; goes into the mark of ownership
	Interface string // WireGuard device
	// Borrowed says that the device is somebody else's, who makes it and configures it. Only Peers, Leftovers and the peers'
	// routes are looked after; VXLAN must be nil.
	Borrowed   bool
	Backend    Backend
	PrivateKey wgtypes.Key
	FwMark     uint32
	ListenPort uint16       // 0: leave it to the kernel
	PortTurn   int          // changes when the kernel shall choose another port; without effect beside ListenPort
	MTU        int          // bytes
	Address    netip.Prefix // own link address
	Peers      []Peer
	// Leftovers are peers that an earlier run may have left on a device of somebody else. They go, unless they are in Peers.
	Leftovers []wgtypes.Key
	VXLAN     *VXLAN // nil: layer 3 only
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
}

// version is what of a Peer cannot be read back from the device.
type version struct{ generation, move int }

// Report is what Apply found and did.
type Report struct {
	Backend  Backend  // Kernel or Userspace
	Changes  int      // changing messages sent to the kernel or to the WireGuard process
	Warnings []string // what is not as wanted, but does not keep the tunnel from working
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
	spawn Spawner // nil: this build has no userspace WireGuard
	h     *netlink.Handle
	wg    *wgctrl.Client
	put   map[wgtypes.Key]version // the peers that we put on the device
	turn  int                     // the PortTurn that was applied
	count int
	last  *Desired // as far as it was applied
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
	return &Tunnel{spawn: spawn, h: h, wg: wg, put: map[wgtypes.Key]version{}}, nil
}

// Close gives the sockets back.
func (t *Tunnel) Close() {
	t.h.Close()
	t.wg.Close()
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

func (t *Tunnel) apply(ctx context.Context, d Desired) (Report, error) {
	if t.last != nil {
		if err := t.dropRenamed(*t.last, d); err != nil {
			return Report{}, err
		}
	}
	t.remember(d)
	link, backend, err := t.device(ctx, d)
	if err != nil {
		return Report{}, err
	}
	r := Report{Backend: backend}
	obsolete, err := t.configure(d, owned(link, d.Name))
	if err != nil {
		return r, err
	}
	if !d.Borrowed {
		if err := t.addresses(link, d); err != nil {
			return r, err
		}
	}
	if err := t.routes(link, d); err != nil {
		return r, err
	}
	if d.VXLAN != nil {
		if r.Warnings, err = t.vxlan(link, d); err != nil {
			return r, err
		}
	}
	// Last: until the VXLAN points at the new gateway, the old one still carries the frames.
	return r, t.removePeers(d.Interface, obsolete)
}

// Remove takes away what carries our mark. On a WireGuard device of somebody else it takes our peers off.
func (t *Tunnel) Remove(d Desired) error {
	t.last = nil
	var errs []error
	if d.VXLAN != nil {
		errs = append(errs, t.removeLink(d.VXLAN.Name, d.Name))
	}
	link, err := t.h.LinkByName(d.Interface)
	switch {
	case isNotFound(err):
	case err != nil:
		errs = append(errs, fmt.Errorf("look up %s: %w", d.Interface, err))
	case owned(link, d.Name):
		errs = append(errs, t.removeLink(d.Interface, d.Name))
	default:
		d.Peers = nil
		errs = append(errs, t.routes(link, d))
		ours := slices.Clone(d.Leftovers)
		for k := range t.put {
			ours = append(ours, k)
		}
		errs = append(errs, t.removePeers(d.Interface, ours))
	}
	clear(t.put)
	return errors.Join(errs...)
}

func (t *Tunnel) remember(d Desired) {
	if d.VXLAN != nil {
		v := *d.VXLAN
		d.VXLAN = &v
	}
	t.last = &d
}

// dropRenamed takes away the devices that a changed configuration calls otherwise now.
func (t *Tunnel) dropRenamed(old, d Desired) error {
	if old.VXLAN != nil && (d.VXLAN == nil || d.VXLAN.Name != old.VXLAN.Name) {
		if err := t.removeLink(old.VXLAN.Name, old.Name); err != nil {
			return err
		}
	}
	if old.Interface != d.Interface {
		clear(t.put)
		return t.removeLink(old.Interface, old.Name)
	}
	return nil
}

// Status reads the WireGuard device. The error is os.ErrNotExist when there is no such device.
func (t *Tunnel) Status(ifname string) (*wgtypes.Device, error) {
	// A userspace process answers for a moment longer than its device exists.
	if _, err := t.h.LinkByName(ifname); isNotFound(err) {
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
