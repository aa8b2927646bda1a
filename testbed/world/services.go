package world

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
func (w *World) services() error {
	if err := w.startDNS(); err != nil {
		return err
	}
	for i := 1; i <= w.o.NTPServers; i++ {
		if err := w.startNTP(i); err != nil {
			return err
		}
	}
	return w.startBroker()
}

func (w *World) startDNS() error {
	w.DNS = dnsd.New(dnsd.Options{TTL: 60})
	w.DNS.Set(BrokerName, ServicesV4.Addr(), ServicesV6.Addr())
	for _, g := range w.Gateways {
		w.DNS.Set(g.DNS, g.V4, g.V6)
	}
	for _, a := range []netip.Addr{ServicesV4.Addr(), ServicesV6.Addr()} {
		addr := netip.AddrPortFrom(a, 53).String()
		pc, err := w.Services.ListenPacket(w.ctx, "udp", addr)
		if err != nil {
			return fmt.Errorf("DNS server: %w", err)
		}
		ln, err := w.Services.Listen(w.ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("DNS server: %w", err)
		}
		w.serve("DNS server", func() error { return w.DNS.Serve(w.ctx, pc, ln) })
	}
	return nil
}

// startNTP starts the nth server on addresses of its own: 198.51.100.2 is the services host's first, more are added on lo.
func (w *World) startNTP(i int) error {
	s := ntpd.New(ntpd.Options{OnQuery: func(ntpd.Query) { w.timeline.once("ntp asked", "") }})
	w.NTP = append(w.NTP, s)
	v4 := netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)})
	v6 := netip.MustParseAddr(fmt.Sprintf("2001:db8:123::%d", i))
	w.DNS.Set(NTPName(i), v4, v6)
	for _, a := range []netip.Addr{v4, v6} {
		host := netip.PrefixFrom(a, a.BitLen())
		if err := w.Services.Addr("lo", host); err != nil {
			return err
		}
		via := ServicesV4.Addr()
		if a.Is6() {
			via = ServicesV6.Addr()
		}
		if err := w.Router.Route(route(host, via)); err != nil {
			return err
		}
		pc, err := w.Services.ListenPacket(w.ctx, "udp", netip.AddrPortFrom(a, 123).String())
		if err != nil {
			return fmt.Errorf("NTP server: %w", err)
		}
		w.serve("NTP server", func() error { return s.Serve(w.ctx, pc) })
	}
	return nil
}

// NTPName is the name of the nth NTP server, counted from 1.
func NTPName(i int) string { return fmt.Sprintf("ntp%d.example.org", i) }

func (w *World) startBroker() error {
	locations := make(map[string]string)
	for _, g := range w.Gateways {
		locations[g.Name] = "CITY-" + g.Name
	}
	w.Broker = wgkex.New(wgkex.Options{
		Domains: []string{Domain}, ServeLocations: w.o.Locations, Locations: locations,
		Publish: w.publish, Layer3: w.layer3Range(),
		OnRegister: func(r wgkex.Registration) {
			w.timeline.once("registered", fmt.Sprintf("%v, the broker names %s", r.API, or(r.Gateway, "nobody")))
		},
	})
	if err := w.startMQTT(); err != nil {
		return err
	}
	var err error
	if w.CA, err = wgkex.NewCA(time.Now()); err != nil {
		return err
	}
	if err := w.CA.WriteFile(w.CAFile); err != nil {
		return fmt.Errorf("CA file: %w", err)
	}
	cert, err := w.CA.Server(time.Now(), BrokerName)
	if err != nil {
		return err
	}
	return w.ServeBroker(cert, BrokerName)
}

// ServeBroker serves the broker on HTTPS with that certificate, and on HTTP, under one name. For BrokerName it takes the
// services host's own addresses, for another name new ones.
func (w *World) ServeBroker(cert wgkex.Certificate, name string) error {
	conf, err := cert.TLS()
	if err != nil {
		return err
	}
	addrs := []netip.Addr{ServicesV4.Addr(), ServicesV6.Addr()}
	if name != BrokerName {
		if addrs, err = w.extraAddrs(name); err != nil {
			return err
		}
	}
	for _, a := range addrs {
		tls, err := w.listen(netip.AddrPortFrom(a, 443))
		if err != nil {
			return err
		}
		plain, err := w.listen(netip.AddrPortFrom(a, 80))
		if err != nil {
			return err
		}
		w.serve("broker", func() error { return wgkex.Serve(w.ctx, tls, w.Broker, conf, nil) })
		w.serve("broker", func() error { return wgkex.Serve(w.ctx, plain, w.Broker, nil, nil) })
	}
	return nil
}

// extraAddrs gives the services host new addresses, one of each family, and DNS a name for them.
func (w *World) extraAddrs(name string) ([]netip.Addr, error) {
	w.mu.Lock()
	w.extra++
	n := w.extra
	w.mu.Unlock()
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(200 + n)}), netip.MustParseAddr(fmt.Sprintf("2001:db8:443::%d", n))}
	for i, a := range addrs {
		host := netip.PrefixFrom(a, a.BitLen())
		if err := w.Services.Addr("lo", host); err != nil {
			return nil, err
		}
		if err := w.Router.Route(route(host, []netip.Addr{ServicesV4.Addr(), ServicesV6.Addr()}[i])); err != nil {
			return nil, err
		}
	}
	w.DNS.Set(name, addrs...)
	return addrs, nil
}

func (w *World) listen(a netip.AddrPort) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	ln, err := w.Services.Listen(ctx, "tcp", a.String())
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
