package network

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"wguplink/agent/config"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// Destinations gives where an uplink has to get to: those of a configuration with these gateways, as far as it says
// them in addresses, after those that gateways have been found at.
func Destinations(cfg config.Uplink, gateways []peerselector.Peer, found []netip.AddrPort) (d wan.Destinations) {
	d.Told = cfg.Protocol.Registers()
	add := func(a netip.AddrPort) {
		if !slices.Contains(d.Gateways, a) {
			d.Gateways = append(d.Gateways, a)
		}
	}
	for _, a := range found {
		add(a)
	}
	for _, g := range gateways {
		for _, e := range g.Endpoints {
			if a, ok := literal(e, 0); ok {
				add(a)
			} else {
				d.Names = true
			}
		}
	}
	if d.Told {
		brokers := BrokerDestinations(cfg.Brokers)
		d.Brokers, d.Names = brokers.Brokers, d.Names || brokers.Names
	}
	d.Servers = slices.Clone(cfg.DNSServers)
	const ntpPort = 123 // RFC 5905, section 7.2
	for _, s := range cfg.NTPServers {
		if a, ok := literal(s, ntpPort); ok {
			d.Servers = append(d.Servers, a)
		}
	}
	return d
}

// BrokerDestinations gives those of brokers alone.
func BrokerDestinations(all []*url.URL) (d wan.Destinations) {
	for _, b := range all {
		if a, ok := literal(hostPort(b), 0); ok {
			d.Brokers = append(d.Brokers, a)
		} else {
			d.Names = true
		}
	}
	return d
}

func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// literal reads an address with its port, or with the usual one; not ok for a name.
func literal(s string, usual uint16) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a.Unmap(), usual), true
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.AddrPort{}, false
	}
	a, aerr := netip.ParseAddr(host)
	n, perr := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), aerr == nil && perr == nil
}
