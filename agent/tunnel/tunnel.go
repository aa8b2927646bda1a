// Package tunnel makes the kernel's state what an uplink wants: WireGuard devices with their peers, addresses and
// routes, and either a VXLAN over the one device, which a mesh protocol such as batman-adv can use as its
// hard-interface, or default routes by one of several.
//
// Apply is declarative: it reads what is there, and changes only what differs. What the agent made carries its mark
// (the interface alias "wguplink NAME"); only that is ever changed, deleted or made anew. So a second agent after a
// crash goes on with the first one's devices, and another program's device of the same name is refused, unless it is
// lent to us (owner.go).
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/batman"
	"wguplink/agent/netlink"
	"wguplink/agent/wireguard"
)

// Desired is the whole kernel state of one uplink.
type Desired struct {
	Name string // of the uplink; goes into the mark of ownership
	// Devices are all that there shall be: what carries our mark and is not here goes. Where one of several cannot be
	// made, the others are made all the same.
	Devices []Device
	VXLAN   *VXLAN // over the first device; nil: layer 3 only
	Exit    *Exit  // nil: default routes are left alone
}

// Device is one WireGuard device.
type Device struct {
	Interface string
	// Borrowed says that another program makes the device and configures it. Only Peers, Leftovers and the
	// peers' routes are looked after; VXLAN must be nil.
	Borrowed   bool
	Backend    Backend
	PrivateKey *wgtypes.Key // a pointer, so that no list of a function's arguments shows it; nil: none
	FwMark     uint32
	ListenPort uint16 // 0: leave it to the kernel
	PortTurn   int    // changes when the kernel shall choose another port; without effect beside ListenPort
	MTU        int    // bytes
	Addresses  []Address
	Gone       []netip.Prefix // addresses that were ours, unless they are among Addresses
	Peers      []Peer
	// Claim says that a device without any mark that has PrivateKey becomes ours: the scripts before us have made it.
	Claim bool
	// Unrouted says that no routes follow from the peers' allowed IPs: Exit, or a routing daemon, decides what goes by
	// the device.
	Unrouted bool
	// Reach is what is routed by the device in any case.
	Reach []netip.Prefix
	Limit Limit
	// Leftovers are peers that an earlier run may have left on a borrowed device. They go, unless they are in
	// Peers.
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
	// Throughput is what BATMAN_V is told of the link, in kbit/s; 0 leaves it alone. HopPenalty is batman-adv's, of
	// 255; nil leaves it alone.
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
	Failed   []string // the devices that are not as desired, for reasons that are among Warnings
	// Again is when at the latest Apply has to be called again because something had to wait; 0 when nothing has to.
	Again time.Duration
	Mesh  *Mesh // nil when the VXLAN is no hard-interface of batman-adv
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
var ErrNoWireGuard = errors.New(
	"the kernel has no WireGuard: install kmod-wireguard, or use the userspace variant of this package")

// Spawner starts a userspace WireGuard process for an interface and returns when the interface can be configured. The
// process gives the interface that alias, before anything else.
type Spawner func(ctx context.Context, ifname, alias string) error

// Tunnel applies Desired values of one uplink. It is not safe for concurrent use.
type Tunnel struct {
	spawn   Spawner // nil: this build has no userspace WireGuard
	h       *netlink.Handle
	wg      *wireguard.Client
	devices map[string]*applied // by interface
	count   int
	swept   []string         // the links that were wanted when those of ours that are not were last looked for
	rest    []string         // those that sweep has left for sweepRest
	mac     net.HardwareAddr // of the VXLAN as it was last seen: one that was deleted is made anew with it
	remade  time.Time        // when a VXLAN was last made anew
	former  former           // what it was before
	now     func() time.Time
	bat     *batman.Client
	mesh    *Mesh // as the last look at batman-adv found it
}

// applied is what of a device cannot be read back.
type applied struct {
	put  map[wgtypes.Key]version // the peers that we put on it
	turn int                     // the PortTurn
	no6  bool                    // it goes without IPv6
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
	h, err := netlink.NewHandle()
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	wg, err := wireguard.New()
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("open WireGuard control: %w", err)
	}
	t := &Tunnel{spawn: spawn, h: h, wg: wg, devices: map[string]*applied{}, now: time.Now}
	t.former.kind, t.former.mute = "batadv", t.mute
	return t, nil
}

// Close gives the sockets back.
func (t *Tunnel) Close() {
	t.h.Close()
	t.wg.Close()
	if t.bat != nil {
		t.bat.Close()
	}
}

// Apply makes the kernel's state what d says. It may be called again with the same value: that changes nothing. After
// an error what was there before is still there as far as it was not in the way; calling Apply again goes on.
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
	obsolete := map[string][]wgtypes.Key{}
	links := make([]netlink.Link, len(d.Devices)) // nil for one that cannot be made
	var errs []error
	for i, dev := range d.Devices {
		link, backend, err := t.device(ctx, d.Name, dev)
		if err == nil {
			links[i] = link
			obsolete[dev.Interface], err = t.settle(link, d, dev, &r)
		}
		switch {
		case err == nil && r.Backend == Auto:
			r.Backend = backend
		case err != nil && (d.VXLAN != nil && i == 0 || errors.Is(err, netlink.ErrDumpInterrupted)):
			return r, err
		case err != nil:
			links[i], errs = nil, append(errs, err)
			r.Failed = append(r.Failed, dev.Interface)
			r.Warnings = append(r.Warnings, err.Error())
		}
	}
	if len(errs) > 0 && len(errs) == len(d.Devices) {
		return r, errors.Join(errs...)
	}
	stale, err := t.allRoutes(d, links, &r)
	if err != nil {
		return r, err
	}
	if d.VXLAN != nil {
		if err := t.vxlan(links[0], d, &r); err != nil {
			return r, err
		}
		r.Mesh = t.mesh
	}
	if d.Exit != nil {
		exit := *d.Exit
		if slices.Contains(r.Failed, exit.Device) {
			exit.Device = ""
		}
		warnings, err := t.exit(exit)
		if err != nil {
			return r, err
		}
		r.Warnings = append(r.Warnings, warnings...)
	}
	// Last: until the VXLAN points at the new gateway, the old one still carries the frames.
	for name, keys := range obsolete {
		if err := t.removePeers(name, keys); err != nil {
			return r, err
		}
	}
	if err := t.dropDetours(stale); err != nil {
		return r, err
	}
	return r, t.sweepRest(d.Name)
}

// settle brings a device that exists to its desired state, but for routes, and for the peers that it gives back: they
// go at the end.
func (t *Tunnel) settle(link netlink.Link, all Desired, d Device, r *Report) (obsolete []wgtypes.Key, err error) {
	if obsolete, err = t.configure(d); err != nil || d.Borrowed {
		return obsolete, err
	}
	warnings, err := t.addresses(link, d, all.VXLAN != nil)
	if err != nil {
		return nil, err
	}
	r.Warnings = append(r.Warnings, warnings...)
	if warnings, err = t.limit(link, d.Limit); err != nil {
		return nil, err
	}
	r.Warnings = append(r.Warnings, warnings...)
	return obsolete, nil
}

// allRoutes brings the routes by the devices, and those to the endpoints, to what is desired. It gives the routes to
// endpoints that are not needed any more.
func (t *Tunnel) allRoutes(d Desired, links []netlink.Link, r *Report) (stale []netlink.Route, err error) {
	there := slices.DeleteFunc(slices.Clone(links), func(l netlink.Link) bool { return l == nil })
	withheld, stale, warnings, err := t.detours(d, there)
	if err != nil {
		return nil, err
	}
	r.Warnings = append(r.Warnings, warnings...)
	for i, dev := range d.Devices {
		if links[i] == nil {
			continue
		}
		if warnings, err = t.routes(links[i], dev, withheld); err != nil {
			return nil, err
		}
		r.Warnings = append(r.Warnings, warnings...)
	}
	return stale, nil
}

// Status reads the WireGuard device. The error is os.ErrNotExist when there is no such device.
func (t *Tunnel) Status(ifname string) (*wgtypes.Device, error) {
	// A userspace process answers for a moment longer than its device exists.
	if _, err := netlink.Index(ifname); isNotFound(err) {
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
