package config

import (
	"net/netip"
	"net/url"
	"strings"
)

// splitHost takes a host with or without a port: a name, an IPv4 address, or an IPv6 address in brackets. The host
// comes back without brackets; the port is 0 when there is none.
func splitHost(v string) (host string, port uint16, ok bool) {
	var tail string
	if strings.HasPrefix(v, "[") {
		end := strings.IndexByte(v, ']')
		if end < 0 {
			return "", 0, false
		}
		host, tail = v[1:end], v[end+1:]
		if !isUnicast6(host) {
			return "", 0, false
		}
	} else {
		host = v
		if i := strings.IndexByte(v, ':'); i >= 0 {
			host, tail = v[:i], v[i:]
		}
		if !isHost4(host) && !isHostname(host) {
			return "", 0, false
		}
	}
	if tail == "" {
		return host, 0, true
	}
	var n uint64
	if tail[0] != ':' || !parseNumber(tail[1:], 1, 65535, &n) {
		return "", 0, false
	}
	return host, uint16(n), true
}

// isHostname checks the syntax of RFC 1123 §2.1, with underscores as they are found in the field. A name whose last
// label is a number would be a misspelt address, so it is refused.
func isHostname(v string) bool {
	v = strings.TrimSuffix(v, ".")
	if v == "" || len(v) > 253 {
		return false
	}
	last := ""
	for rest, more := v, true; more; {
		last, rest, more = strings.Cut(rest, ".")
		if len(last) > 63 || !onlyOf(last, "-_") || last[0] == '-' || last[len(last)-1] == '-' {
			return false
		}
	}
	return strings.Trim(last, "0123456789") != ""
}

// isUnicast tells whether a host can have this address.
func isUnicast(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func isHost4(v string) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && a.Is4() && isUnicast(a)
}

func isUnicast6(v string) bool {
	a, err := netip.ParseAddr(v)
	return err == nil && a.Is6() && isUnicast(a)
}

const allowedEndpoint = "host:port, address:port or [IPv6 address]:port with a port from 1 to 65535"

func isEndpoint(v string) bool {
	_, port, ok := splitHost(v)
	return ok && port != 0
}

const allowedServer = "a host name or an address, with :port if it is not the usual one; an IPv6 address with a port " +
	"in brackets"

// parseServer takes a host with or without a port. An IPv6 address without a port may do without brackets, and is
// stored without, so that every "[" has a port after it.
func parseServer(v string, to *string) bool {
	if isUnicast6(v) {
		*to = v
		return true
	}
	host, port, ok := splitHost(v)
	if !ok {
		return false
	}
	*to = v
	if port == 0 {
		*to = host
	}
	return true
}

const allowedResolver = "an address, with :port if it is not 53; an IPv6 address with a port in brackets"

func parseResolver(v string, to *netip.AddrPort) bool {
	const dnsPort = 53
	if isUnicast6(v) {
		v = "[" + v + "]"
	}
	host, port, ok := splitHost(v)
	if !ok {
		return false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if port == 0 {
		port = dnsPort
	}
	*to = netip.AddrPortFrom(addr, port)
	return true
}

// parsePrefix takes a prefix or a single address, and clears the bits of the host as WireGuard does.
func parsePrefix(v string, to *netip.Prefix) bool {
	if addr, err := netip.ParseAddr(v); err == nil {
		if addr.Zone() != "" || addr.Is4In6() {
			return false
		}
		*to = netip.PrefixFrom(addr, addr.BitLen())
		return true
	}
	p, err := netip.ParsePrefix(v)
	if err != nil || p.Addr().Is4In6() {
		return false
	}
	*to = p.Masked()
	return true
}

// covers tells whether a is in one of the prefixes.
func covers(ps []netip.Prefix, a netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// apiPaths are the paths of wgkex's exchange, versions 1 and 2. Sites write brokers with and without them
// (freifunkMUC/wgkex, community-packages ffmuc-mesh-vpn-wireguard-vxlan).
var apiPaths = []string{"/api/v1/wg/key/exchange", "/api/v2/wg/key/exchange"}

const allowedBroker = "[https://]host[:port][/path] or http://host[:port][/path], without user, query or fragment"

// parseBroker takes a URL. Without a scheme, its own is empty; see brokerURL.
func parseBroker(v string, to **url.URL) bool {
	scheme, rest, ok := strings.Cut(v, "://")
	if !ok {
		scheme, rest = "", v
	}
	scheme = strings.ToLower(scheme)
	if ok && scheme != "https" && scheme != "http" {
		return false
	}
	authority, path, slash := strings.Cut(rest, "/")
	if _, _, ok := splitHost(authority); !ok {
		return false
	}
	if slash {
		path = "/" + path
	}
	for rest := strings.TrimPrefix(strings.TrimRight(path, "/"), "/"); rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if segment == "." || segment == ".." || !onlyOf(segment, "-._~") {
			return false
		}
	}
	*to = &url.URL{Scheme: scheme, Host: strings.ToLower(authority), Path: path}
	return true
}

// parkerPath is where Brunswick's servers have the configuration (ffbs-ansible, etcdconfigweb.py).
const parkerPath = "/config"

// brokerURL completes what parseBroker has taken, by the customs of the protocol. A wgkex broker is known by its base.
// A signed configuration is plain HTTP, because the signature is what counts, and is asked for at a complete URL, as
// FFAC's registration is. Otherwise encryption is given up only for those who write http themselves.
func brokerURL(p Protocol, given *url.URL) *url.URL {
	u := *given
	if u.Scheme == "" && p == Parker {
		u.Scheme = "http"
	} else if u.Scheme == "" {
		u.Scheme = "https"
	}
	switch p {
	case Parker:
		if strings.Trim(u.Path, "/") == "" {
			u.Path = parkerPath
		}
	case FFAC:
	default:
		u.Path = strings.TrimRight(u.Path, "/")
		for _, api := range apiPaths {
			if base, ok := strings.CutSuffix(u.Path, api); ok {
				u.Path = strings.TrimRight(base, "/")
				break
			}
		}
	}
	return &u
}
