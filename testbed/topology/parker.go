package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/peerselector"
	"wguplink/testbed/concentrator"
	"wguplink/testbed/etcdd"
	"wguplink/testbed/netlab"
	"wguplink/testbed/parker"
	"wguplink/testbed/wgkex"
)

// Names and addresses of a topology with Parker. All concentrators have InternetV4 and InternetV6, so that what a node
// sends there is answered by whichever it is connected to. The TTL or hop limit of an answer tells which: ttlBase and
// its id.
const (
	ConfigName  = "cfg.example.org"
	ConfigName2 = "cfg2.example.org"
	ttlBase     = 64

	maxConcentrators = 40
)

var (
	InternetV4 = netip.MustParseAddr("198.18.0.1")
	InternetV6 = netip.MustParseAddr("2001:db8:ffff::1")
)

// ParkerOptions makes a topology with Parker: concentrators in place of gateways, and the node's WAN in routing table
// 1, for packets of mark 1.
type ParkerOptions struct {
	Concentrators int // default 3, at most 40
	// Etcd keeps the nodes in a real etcd on the services host; else they are in a file.
	Etcd    bool
	Dialect parker.Dialect
}

// Parker is what such a topology has.
type Parker struct {
	Network       parker.Network
	Servers       []*parker.Server // at ConfigName and at ConfigName2, with one store
	Key           parker.SecretKey // that they sign with
	Concentrators []*Concentrator
	Etcd          *etcdd.Server // nil without ParkerOptions.Etcd

	dialect parker.Dialect
	store   *parker.EtcdStore
}

// Concentrator is one concentrator host.
type Concentrator struct {
	*concentrator.Concentrator
	ID                 int
	Name               string
	Host               *netlab.Host
	V4, V6             netip.Addr // of its WAN
	Address4, Address6 netip.Addr // in the tunnels
	DNS                string     // its name
}

// Entry is what nodes are told of it, as it is now.
func (c *Concentrator) Entry() parker.Concentrator {
	return parker.Concentrator{ID: c.ID, PubKey: c.PublicKey(), Endpoint: fmt.Sprintf("%s:%d", c.DNS, c.Port()),
		Address4: c.Address4, Address6: c.Address6}
}

// Publish makes these, as they are now, the concentrators that nodes are told of.
func (p *Parker) Publish(ctx context.Context, all ...*Concentrator) error {
	var entries []parker.Concentrator
	for _, c := range all {
		entries = append(entries, c.Entry())
	}
	return p.Network.SetConcentrators(ctx, entries)
}

// Named gives the concentrator of that name.
func (p *Parker) Named(name string) *Concentrator {
	for _, c := range p.Concentrators {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// ParkerUCI gives the options of an uplink that gets its configuration from the topology's servers.
func (topo *Topology) ParkerUCI() map[string][]string {
	o := topo.baseOptions()
	delete(o, "vxlan_id")
	o["protocol"] = []string{"parker"}
	o["broker"] = []string{"http://" + ConfigName, "http://" + ConfigName2}
	if topo.Parker.dialect == parker.Wgkex {
		for i := range o["broker"] {
			o["broker"][i] += parker.PathWgkex
		}
	}
	o["config_pubkey"] = []string{topo.Parker.Key.Public().String()}
	o["wan_device"] = []string{"wan"}
	return o
}

// startParker starts the store, the servers and the concentrators. DNS is up.
func (topo *Topology) startParker(dir string) error {
	p := &Parker{dialect: topo.o.Parker.Dialect}
	topo.Parker = p
	ctx, cancel := context.WithTimeout(topo.ctx, 30*time.Second)
	defer cancel()
	var err error
	if p.Key, err = parker.GenerateKey(); err != nil {
		return err
	}
	if err := topo.openStore(ctx, dir); err != nil {
		return err
	}
	if err := p.Network.Seed(ctx); err != nil {
		return err
	}
	for _, name := range []string{ConfigName, ConfigName2} {
		if err := topo.startConfig(ctx, name); err != nil {
			return err
		}
	}
	n := topo.o.Parker.Concentrators
	if n == 0 {
		n = 3
	}
	if n > maxConcentrators {
		return fmt.Errorf("topology: %d concentrators; there are addresses for %d", n, maxConcentrators)
	}
	for i := 1; i <= n; i++ {
		if err := topo.addConcentrator(i); err != nil {
			return err
		}
	}
	return p.Publish(ctx, p.Concentrators...)
}

func (topo *Topology) openStore(ctx context.Context, dir string) (err error) {
	p := topo.Parker
	if !topo.o.Parker.Etcd {
		p.Network.Store, err = parker.OpenFile(filepath.Join(dir, "nodes.json"))
		return err
	}
	if p.Etcd, err = etcdd.New(topo.Services); err != nil {
		return err
	}
	if err := p.Etcd.Start(ctx); err != nil {
		return err
	}
	p.store, err = parker.DialEtcd(etcdd.Address, topo.Services.Dial)
	p.Network.Store = p.store
	return err
}

// startConfig starts a configuration server on addresses of its own.
func (topo *Topology) startConfig(ctx context.Context, name string) error {
	s, err := parker.New(parker.Options{
		Store: topo.Parker.Network.Store, Key: topo.Parker.Key, Dialect: topo.Parker.dialect,
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if addrs := topo.DNS.Lookup(host); len(addrs) > 0 {
				return addrs, nil
			}
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		},
		OnRequest: func(parker.Request) { topo.timeline.Add(time.Now(), "config asked", name) },
		OnAnswer: func(_ peerselector.Key, f parker.Fields) {
			topo.timeline.Add(time.Now(), "configured", fmt.Sprintf("%s, id %s", name, f.Get("id")))
		},
	})
	if err != nil {
		return err
	}
	topo.Parker.Servers = append(topo.Parker.Servers, s)
	addrs, err := topo.extraAddrs(name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ln, err := topo.listen(netip.AddrPortFrom(a, 80))
		if err != nil {
			return err
		}
		topo.serve("configuration server", func() error { return wgkex.Serve(topo.ctx, ln, s, nil, nil) })
	}
	return nil
}

func (topo *Topology) addConcentrator(i int) error {
	c := &Concentrator{ID: i, Name: fmt.Sprintf("c%d", i), DNS: fmt.Sprintf("c%d.example.org", i)}
	var err error
	if c.Host, err = topo.Lab.Host(c.Name); err != nil {
		return err
	}
	// The IPv6 setting is for devices that are made from now on.
	ttl := fmt.Sprint(ttlBase + i)
	if err := errors.Join(c.Host.Sysctl("net.ipv4.ip_default_ttl", ttl),
		c.Host.Sysctl("net.ipv6.conf.default.hop_limit", ttl)); err != nil {
		return err
	}
	v4, v6 := gatewayWAN(i)
	if err := topo.attach(c.Host, c.Name, v4, v6); err != nil {
		return err
	}
	for _, a := range []netip.Addr{InternetV4, InternetV6} {
		if err := c.Host.Addr("lo", netip.PrefixFrom(a, a.BitLen())); err != nil {
			return err
		}
	}
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return fmt.Errorf("concentrator %s: %w", c.Name, err)
	}
	c.V4, c.V6 = v4.Addr(), v6.Addr()
	c.Address4 = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
	c.Address6 = netip.MustParseAddr(fmt.Sprintf("2001:bf7:381::%x", i))
	if topo.Parker.dialect == parker.Wgkex {
		c.Address4, c.Address6 = netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.MustParseAddr(fmt.Sprintf("fe80::%x", i))
	}
	c.Concentrator, err = concentrator.New(concentrator.Config{
		Name: c.Name, Do: c.Host.Do, Network: topo.Parker.Network, PrivateKey: key, ListenPort: gatewayPort,
		Address4: c.Address4, Address6: c.Address6,
		OnNode: func(n parker.Node) {
			topo.timeline.Add(time.Now(), "node known", fmt.Sprintf("%s, id %d", c.Name, n.ID))
		},
	})
	if err != nil {
		return err
	}
	topo.Parker.Concentrators = append(topo.Parker.Concentrators, c)
	topo.DNS.Set(c.DNS, c.V4, c.V6)
	if err := c.Start(); err != nil {
		return err
	}
	return topo.startSink(c)
}

// closeParker ends what of Parker has to end before the hosts.
func (topo *Topology) closeParker() error {
	if topo.Parker == nil {
		return nil
	}
	var errs []error
	for _, c := range topo.Parker.Concentrators {
		errs = append(errs, c.Kill())
	}
	for _, s := range topo.Parker.Servers {
		s.Close()
	}
	if topo.Parker.store != nil {
		errs = append(errs, topo.Parker.store.Close())
	}
	return errors.Join(errs...)
}
