package recovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	"wguplink/testbed/netlab"
	"wguplink/testbed/qemu/gatewayvm"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/scenario"
	"wguplink/testbed/topology"
)

// Names of devices.
const (
	primary  = "primary0"
	wgDevice = "wg_mesh" // the agent's, by default
	vxDevice = "mesh-vpn"
)

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
	scenario.Namespaces
	options map[string][]string
	more    []string // sections beside the uplink
	pings   *echo.Requests
	gateway string           // the short name of the one that was last seen in use
	others  map[string][]int // indexes of the gateways' other VXLANs, by gateway
}

// newScene makes the topology, and returns when pings go through the mesh. What it gives has to be closed also after an
// error.
func newScene(ctx context.Context, c Combination, program, dir string) (s *scene, err error) {
	topo, err := topology.New(topology.Options{Gateways: 2, NTPServers: 1, NoMQTT: true}, dir)
	if err != nil {
		return nil, err
	}
	s = &scene{Namespaces: scenario.Namespaces{Topology: topo}, options: topo.BrokerOptions(),
		pings: echo.New(pingEvery), others: map[string][]int{}}
	if err := s.mesh(c); err != nil {
		return s, err
	}
	s.options["batman"], s.options["fwmark"], s.options["broker_timeout"] = []string{gatewayvm.Mesh},
		[]string{"0"}, []string{"60"}
	if s.Agent, err = topo.NewAgent(program, dir, topology.UCI(s.options)); err != nil {
		return s, err
	}
	if err := s.Agent.Start(); err != nil {
		return s, err
	}
	st, err := s.until(ctx, "connected", topology.Connected)
	if err != nil {
		return s, err
	}
	var key peerselector.Key
	if err := key.UnmarshalText([]byte(st.PublicKey)); err != nil {
		return s, fmt.Errorf("public key %q: %w", st.PublicKey, err)
	}
	return s, errors.Join(s.reachable(key), s.settled(ctx))
}

// mesh makes the mesh interfaces of all, and has the gateways send pings to the node.
func (s *scene) mesh(c Combination) error {
	node := s.Topology.Node
	var over []string
	if c.Primary {
		dummy := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: primary, MTU: 1532}}
		if err := errors.Join(node.Netlink().LinkAdd(dummy), node.Netlink().LinkSetUp(dummy)); err != nil {
			return fmt.Errorf("%s: %w", primary, err)
		}
		over = []string{primary}
	}
	if err := gatewayvm.MakeMesh(node, c.Algorithm, gatewayvm.NodeMesh, over...); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	for i, g := range s.Topology.Gateways {
		addr := gatewayvm.MeshAddr(i + 1)
		err := gatewayvm.MakeMesh(g.Host, c.Algorithm, addr, gateway.DefaultVXLANInterface)
		if err == nil {
			err = g.Host.Do(func() error { return s.addOthers(g) })
		}
		if err == nil {
			err = errors.Join(introduce(node, g.Host, addr.Addr()), introduce(g.Host, node, gatewayvm.NodeMesh.Addr()))
		}
		if err == nil {
			err = s.pings.Send(g.Host, g.Name, addr.Addr(), gatewayvm.NodeMesh.Addr(), i+1)
		}
		if err != nil {
			return fmt.Errorf("gateway %s: %w", g.Name, err)
		}
	}
	return nil
}

func (s *scene) close() error {
	s.pings.Close()
	return s.Topology.Close()
}

// settled waits until the node is connected, and pings by its gateway come back.
func (s *scene) settled(ctx context.Context) error {
	for {
		if _, err := s.until(ctx, "connected", topology.Connected); err != nil {
			return err
		}
		if _, err := s.back(ctx); !errors.Is(err, errMoved) {
			return err
		}
	}
}

// errMoved ends a wait for pings that will not come: a gateway that is not in use gets no answer.
var errMoved = errors.New("the node has gone to another gateway")

// back waits until pings by the gateway in use come back, and gives the moment at which they did.
func (s *scene) back(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, err := s.Agent.Await(ctx, "with another gateway", func(st topology.Status) bool {
			return st.Gateway != nil && topology.ShortName(st.Gateway.Name) != s.gateway
		})
		if err == nil {
			cancel(errMoved)
		}
	}()
	defer func() { cancel(nil); <-watched }()
	return s.pings.AwaitStreak(ctx, s.gateway, time.Now(), streak)
}

// tail is what the agent said last.
func (s *scene) tail() string {
	lines := s.Agent.Lines()
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// until waits until the status is as wanted; that has to have a gateway.
func (s *scene) until(ctx context.Context, what string, ok func(topology.Status) bool) (topology.Status, error) {
	st, err := s.Agent.Await(ctx, what, ok)
	if err == nil {
		s.gateway = topology.ShortName(st.Gateway.Name)
	}
	return st, err
}

// lookEvery is between two looks at the node's devices.
const lookEvery = 100 * time.Millisecond

// look waits until something holds of them.
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
	v, is := s.Topology.NodeLink(vxDevice).(*netlink.Vxlan)
	return is && ok(v)
}

// wireguard is the same for its WireGuard device.
func (s *scene) wireguard(ok func(*wgtypes.Device) bool) bool {
	good := false
	_ = s.Topology.Node.Do(func() error {
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
		if err := guest.Join(v.Name, gatewayvm.Mesh); err != nil {
			return err
		}
		s.others[g.Name] = append(s.others[g.Name], v.Index)
	}
	return nil
}

// reachable points the gateways' other VXLANs at a node, as the worker does with the first one.
func (s *scene) reachable(key peerselector.Key) error {
	for _, g := range s.Topology.Gateways {
		for _, index := range s.others[g.Name] {
			err := g.Host.Netlink().NeighAppend(&netlink.Neigh{
				LinkIndex: index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT | netlink.NUD_NOARP,
				Flags: netlink.NTF_SELF, IP: derive.LinkLocal(key, true).AsSlice(),
				HardwareAddr: make(net.HardwareAddr, 6),
			})
			if err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("gateway %s: entry for the node: %w", g.Name, err)
			}
		}
	}
	return nil
}

// introduce gives a host a permanent neighbour entry for another's address in the mesh: what is measured is batman-adv,
// not ARP.
func introduce(to, other *netlab.Host, addr netip.Addr) error {
	theirs, err := other.Netlink().LinkByName(gatewayvm.Mesh)
	if err != nil {
		return err
	}
	own, err := to.Netlink().LinkByName(gatewayvm.Mesh)
	if err != nil {
		return err
	}
	err = to.Netlink().NeighSet(&netlink.Neigh{LinkIndex: own.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: addr.AsSlice(), HardwareAddr: theirs.Attrs().HardwareAddr})
	if err != nil {
		return fmt.Errorf("neighbour %v: %w", addr, err)
	}
	return nil
}
