package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/derive"
	"wguplink/peerselector"
	"wguplink/testbed/echo"
	"wguplink/testbed/gateway"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/topology"
)

// Names and addresses in the mesh.
const (
	mesh     = "bat0"
	primary  = "primary0"
	wgDevice = "wg_mesh" // the agent's, by default
	vxDevice = "mesh-vpn"
)

var nodeMesh = netip.MustParsePrefix("10.88.0.100/16")

func meshAddr(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, 0, byte(i + 1)}), nodeMesh.Bits())
}

// The gateways' other VXLANs, which a node may move to.
const (
	otherID   = topology.VXLANID + 1
	otherPort = topology.VXLANPort + 1
)

// pingEvery is how often a gateway sends an echo request. streak is how many answers in a row show that the mesh is
// back.
const (
	pingEvery = 100 * time.Millisecond
	streak    = 30
)

// scene is a topology with a node in a mesh with its gateways.
type scene struct {
	topo    *topology.Topology
	agent   *topology.Agent
	options map[string][]string
	more    []string // sections beside the uplink
	pings   *echo.Requests
	last    string           // the gateway last in use
	others  map[string][]int // indexes of the gateways' other VXLANs, by gateway
}

// status is what is read of the agent's status file.
type status struct {
	State     string `json:"state"`
	Cause     string `json:"cause"`
	PID       int    `json:"pid"`
	PublicKey string `json:"public_key"`
	Gateway   *struct {
		Name string `json:"name"`
	} `json:"gateway"`
}

// newScene makes the topology, and returns when pings go through the mesh. What it gives has to be closed also after an
// error.
func newScene(ctx context.Context, c Combination, program, dir string) (s *scene, err error) {
	topo, err := topology.New(topology.Options{Gateways: 2, NTPServers: 1, NoMQTT: true}, dir)
	if err != nil {
		return nil, err
	}
	s = &scene{topo: topo, options: topo.BrokerOptions(), pings: echo.New(pingEvery), others: map[string][]int{}}
	macs := map[netip.Addr]net.HardwareAddr{}
	for i, g := range topo.Gateways {
		err := g.Host.Do(func() error {
			if err := guest.MakeBatman(mesh, c.Algorithm); err != nil {
				return err
			}
			if err := guest.Join(gateway.DefaultVXLANInterface, mesh); err != nil {
				return err
			}
			return s.addOthers(g)
		})
		if err == nil {
			macs[meshAddr(i).Addr()], err = bring(g.Host.Do, meshAddr(i))
		}
		if err != nil {
			return s, fmt.Errorf("gateway %s: %w", g.Name, err)
		}
	}
	err = topo.Node.Do(func() error {
		if err := guest.MakeBatman(mesh, c.Algorithm); err != nil || !c.Primary {
			return err
		}
		dummy := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: primary, MTU: 1532}}
		if err := errors.Join(netlink.LinkAdd(dummy), netlink.LinkSetUp(dummy)); err != nil {
			return fmt.Errorf("%s: %w", primary, err)
		}
		return guest.Join(primary, mesh)
	})
	var own net.HardwareAddr
	if err == nil {
		own, err = bring(topo.Node.Do, nodeMesh)
	}
	// By neighbour entries that are there: what is measured is batman-adv, not ARP.
	if err == nil {
		err = topo.Node.Do(func() error { return neighbours(macs) })
	}
	if err != nil {
		return s, fmt.Errorf("node: %w", err)
	}
	for i, g := range topo.Gateways {
		if err := g.Host.Do(func() error {
			return neighbours(
				map[netip.Addr]net.HardwareAddr{nodeMesh.Addr(): own})
		}); err != nil {
			return s, fmt.Errorf("gateway %s: %w", g.Name, err)
		}
		if err := s.pings.Send(g.Host, g.Name, meshAddr(i).Addr(), nodeMesh.Addr(), i+1); err != nil {
			return s, err
		}
	}
	s.options["batman"], s.options["fwmark"], s.options["broker_timeout"] = []string{mesh},
		[]string{"0"}, []string{"60"}
	if s.agent, err = topo.NewAgent(program, dir, topology.UCI(s.options)); err != nil {
		return s, err
	}
	if err := s.agent.Start(); err != nil {
		return s, err
	}
	st, err := s.until(ctx, "connected", connected)
	if err != nil {
		return s, err
	}
	var key peerselector.Key
	if err := key.UnmarshalText([]byte(st.PublicKey)); err != nil {
		return s, fmt.Errorf("public key %q: %w", st.PublicKey, err)
	}
	return s, errors.Join(s.reachable(key), s.settled(ctx))
}

func (s *scene) close() error {
	s.pings.Close()
	return s.topo.Close()
}

// settled waits until pings by the gateway in use come back again.
func (s *scene) settled(ctx context.Context) error {
	_, err := s.pings.AwaitStreak(ctx, s.gateway(), time.Now(), streak)
	return err
}

// tail is what the agent said last.
func (s *scene) tail() string {
	lines := s.agent.Lines()
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

func connected(st status) bool { return st.State == "connected" && st.Cause == "" }

func (s *scene) status() (st status, err error) {
	text, err := s.topo.Node.ReadFile("/var/run/wguplink/mesh.json")
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	return st, err
}

// gateway is the name of the one in use, or last in use while there is no status.
func (s *scene) gateway() string {
	st, err := s.status()
	if err != nil || st.Gateway == nil {
		return s.last
	}
	for _, g := range s.topo.Gateways {
		if g.Name == st.Gateway.Name || g.DNS == st.Gateway.Name {
			s.last = g.Name
		}
	}
	return s.last
}

// lookEvery is between two looks at what has no event for us: the status, and devices.
const lookEvery = 100 * time.Millisecond

// until waits until the status is as wanted.
func (s *scene) until(ctx context.Context, what string, ok func(status) bool) (st status, err error) {
	err = s.look(ctx, what, func() bool {
		now, err := s.status()
		if err == nil {
			st = now
		}
		return err == nil && ok(st)
	})
	if err != nil {
		err = fmt.Errorf("%w; the last status is %+v", err, st)
	}
	return st, err
}

func (s *scene) look(ctx context.Context, what string, ok func() bool) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("never %s: %w", what, context.Cause(ctx))
		}
	}
	return nil
}

// vxlan says whether the node's VXLAN is there and as wanted.
func (s *scene) vxlan(ok func(*netlink.Vxlan) bool) bool {
	good := false
	_ = s.topo.Node.Do(func() error {
		link, err := netlink.LinkByName(vxDevice)
		v, is := link.(*netlink.Vxlan)
		good = err == nil && is && ok(v)
		return nil
	})
	return good
}

// wireguard is the same for its WireGuard device.
func (s *scene) wireguard(ok func(*wgtypes.Device) bool) bool {
	good := false
	_ = s.topo.Node.Do(func() error {
		c, err := wgctrl.New()
		if err != nil {
			return err
		}
		defer c.Close()
		d, err := c.Device(wgDevice)
		good = err == nil && ok(d)
		return nil
	})
	return good
}

// addOthers makes the gateway's other VXLANs, and runs in its namespace.
func (s *scene) addOthers(g *topology.Gateway) error {
	lower, err := netlink.LinkByName(gateway.DefaultInterface)
	if err != nil {
		return err
	}
	for i, o := range []struct{ id, port int }{{otherID, topology.VXLANPort}, {otherID, otherPort}} {
		v := &netlink.Vxlan{
			LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("vx-other%d", i)}, VxlanId: o.id, Port: o.port,
			VtepDevIndex: lower.Attrs().Index, SrcAddr: g.Link.AsSlice(), UDPCSum: true,
			UDP6ZeroCSumRx: o.port == otherPort, // devices of one port have one socket, and must agree on this
		}
		if err := errors.Join(netlink.LinkAdd(v), netlink.LinkSetUp(v)); err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		if err := guest.Join(v.Name, mesh); err != nil {
			return err
		}
		s.others[g.Name] = append(s.others[g.Name], v.Index)
	}
	return nil
}

// reachable points the gateways' other VXLANs at a node, as the worker does with the first one.
func (s *scene) reachable(key peerselector.Key) error {
	for _, g := range s.topo.Gateways {
		err := g.Host.Do(func() error {
			for _, index := range s.others[g.Name] {
				err := netlink.NeighAppend(&netlink.Neigh{
					LinkIndex: index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP,
					Flags: netlink.NTF_SELF,
					IP:    derive.LinkLocal(key, true).AsSlice(), HardwareAddr: make(net.HardwareAddr, 6),
				})
				if err != nil && !errors.Is(err, unix.EEXIST) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("gateway %s: entry for the node: %w", g.Name, err)
		}
	}
	return nil
}

// bring gives the mesh interface its address and brings it up, and gives its MAC address.
func bring(do func(func() error) error, addr netip.Prefix) (mac net.HardwareAddr, err error) {
	err = do(func() error {
		link, err := netlink.LinkByName(mesh)
		if err != nil {
			return err
		}
		mac = slices.Clone(link.Attrs().HardwareAddr)
		ip := &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), addr.Addr().BitLen())}
		return errors.Join(netlink.AddrAdd(link, &netlink.Addr{IPNet: ip}), netlink.LinkSetUp(link))
	})
	return mac, err
}

// neighbours makes permanent entries on the mesh interface.
func neighbours(all map[netip.Addr]net.HardwareAddr) error {
	link, err := netlink.LinkByName(mesh)
	if err != nil {
		return err
	}
	for addr, mac := range all {
		n := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: addr.AsSlice(),
			HardwareAddr: mac}
		if err := netlink.NeighSet(n); err != nil {
			return fmt.Errorf("neighbour %v: %w", addr, err)
		}
	}
	return nil
}
