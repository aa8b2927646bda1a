package measure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/broker"
	"wguplink/agent/signify"
	"wguplink/peerselector"
	"wguplink/testbed/topology"
)

var (
	parkerEtcdLost  = Metric{Name: "etcd away: pings lost", AtMost: true}
	parkerEtcdFetch = Metric{Name: "etcd back to a good answer", Unit: "s", Target: 15}
	parkerEtcdStart = Metric{Name: "etcd back to reply of a node that waits", Unit: "s", Target: 30}
	parkerCrowd     = Metric{Name: "of 200 nodes, without an id and ranges of their own", AtMost: true}
	parkerCrowdTime = Metric{Name: "200 nodes registered within", Unit: "s", Target: 30}
)

// parkerEtcd stops the store under a connected node.
func parkerEtcd(t *Measurement) error {
	if err := t.online(topology.ParkerOptions{Etcd: true}, nil); err != nil {
		return err
	}
	since := time.Now()
	if err := t.Parker.Etcd.Stop(t.ctx); err != nil {
		return err
	}
	if err := t.refetch("registration failed"); err != nil {
		return err
	}
	if err := t.Parker.Etcd.Start(t.ctx); err != nil {
		return err
	}
	back := time.Now()
	_, err := t.until("a good answer", func(s topology.Status) bool {
		return s.State == "connected" &&
			!failed(s.Broker)
	})
	if err != nil {
		return err
	}
	t.seconds(parkerEtcdFetch, time.Since(back))
	lost, err := t.lost(since)
	t.number(parkerEtcdLost, lost)
	return err
}

// failed tells an error in the status from a server's name: "broker URL: unreachable: …" from "URL (parker)".
func failed(says string) bool { return len(says) < 8 || says[len(says)-8:] != "(parker)" }

// parkerEtcdFirst has a node start while the store is away: it cannot be registered.
func parkerEtcdFirst(t *Measurement) error {
	if err := t.make(topology.Options{Parker: &topology.ParkerOptions{Etcd: true}}, nil); err != nil {
		return err
	}
	if err := t.Parker.Etcd.Stop(t.ctx); err != nil {
		return err
	}
	if err := t.ping(often); err != nil {
		return err
	}
	if err := t.Agent.Start(); err != nil {
		return err
	}
	if _, err := t.Agent.WaitLine(t.ctx, "registration failed"); err != nil {
		return err
	}
	t.started()
	if err := t.pause(5 * time.Second); err != nil {
		return err
	}
	if err := t.Parker.Etcd.Start(t.ctx); err != nil {
		return err
	}
	back := time.Now()
	took, err := t.again(back, nil)
	t.seconds(parkerEtcdStart, took)
	return err
}

// parker200 registers 200 keys at once with the agent's own client, through both servers and one etcd.
func parker200(t *Measurement) error {
	const nodes = 200
	if err := t.make(topology.Options{Parker: &topology.ParkerOptions{Etcd: true}}, nil); err != nil {
		return err
	}
	t.started()
	signing, err := signify.ParsePublicKey(t.Parker.Key.Public().String())
	if err != nil {
		return err
	}
	began := time.Now()
	got := make([]*broker.Network, nodes)
	errs := make([]error, nodes)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got[i], errs[i] = t.register(signing)
		}()
	}
	wg.Wait()
	t.seconds(parkerCrowdTime, time.Since(began))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	seen := map[any]bool{}
	without := 0
	for _, n := range got {
		own := []any{n.ID, n.Address4, n.Address6, n.Range4, n.Range6}
		if slices.ContainsFunc(own, func(v any) bool { return seen[v] }) || !n.Range4.Contains(n.Address4) ||
			!n.Range6.Contains(n.Address6) || overlaps(got, n) {
			without++
		}
		for _, v := range own {
			seen[v] = true
		}
	}
	t.number(parkerCrowd, without)
	return nil
}

func overlaps(all []*broker.Network, n *broker.Network) bool {
	return slices.ContainsFunc(all, func(o *broker.Network) bool {
		return o != n && (o.Range4.Overlaps(n.Range4) || o.Range6.Overlaps(n.Range6))
	})
}

// register asks until there is a configuration, as an agent would.
func (t *Measurement) register(signing signify.PublicKey) (*broker.Network, error) {
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return nil, err
	}
	var bases []*url.URL
	for _, name := range []string{topology.ConfigName, topology.ConfigName2} {
		bases = append(bases, &url.URL{Scheme: "http", Host: name, Path: "/config"})
	}
	p, err := broker.NewParker(broker.ParkerOptions{Bases: bases, SigningKey: signing,
		Timeout: 30 * time.Second, Dial: t.dialWAN})
	if err != nil {
		return nil, err
	}
	a, err := p.Register(t.ctx, peerselector.Key(private.PublicKey()))
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	return a.Network, nil
}

// dialWAN connects from the node through its WAN, with the addresses that the lab's DNS would give.
func (t *Measurement) dialWAN(ctx context.Context, network, address string) (conn net.Conn, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs := t.DNS.Lookup(host)
	i := slices.IndexFunc(addrs, netip.Addr.Is4)
	if i < 0 {
		return nil, fmt.Errorf("no IPv4 address of %s", host)
	}
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, 1) })
		return errors.Join(cerr, err)
	}}
	derr := t.Node.Do(func() (err error) {
		conn, err = d.DialContext(ctx, network, net.JoinHostPort(addrs[i].String(), port))
		return err
	})
	return conn, derr
}
