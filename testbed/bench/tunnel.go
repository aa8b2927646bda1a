// Package bench compares implementations of userspace WireGuard: TCP in VXLAN in a tunnel between two hosts of the lab.
package bench

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/testbed/netlab"
	"wguplink/testbed/wgdevice"
)

const (
	device  = "wg0"
	overlay = "vx0"
	wgMTU   = 1420
	vxMTU   = wgMTU - 70 // IPv6, UDP, VXLAN and Ethernet
	wgPort  = 51820
	vxPort  = 8472
)

// Program is an implementation: it makes the device and serves it on /var/run/wireguard/<device>.sock until it is
// killed.
type Program struct {
	Name  string
	Path  string
	Args  []string // before the name of the device
	Under []string // an emulator
}

// Setting is what the tunnel is used for.
type Setting struct {
	ZeroChecksum bool          // VXLAN without UDP checksums, both ways
	Stream       time.Duration // how long TCP sends
	After        time.Duration // how long to wait before the last look at the memory; 0 leaves that out
}

// end is one host with a tunnel.
type end struct {
	host *netlab.Host
	prog *netlab.Process
	key  wgtypes.Key
	n    int // 1 or 2
}

// tunnel is two hosts that are joined by veth, WireGuard and VXLAN.
type tunnel struct {
	lab  *netlab.Lab
	ends [2]*end
}

func (e *end) wan() netip.Addr  { return netip.AddrFrom4([4]byte{192, 0, 2, byte(e.n)}) }
func (e *end) link() netip.Addr { return netip.MustParseAddr(fmt.Sprintf("fe80::%d", e.n)) }
func (e *end) mesh() netip.Addr { return netip.AddrFrom4([4]byte{10, 9, 0, byte(e.n)}) }

// open starts p on two hosts.
func open(ctx context.Context, p Program, zeroChecksum bool) (t *tunnel, err error) {
	t = &tunnel{lab: netlab.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	for i := range t.ends {
		e := &end{n: i + 1}
		t.ends[i] = e
		if e.host, err = t.lab.Host(fmt.Sprintf("end%d", e.n)); err != nil {
			return t, err
		}
		if e.key, err = wgtypes.GeneratePrivateKey(); err != nil {
			return t, err
		}
	}
	a, b := t.ends[0], t.ends[1]
	if err := t.lab.Wire(a.host, "wan", b.host, "wan"); err != nil {
		return t, err
	}
	for i, e := range t.ends {
		if err := e.start(ctx, p, t.ends[1-i], zeroChecksum); err != nil {
			return t, fmt.Errorf("%s on %s: %w", p.Name, fmt.Sprintf("end%d", e.n), err)
		}
	}
	return t, nil
}

func (t *tunnel) close() error { return t.lab.Close(context.Background()) }

func (e *end) start(ctx context.Context, p Program, other *end, zeroChecksum bool) error {
	if err := e.host.Addr("wan", netip.PrefixFrom(e.wan(), 24)); err != nil {
		return err
	}
	path, err := filepath.Abs(p.Path)
	if err != nil {
		return err
	}
	e.prog, err = e.host.Start(netlab.Command{
		Path: path, Args: append(append([]string(nil), p.Args...), device), Under: p.Under,
		Env: []string{"LOG_LEVEL=error"},
	})
	if err != nil {
		return err
	}
	conf := fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s\nallowed_ip=%s/128\n",
		hex.EncodeToString(e.key[:]), wgPort, public(other.key), netip.AddrPortFrom(other.wan(), wgPort), other.link())
	if err := e.configure(ctx, conf); err != nil {
		return err
	}
	return e.host.Do(func() error { return e.overlay(other, zeroChecksum) })
}

func public(k wgtypes.Key) string {
	p := k.PublicKey()
	return hex.EncodeToString(p[:])
}

// overlay sets the device up and puts VXLAN over it.
func (e *end) overlay(other *end, zeroChecksum bool) error {
	wg, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(wg, wgMTU); err != nil {
		return err
	}
	if err := wgdevice.AddAddr(wg.Attrs().Index, netip.PrefixFrom(e.link(), 64)); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(wg); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = overlay, vxMTU
	vx := &netlink.Vxlan{
		LinkAttrs: attrs, VxlanId: 1, VtepDevIndex: wg.Attrs().Index, SrcAddr: e.link().AsSlice(),
		Group: other.link().AsSlice(), Port: vxPort, UDP6ZeroCSumTx: zeroChecksum, UDP6ZeroCSumRx: zeroChecksum,
	}
	if err := netlink.LinkAdd(vx); err != nil {
		return fmt.Errorf("VXLAN: %w", err)
	}
	if err := wgdevice.AddAddr(vx.Index, netip.PrefixFrom(e.mesh(), 24)); err != nil {
		return err
	}
	return netlink.LinkSetUp(vx)
}

// configure talks to the control socket, as soon as the program answers there.
func (e *end) configure(ctx context.Context, conf string) error {
	c, err := e.control(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "set=1\n%s\n", conf); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "errno=0" {
		return fmt.Errorf("configuration is answered with %q", strings.TrimSpace(answer))
	}
	return nil
}

// startTimeout is far above what an emulated program needs.
const startTimeout = 30 * time.Second

// control dials the control socket. That it is there is no event, so it is looked for every 20 ms.
func (e *end) control(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := e.host.Dial(ctx, "unix", "/var/run/wireguard/"+device+".sock")
		if err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the program says %q", err, e.prog.Lines())
		case <-tick.C:
		}
	}
}
