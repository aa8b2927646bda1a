// Package gatewayvm is what lies beyond the node's WAN, in a virtual machine of its own: the lab's topology, with its
// gateways, broker, NTP and DNS servers, each in a namespace, and on each gateway a batman-adv interface over its
// VXLAN.
//
//	node VM eth0 ──── eth0 router ──── gw1 … gw3: wg-mesh, over it vx-mesh, over it bat0 10.88.0.1 … .3
//	bat0 10.88.0.100            └───── services
package gatewayvm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"wguplink/testbed/echo"
	"wguplink/testbed/gateway"
	"wguplink/testbed/netlab"
	"wguplink/testbed/qemu/console"
	"wguplink/testbed/qemu/guest"
	"wguplink/testbed/topology"
)

// Addresses inside the tunnel without a VXLAN; all gateways have the same.
var (
	NodePlain    = netip.MustParsePrefix("10.99.0.100/24")
	GatewayPlain = netip.MustParsePrefix("10.99.0.1/24")
)

// NodeMAC is the address of the node's bat0.
const NodeMAC = "52:54:00:88:01:00"

// Mesh is the mesh interface of a node and of a gateway.
const Mesh = "bat0"

// NodeMesh is the node's address in the mesh.
var NodeMesh = netip.MustParsePrefix("10.88.0.100/16")

// MeshAddr is the address of the nth gateway in the mesh, counted from 1.
func MeshAddr(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 88, 0, byte(n)}), NodeMesh.Bits())
}

// MakeMesh makes a host's mesh interface, over some of its devices, with an address.
func MakeMesh(h *netlab.Host, algorithm string, addr netip.Prefix, over ...string) error {
	err := h.Do(func() error {
		if err := guest.MakeBatman(Mesh, algorithm); err != nil {
			return err
		}
		for _, device := range over {
			if err := guest.Join(device, Mesh); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(h.Addr(Mesh, addr), h.LinkUp(Mesh))
}

// Server takes the host's commands.
type Server struct {
	topo  *topology.Topology
	start time.Time
	pings *echo.Requests
}

// New makes the topology around a network device. dir keeps its files.
func New(device, dir string) (*Server, error) {
	topo, err := topology.New(topology.Options{Outside: device, NoMQTT: true}, dir)
	if err != nil {
		return nil, err
	}
	return &Server{topo: topo, start: time.Now()}, nil
}

// Handle carries out one command.
func (f *Server) Handle(words []string) console.Reply {
	out, err := f.handle(words[0], words[1:])
	if err != nil {
		return console.Failed(err)
	}
	return console.Reply{Out: out}
}

func (f *Server) handle(name string, args []string) (string, error) {
	c, ok := commands[name]
	if !ok {
		return "", fmt.Errorf("no command %s", name)
	}
	if len(args) != c.args {
		return "", fmt.Errorf("%s takes %d words", name, c.args)
	}
	return c.do(f, args)
}

type command struct {
	args int
	do   func(f *Server, args []string) (string, error)
}

var commands = map[string]command{
	// mesh ALGORITHM: all gateways are up, know no node, and have a new mesh interface.
	"mesh": {1, func(f *Server, a []string) (string, error) { return "", f.mesh(a[0]) }},
	// ca: the certificate of the broker's authority.
	"ca": {0, func(f *Server, _ []string) (string, error) {
		b, err := os.ReadFile(f.topo.CAFile)
		return string(b), err
	}},
	// options: of an uplink with the broker, and those of one without; and the gateways' sections.
	"options": {0, func(f *Server, _ []string) (string, error) {
		return encode(Options{Broker: f.topo.BrokerOptions(), Static: f.topo.StaticOptions(),
			Sections: f.topo.Sections()})
	}},
	// know KEY: every gateway learns a node's key from its operator.
	"know": {1, func(f *Server, a []string) (string, error) { return "", f.know(a[0]) }},
	// plain KEY: every gateway learns a node's key, and exchanges plain IPv4 with it inside the tunnel; no VXLAN is
	// needed.
	"plain": {1, func(f *Server, a []string) (string, error) { return "", f.plain(a[0]) }},
	// happen INCIDENT NAME: one of the incidents, to a gateway.
	"happen": {2, func(f *Server, a []string) (string, error) {
		return "", f.topo.Happen(topology.Incident(a[0]), a[1])
	}},
	// leave NAME: the gateway's VXLAN is no hard-interface any more; join NAME: it is again.
	"leave": {1, at(leave)},
	"join":  {1, at(join)},
	// serve FILE: by HTTP to the node, from now on; the answer is the URL.
	"serve": {1, (*Server).serve},
	// now: the present moment.
	"now": {0, func(f *Server, _ []string) (string, error) { return f.now(), nil }},
	// handshake MS: the first gateway that has shaken hands with a node.
	"handshake": {1, (*Server).handshake},
	// ping MS: from now on every gateway sends an echo request to the node every MS milliseconds; 0 ends it.
	"ping": {1, func(f *Server, a []string) (string, error) { return "", f.ping(a[0], MeshAddr, NodeMesh) }},
	// ping-plain MS: the same between the addresses of plain.
	"ping-plain": {1, func(f *Server, a []string) (string, error) {
		return "", f.ping(a[0], func(int) netip.Prefix { return GatewayPlain }, NodePlain)
	}},
	// reply AFTER EXCEPT MS: the first answer to a request sent after a moment, and from another than a gateway.
	"reply": {3, (*Server).reply},
	// count NAME AFTER BEFORE: how many requests of a gateway went out between two moments, and how many were answered.
	"count": {3, (*Server).count},
	// lost NAME AFTER N MS: for how long a gateway's requests had no answer, in milliseconds, from a moment until N in
	// a row, sent from now on, are answered.
	"lost": {4, (*Server).lost},
	// flow NAME DIRECTION BYTES MS: how fast a flow between gateway and node was, in kbit/s of the packets inside the
	// tunnel.
	"flow": {4, at(measureFlow)},
	// originators NAME: of the gateway's mesh.
	"originators": {1, at(originators)},
	// mac NAME: of the gateway's VXLAN, by which its neighbours know it.
	"mac": {1, at(mac)},
}

// at makes a command of one at a gateway, which the first word names.
func at(do func(g *topology.Gateway, args []string) (string, error)) func(*Server, []string) (string, error) {
	return func(f *Server, args []string) (string, error) {
		g := f.topo.Named(args[0])
		if g == nil {
			return "", fmt.Errorf("no gateway %q", args[0])
		}
		return do(g, args[1:])
	}
}

// Options is what the node's configuration is made of.
type Options struct {
	Broker, Static map[string][]string
	Sections       string
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// now is the present moment, in microseconds since the start.
func (f *Server) now() string { return strconv.FormatInt(time.Since(f.start).Microseconds(), 10) }

func (f *Server) moment(text string) (time.Time, error) {
	us, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("moment %q: %w", text, err)
	}
	return f.start.Add(time.Duration(us) * time.Microsecond), nil
}

func (f *Server) mesh(algorithm string) error {
	for _, g := range f.topo.Gateways {
		if g.Backend() == gateway.Auto {
			if err := g.Restart(false); err != nil {
				return err
			}
		}
		if err := g.ForgetKeys(); err != nil {
			return err
		}
	}
	for i, g := range f.topo.Gateways {
		var err error
		if old, there := g.Host.Netlink().LinkByName(Mesh); there == nil {
			err = g.Host.Netlink().LinkDel(old)
		}
		if err == nil {
			err = MakeMesh(g.Host, algorithm, MeshAddr(i+1), gateway.DefaultVXLANInterface)
		}
		if err != nil {
			return fmt.Errorf("gateway %s: %s: %w", g.Name, Mesh, err)
		}
	}
	return nil
}

func join(g *topology.Gateway, _ []string) (string, error) {
	return "", g.Host.Do(func() error { return guest.Join(gateway.DefaultVXLANInterface, Mesh) })
}

func leave(g *topology.Gateway, _ []string) (string, error) {
	hard, err := g.Host.Netlink().LinkByName(gateway.DefaultVXLANInterface)
	if err == nil {
		err = g.Host.Netlink().LinkSetNoMaster(hard)
	}
	return "", err
}

func originators(g *topology.Gateway, _ []string) (out string, err error) {
	err = g.Host.Do(func() (err error) {
		out, err = guest.Originators(Mesh)
		return err
	})
	return out, err
}

func mac(g *topology.Gateway, _ []string) (string, error) {
	link, err := g.Host.Netlink().LinkByName(gateway.DefaultVXLANInterface)
	if err != nil {
		return "", err
	}
	return link.Attrs().HardwareAddr.String(), nil
}
