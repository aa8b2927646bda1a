package topology

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"wguplink/testbed/dnsd"
	"wguplink/testbed/ntpd"
	"wguplink/testbed/wgkex"
)

// services starts DNS, NTP and the broker (HTTPS on 443, HTTP on 80) on the services host.
func (topo *Topology) services() error {
	if err := topo.startDNS(); err != nil {
		return err
	}
	for i := 1; i <= topo.o.NTPServers; i++ {
		if err := topo.startNTP(i); err != nil {
			return err
		}
	}
	return topo.startBroker()
}

func (topo *Topology) startDNS() error {
	topo.DNS = dnsd.New(dnsd.Options{TTL: 60})
	topo.DNS.Set(BrokerName, ServicesV4.Addr(), ServicesV6.Addr())
	for _, g := range topo.Gateways {
		topo.DNS.Set(g.DNS, g.V4, g.V6)
	}
	for _, a := range []netip.Addr{ServicesV4.Addr(), ServicesV6.Addr()} {
		addr := netip.AddrPortFrom(a, 53).String()
		pc, err := topo.Services.ListenPacket(topo.ctx, "udp", addr)
		if err != nil {
			return fmt.Errorf("DNS server: %w", err)
		}
		ln, err := topo.Services.Listen(topo.ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("DNS server: %w", err)
		}
		topo.serve("DNS server", func() error { return topo.DNS.Serve(topo.ctx, pc, ln) })
	}
	return nil
}

// startNTP starts the nth server on addresses of its own: 198.51.100.2 is the services host's first, more are added on
// lo.
func (topo *Topology) startNTP(i int) error {
	s := ntpd.New(ntpd.Options{OnQuery: func(ntpd.Query) { topo.timeline.once("ntp asked", "") }})
	topo.NTP = append(topo.NTP, s)
	v4 := netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)})
	v6 := netip.MustParseAddr(fmt.Sprintf("2001:db8:123::%d", i))
	topo.DNS.Set(NTPName(i), v4, v6)
	for _, a := range []netip.Addr{v4, v6} {
		host := netip.PrefixFrom(a, a.BitLen())
		if err := topo.Services.Addr("lo", host); err != nil {
			return err
		}
		via := ServicesV4.Addr()
		if a.Is6() {
			via = ServicesV6.Addr()
		}
		if err := topo.Router.Route(route(host, via)); err != nil {
			return err
		}
		pc, err := topo.Services.ListenPacket(topo.ctx, "udp", netip.AddrPortFrom(a, 123).String())
		if err != nil {
			return fmt.Errorf("NTP server: %w", err)
		}
		topo.serve("NTP server", func() error { return s.Serve(topo.ctx, pc) })
	}
	return nil
}

// NTPName is the name of the nth NTP server, counted from 1.
func NTPName(i int) string { return fmt.Sprintf("ntp%d.example.org", i) }

func (topo *Topology) startBroker() error {
	locations := make(map[string]string)
	for _, g := range topo.Gateways {
		locations[g.Name] = "CITY-" + g.Name
	}
	topo.Broker = wgkex.New(wgkex.Options{
		Domains: []string{Domain}, ServeLocations: topo.o.Locations, Locations: locations,
		Publish: topo.publish, Layer3: topo.layer3Range(),
		OnRegister: func(r wgkex.Registration) {
			topo.timeline.once("registered", fmt.Sprintf("%v, the broker names %s", r.API, or(r.Gateway, "no gateway")))
		},
	})
	if err := topo.startMQTT(); err != nil {
		return err
	}
	var err error
	if topo.CA, err = wgkex.NewCA(time.Now()); err != nil {
		return err
	}
	if err := topo.CA.WriteFile(topo.CAFile); err != nil {
		return fmt.Errorf("CA file: %w", err)
	}
	cert, err := topo.CA.Server(time.Now(), BrokerName)
	if err != nil {
		return err
	}
	return topo.ServeBroker(cert, BrokerName)
}

// ServeBroker serves the broker on HTTPS with that certificate, and on HTTP, under one name. For BrokerName it takes
// the services host's own addresses, for another name new ones.
func (topo *Topology) ServeBroker(cert wgkex.Certificate, name string) error {
	conf, err := cert.TLS()
	if err != nil {
		return err
	}
	addrs := []netip.Addr{ServicesV4.Addr(), ServicesV6.Addr()}
	if name != BrokerName {
		if addrs, err = topo.extraAddrs(name); err != nil {
			return err
		}
	}
	for _, a := range addrs {
		tls, err := topo.listen(netip.AddrPortFrom(a, 443))
		if err != nil {
			return err
		}
		plain, err := topo.listen(netip.AddrPortFrom(a, 80))
		if err != nil {
			return err
		}
		topo.serve("broker", func() error { return wgkex.Serve(topo.ctx, tls, topo.Broker, conf, nil) })
		topo.serve("broker", func() error { return wgkex.Serve(topo.ctx, plain, topo.Broker, nil, nil) })
	}
	return nil
}

// extraAddrs gives the services host new addresses, one of each family, and DNS a name for them.
func (topo *Topology) extraAddrs(name string) ([]netip.Addr, error) {
	topo.mu.Lock()
	topo.extra++
	n := topo.extra
	topo.mu.Unlock()
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(200 + n)}),
		netip.MustParseAddr(fmt.Sprintf("2001:db8:443::%d", n))}
	for i, a := range addrs {
		host := netip.PrefixFrom(a, a.BitLen())
		if err := topo.Services.Addr("lo", host); err != nil {
			return nil, err
		}
		if err := topo.Router.Route(route(host, []netip.Addr{ServicesV4.Addr(), ServicesV6.Addr()}[i])); err != nil {
			return nil, err
		}
	}
	topo.DNS.Set(name, addrs...)
	return addrs, nil
}

func (topo *Topology) listen(a netip.AddrPort) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(topo.ctx, mqttPatience)
	defer cancel()
	ln, err := topo.Services.Listen(ctx, "tcp", a.String())
	if err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	return ln, nil
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
