package uplink

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

// Destinations are where an uplink has to get to, as far as its configuration says it in addresses.
func Destinations(cfg config.Uplink) (d wan.Destinations) {
	d.Told = cfg.Protocol.Registers()
	for _, g := range cfg.Gateways {
		for _, e := range g.Endpoints {
			if a, ok := literal(e, 0); ok {
				d.Gateways = append(d.Gateways, a)
			} else {
				d.Names = true
			}
		}
	}
	if d.Told {
		for _, b := range cfg.Brokers {
			if a, ok := literal(hostPort(b), 0); ok {
				d.Brokers = append(d.Brokers, a)
			} else {
				d.Names = true
			}
		}
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

// destinations are those of the configuration, after those that gateways have been found at: first that of the gateway in use,
// because the way there is the one that counts.
func (u *Uplink) destinations() wan.Destinations {
	d := Destinations(u.cfg)
	var found []netip.AddrPort
	for _, peers := range []map[peerselector.Key]*installed{u.peers, u.standby} {
		for _, in := range peers {
			found = append(found, in.addrs...)
			if in.endpoint.IsValid() {
				found = append(found, in.endpoint)
			}
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	if cur, ok := u.engine.Current(); ok {
		if in := u.present(cur.PublicKey); in != nil && in.endpoint.IsValid() {
			found = slices.Insert(found, 0, in.endpoint)
		}
	}
	var all []netip.AddrPort
	for _, a := range append(found, d.Gateways...) {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	d.Gateways = all
	return d
}
