// Package topology is the lab's usual internet: a node behind a WAN, gateways, and the services that a node needs.
//
//	                          ┌── gw1   203.0.113.6/30    2001:db8:101::2/64
//	node ──── router ─────────┼── gw2   203.0.113.10/30   2001:db8:102::2/64
//	  192.0.2.10/24           ├── …
//	  2001:db8:1::10/64       └── services 198.51.100.2/30, 2001:db8:53::2/64: DNS, NTP, broker
//
// Each host is a network namespace; the wires are veth pairs. The servers are real and listen on the services host. All
// gateways have the address 10.77.0.254/16 on their VXLAN device, so that an ARP request of the node reaches whichever
// is at the other end, and the MAC address in the reply tells which one that is.
//
// With Options.Parker there are concentrators c1, c2, … at the gateways' addresses, and configuration servers on the
// services host. Behind all of them lies the same internet of one address of each family.
package topology

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"wguplink/testbed/dnsd"
	"wguplink/testbed/ffac"
	"wguplink/testbed/gateway"
	"wguplink/testbed/line"
	"wguplink/testbed/mosquitto"
	"wguplink/testbed/mqtt"
	"wguplink/testbed/netlab"
	"wguplink/testbed/ntpd"
	"wguplink/testbed/ubusd"
	"wguplink/testbed/vclock"
	"wguplink/testbed/wgkex"
)

// Fixed names and numbers of the topology.
const (
	Domain    = "ffxx_city"
	VXLANID   = 1906606
	VXLANPort = 8472

	GluonVXLANPort = 4789 // with Options.Gluon

	BrokerName  = "broker.example.org"
	gatewayPort = 51820
	gatewayL2   = "10.77.0.254/16"

	wanMark, wanTable = 1, 1 // of a node with Parker
)

// Addresses of the topology.
var (
	GluonLink  = netip.MustParseAddr("fe80::1") // of all gateways, with Options.Gluon
	NodeV4     = netip.MustParsePrefix("192.0.2.10/24")
	NodeV6     = netip.MustParsePrefix("2001:db8:1::10/64")
	RouterV4   = netip.MustParsePrefix("192.0.2.1/24")
	RouterV6   = netip.MustParsePrefix("2001:db8:1::1/64")
	ServicesV4 = netip.MustParsePrefix("198.51.100.2/30")
	ServicesV6 = netip.MustParsePrefix("2001:db8:53::2/64")
)

// Options of a Topology.
type Options struct {
	Gateways int // default 3
	// NoV4 and NoV6 leave one family out of the node's WAN.
	NoV4, NoV6 bool
	// NoRoute leaves the node without default routes; see Topology.RouteUp.
	NoRoute bool
	// NTPServers is how many there are, at ntp1.example.org and so on; default 3.
	NTPServers int
	// WorkerPoll is how often the gateways' workers look for new keys; default worker.PollEvery, the real one's second.
	WorkerPoll time.Duration
	// NoMQTT is for a machine that has no Mosquitto: broker and workers talk inside the process.
	NoMQTT bool
	// Locations turns the broker's location list on.
	Locations bool
	// Gluon makes the gateways those of Gluon's own WireGuard: all have the link address fe80::1, a node's address
	// follows from its key alone, and VXLAN has port 4789 and no checksums.
	Gluon bool
	// Layer3 makes the gateways ones of plain IP, without VXLAN: each routes Layer3Range, out of which the broker hands
	// out addresses.
	Layer3 bool
	// VXLANID is the gateways' network identifier; default VXLANID.
	VXLANID uint32
	// Glue makes the gateways ones without a broker's worker, whose glue looks for new handshakes every ten seconds,
	// each from a random moment on.
	Glue bool
	// Line puts an access line between the node and its router: Topology.Line.
	Line bool
	// Parker makes a topology without gateways: Topology.Parker.
	Parker *ParkerOptions
	// FFAC starts a registration server: Topology.FFAC.
	FFAC bool
	// Outside is a network device, in the namespace that New runs in, at whose other end the node is: another machine.
	// It goes to the router in place of the wire to Topology.Node, which is nil then, as is Topology.Ubus.
	Outside string
}

// Topology is the lab's internet with one node in it. Its exported fields are set by New and not changed afterwards.
type Topology struct {
	Lab                    *netlab.Lab
	Node, Router, Services *netlab.Host
	Gateways               []*Gateway
	DNS                    *dnsd.Server
	NTP                    []*ntpd.Server
	Broker                 *wgkex.Broker
	Ubus                   *ubusd.Daemon // the node's; UbusUp replaces it
	CA                     *wgkex.CA
	CAFile                 string            // PEM, as the lab sees it
	Line                   *line.Line        // nil without Options.Line
	Parker                 *Parker           // nil without Options.Parker
	FFAC                   *ffac.Server      // nil without Options.FFAC
	Mosquitto              *mosquitto.Server // nil with Options.NoMQTT
	Bus                    mqtt.Bus          // the broker's

	o        Options
	ctx      context.Context
	cancel   context.CancelFunc
	servers  sync.WaitGroup
	mu       sync.Mutex
	broken   error // of a server that ended by itself
	timeline Timeline
	extra    int // brokers with addresses of their own
	ubusStop func()
	floods   []*Flood
	cuts     []func() error // undo what the router drops

	brokerClient *mqtt.Client // nil with Options.NoMQTT
}

// New makes a topology in the namespaces that netlab.Main has made. dir keeps its files. Close it after use.
func New(o Options, dir string) (topo *Topology, err error) {
	if o.Gateways == 0 && o.Parker == nil {
		o.Gateways = 3
	}
	if o.NTPServers == 0 {
		o.NTPServers = 3
	}
	if o.VXLANID == 0 {
		o.VXLANID = VXLANID
	}
	ctx, cancel := context.WithCancel(context.Background())
	topo = &Topology{Lab: netlab.New(), o: o, ctx: ctx, cancel: cancel, CAFile: dir + "/ca.pem"}
	defer func() {
		if err != nil {
			err = errors.Join(err, topo.Close())
		}
	}()
	if err := topo.hosts(); err != nil {
		return topo, err
	}
	for i := 1; i <= o.Gateways; i++ {
		if err := topo.addGateway(i); err != nil {
			return topo, err
		}
	}
	if err := topo.services(); err != nil {
		return topo, err
	}
	if o.Outside != "" {
		return topo, nil
	}
	if err := topo.UbusUp(); err != nil {
		return topo, err
	}
	if o.Parker != nil {
		if err := topo.startParker(dir); err != nil {
			return topo, err
		}
	}
	if o.FFAC {
		if err := topo.startFFAC(); err != nil {
			return topo, err
		}
	}
	if !o.NoRoute {
		return topo, topo.RouteUp()
	}
	return topo, nil
}

// Close ends everything.
func (topo *Topology) Close() error {
	// Long, because it is for a hang only: a process ends when its devices are gone, for which the kernel makes many
	// topologies queue.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var errs []error
	topo.mu.Lock()
	floods := topo.floods
	topo.mu.Unlock()
	for _, f := range floods {
		errs = append(errs, f.Close())
	}
	// Before their hosts: the kernel's WireGuard devices are deleted from inside.
	for _, g := range topo.Gateways {
		errs = append(errs, g.Kill())
	}
	topo.closeMQTT()
	errs = append(errs, topo.closeParker(), topo.Lab.Close(ctx))
	if topo.Line != nil {
		errs = append(errs, topo.Line.Close())
	}
	topo.cancel()
	topo.servers.Wait()
	if topo.Broker != nil {
		topo.Broker.Close()
	}
	if topo.FFAC != nil {
		topo.FFAC.Close()
	}
	topo.mu.Lock()
	defer topo.mu.Unlock()
	return errors.Join(append(errs, topo.broken)...)
}

func (topo *Topology) hosts() (err error) {
	for _, h := range []struct {
		to   **netlab.Host
		name string
	}{{&topo.Node, "node"}, {&topo.Router, "router"}, {&topo.Services, "services"}} {
		if h.name == "node" && topo.o.Outside != "" {
			continue
		}
		if *h.to, err = topo.Lab.Host(h.name); err != nil {
			return err
		}
	}
	if topo.Node != nil {
		// A machine may have a group of that number: the node's comes first.
		text, err := topo.Node.ReadFile("/etc/group")
		if err == nil {
			err = topo.Node.WriteFile("/etc/group", fmt.Sprintf("%s:x:%d:\n%s", groupName, groupID, text))
		}
		if err != nil {
			return err
		}
	}
	if err := topo.Router.Forward(); err != nil {
		return err
	}
	if err := topo.access(); err != nil {
		return err
	}
	for _, wan := range []struct {
		without      bool
		node, router netip.Prefix
	}{{topo.o.NoV4, NodeV4, RouterV4}, {topo.o.NoV6, NodeV6, RouterV6}} {
		if wan.without {
			continue
		}
		err = errors.Join(err, topo.Router.Addr("node", wan.router))
		if topo.Node != nil {
			err = errors.Join(err, topo.Node.Addr("wan", wan.node))
		}
	}
	if topo.o.Parker != nil {
		err = errors.Join(err, topo.Node.Rule(wanMark, wanTable))
	}
	return errors.Join(err, topo.attach(topo.Services, "services", ServicesV4, ServicesV6))
}

// access joins the node and its router.
func (topo *Topology) access() error {
	if topo.o.Outside != "" {
		return topo.Router.Take(topo.o.Outside, "node")
	}
	if !topo.o.Line {
		return topo.Lab.Wire(topo.Node, "wan", topo.Router, "node")
	}
	topo.Line = line.New(topo.Lab, "line", line.End{Host: topo.Node, Dev: "wan"},
		line.End{Host: topo.Router, Dev: "node"})
	return topo.Line.Start()
}

// attach wires a host to the router, which has the address before the host's in each network.
func (topo *Topology) attach(h *netlab.Host, dev string, v4, v6 netip.Prefix) error {
	if err := topo.Lab.Wire(h, "eth0", topo.Router, dev); err != nil {
		return err
	}
	for _, p := range []netip.Prefix{v4, v6} {
		via := p.Addr().Prev()
		if err := errors.Join(h.Addr("eth0", p), topo.Router.Addr(dev, netip.PrefixFrom(via, p.Bits())),
			h.Route(netlab.Route{Via: via})); err != nil {
			return err
		}
	}
	return nil
}

// Forget lets every gateway forget all keys.
func (topo *Topology) Forget() error {
	var errs []error
	for _, g := range topo.Gateways {
		if err := g.ForgetKeys(); !errors.Is(err, gateway.ErrDown) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// serve runs one server of the services host until the topology closes.
func (topo *Topology) serve(what string, f func() error) {
	topo.servers.Add(1)
	go func() {
		defer topo.servers.Done()
		if err := f(); err != nil && topo.ctx.Err() == nil {
			topo.mu.Lock()
			topo.broken = errors.Join(topo.broken, fmt.Errorf("%s: %w", what, err))
			topo.mu.Unlock()
		}
	}()
}

// NodeLink is a device on the node; nil when there is none.
func (topo *Topology) NodeLink(name string) netlink.Link {
	l, err := topo.Node.Netlink().LinkByName(name)
	if err != nil {
		return nil
	}
	return l
}

// Clock is the node's wall clock.
func (topo *Topology) Clock() *vclock.Clock { return topo.Node.Clock() }

func route(dst netip.Prefix, via netip.Addr) netlab.Route { return netlab.Route{Dst: dst, Via: via} }
