//go:build !nobroker

package broker

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"wguplink/agent/json"
	"wguplink/agent/names"
	"wguplink/peerselector"
)

// parseAllowed gives the gateway's address in the tunnel, which is the first entry. The others are not used, but one
// that would route something else to this gateway shows that it is not what we take it for.
func parseAllowed(raw json.RawMessage) (netip.Addr, []netip.Prefix, error) {
	const want = "a list of link-local addresses (fe80::/10), each alone or with /128"
	list, ok := array(raw)
	if !ok || len(list) == 0 {
		return netip.Addr{}, nil, bad("Endpoint.AllowedIPs", raw, want)
	}
	var first netip.Addr
	for i, e := range list {
		s, ok := text(e)
		a, err := netip.ParseAddr(strings.TrimSuffix(s, "/128"))
		if !ok || err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" || !a.IsLinkLocalUnicast() {
			return netip.Addr{}, nil, bad(fmt.Sprintf("Endpoint.AllowedIPs[%d]", i), e,
				"a link-local address (fe80::/10), alone or with /128")
		}
		if i == 0 {
			first = a
		}
	}
	return first, []netip.Prefix{netip.PrefixFrom(first, first.BitLen())}, nil
}

// maxRouted bounds what one gateway may route.
const maxRouted = 64

// Prefixes for mode layer3 are at least this long: private address space in one piece (RFC 1918, RFC 4193), never all
// that there is.
const (
	shortest4 = 8
	shortest6 = 7
)

// parseRouted gives the gateway's address in the tunnel for mode layer3: the first entry, which must be a single
// address. It also gives all allowed IPs: that address, and what the gateway routes.
func parseRouted(raw json.RawMessage) (netip.Addr, []netip.Prefix, error) {
	const want = "the gateway's address in the tunnel, and the prefixes that it routes"
	list, ok := array(raw)
	if !ok || len(list) == 0 || len(list) > maxRouted {
		return netip.Addr{}, nil, bad("Endpoint.AllowedIPs", raw, want)
	}
	var all []netip.Prefix
	for i, e := range list {
		s, _ := text(e)
		p, err := netip.ParsePrefix(s)
		if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		a := p.Addr()
		single := p.IsValid() && p.Bits() == a.BitLen()
		switch {
		case err != nil, a.Is4In6(), !names.Unicast(a) && !a.IsLinkLocalUnicast(), p.Masked() != p,
			a.Is4() && p.Bits() < shortest4, a.Is6() && p.Bits() < shortest6:
			return netip.Addr{}, nil, bad(fmt.Sprintf("Endpoint.AllowedIPs[%d]", i), e,
				"a unicast address, or a prefix of at least /8 (IPv4) or /7 (IPv6)")
		case i == 0 && !single:
			return netip.Addr{}, nil, bad("Endpoint.AllowedIPs[0]", e,
				"the gateway's address in the tunnel, for mode layer3")
		}
		all = append(all, p)
	}
	return all[0].Addr(), all, nil
}

// maxOwn is how many addresses a broker may hand out to one node.
const maxOwn = 8

// parseOwn reads the addresses that a broker hands out to us, from an answer that parseV2 has taken: {"Endpoint": …,
// "Node": {"Addresses": ["10.99.1.7"]}}. wgkex has none, and its clients skip the name. Each has to lie in what the
// gateway routes, and must not be the gateway's own.
func parseOwn(body []byte, gateway peerselector.Peer) ([]netip.Prefix, error) {
	top, err := fields("", withoutBOM(body), "Node")
	if err != nil || top[0] == nil {
		return nil, err
	}
	node, err := fields("Node", top[0], "Addresses")
	if err != nil || node[0] == nil {
		return nil, err
	}
	list, ok := array(node[0])
	if !ok || len(list) > maxOwn {
		return nil, bad("Node.Addresses", node[0], "a list of at most 8 addresses")
	}
	var own []netip.Prefix
	for i, e := range list {
		s, _ := text(e)
		a, err := netip.ParseAddr(s)
		routed := slices.ContainsFunc(gateway.AllowedIPs, func(p netip.Prefix) bool { return p.Contains(a) })
		if err != nil || a.Zone() != "" || !routed || a == gateway.LinkAddress {
			return nil, bad(fmt.Sprintf("Node.Addresses[%d]", i), e,
				"an address out of Endpoint.AllowedIPs that is not the gateway's")
		}
		own = append(own, netip.PrefixFrom(a, a.BitLen()))
	}
	return own, nil
}
