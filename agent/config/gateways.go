package config

import (
	"net/netip"
	"strings"

	"wguplink/agent/mtu"
	"wguplink/peerselector"
)

// staticPeers are the gateways of one uplink.
type staticPeers struct {
	enabled int // good or not
	peers   []peerselector.Peer
	owner   map[peerselector.Key]string // section
}

// uplinkOf returns the index of the gateway's uplink; -1, and a problem, when it cannot be told.
func (l *loader) uplinkOf(g *draft, uplinks []*draft) int {
	known := make([]string, len(uplinks))
	for i, d := range uplinks {
		if d.name == g.gatewayOf {
			return i
		}
		known[i] = d.name
	}
	allowed := strings.Join(known, ", ")
	switch {
	case g.bad("uplink"):
	case len(uplinks) == 0:
		l.complain(g.shown, "uplink", g.gatewayOf, "there is no uplink in this file",
			"the name of a section of type uplink")
	case g.gatewayOf != "":
		l.complain(g.shown, "uplink", g.gatewayOf, "there is no such uplink", allowed)
	case len(uplinks) == 1:
		return 0
	default:
		l.complain(g.shown, "uplink", "", "missing, as there are several uplinks", allowed)
	}
	return -1
}

// checkGateway finishes a gateway and gives it to its uplink; up is nil when that is unknown.
func (l *loader) checkGateway(g, up *draft, to *staticPeers) {
	for _, o := range gatewayOptions {
		required := o.name == "public_key" || o.name == "endpoint" || o.name == "link_address"
		if _, given := g.given[o.name]; required && !given {
			l.complain(g.shown, o.name, "", "missing", o.allowed)
		}
	}
	p := &g.gateway
	addressed := g.good("link_address")
	if addressed && up != nil && !up.bad("mode") && up.uplink.Mode == ModeVXLAN &&
		!(p.LinkAddress.Is6() && p.LinkAddress.IsLinkLocalUnicast()) {
		addressed = false
		l.complain(g.shown, "link_address", l.value(g, "link_address"), "not valid for an uplink in mode vxlan",
			"a link-local unicast IPv6 address, fe80::/10")
	}
	if addressed && !g.bad("allowed_ips") {
		if len(p.AllowedIPs) == 0 {
			p.AllowedIPs = []netip.Prefix{netip.PrefixFrom(p.LinkAddress, p.LinkAddress.BitLen())}
		} else if !covers(p.AllowedIPs, p.LinkAddress) {
			l.complain(g.shown, "allowed_ips", l.value(g, "allowed_ips"),
				"do not cover the link_address "+p.LinkAddress.String(), "prefixes with it among them")
		}
	}
	if g.good("public_key") {
		if other, ok := to.owner[p.PublicKey]; ok {
			l.complain(g.shown, "public_key", p.PublicKey.String(), "also the key of section "+quote(other),
				"a key of its own for each gateway of an uplink")
		} else if to.owner == nil {
			to.owner = make(map[peerselector.Key]string)
		}
		to.owner[p.PublicKey] = g.shown
	}
	if !g.enabled && !g.bad("enabled") {
		return
	}
	to.enabled++
	p.Name = g.name
	if isAnonymous(p.Name) && len(p.Endpoints) > 0 {
		p.Name, _, _ = splitHost(p.Endpoints[0])
	}
	to.peers = append(to.peers, *p)
}

// widest is the largest MTU of a WireGuard device that fits the usual line of 1500 bytes, over IPv4.
const widest = 1500 - mtu.WireGuard4
