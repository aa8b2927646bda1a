package parker

import (
	"fmt"
	"net/netip"

	"wguplink/agent/broker"
	"wguplink/agent/wan"
)

// Check compares a signed configuration with the WAN. The error says that it would cut the WAN; the warnings are about
// what is strange, but does no harm: marked packets have a table of their own.
func Check(n *broker.Network, w wan.Local) (warnings []string, err error) {
	for _, own := range []netip.Addr{n.Address4, n.Address6} {
		for _, gateway := range w.Gateways {
			if gateway == own {
				return nil, fmt.Errorf("our own address %s is that of the WAN's gateway: nothing would leave the node",
					own)
			}
		}
		for _, a := range w.Addresses {
			if a.Addr() == own {
				warnings = append(warnings, fmt.Sprintf("the signed configuration gives us %s, which the WAN has, too",
					own))
			}
		}
	}
	for _, r := range []struct {
		name   string
		prefix netip.Prefix
		shared bool
	}{{"range4", n.Range4, w.Shared4}, {"range6", n.Range6, w.Shared6}} {
		for _, a := range w.Addresses {
			// A link-local network is on every device.
			if a.Addr().IsLinkLocalUnicast() || !r.prefix.IsValid() || !r.prefix.Overlaps(a.Masked()) {
				continue
			}
			if r.shared {
				return nil,
					fmt.Errorf("%s %s overlaps the network %s of the WAN, and both are in the main routing table: "+
						"give the WAN a table of its own (option ip4table, ip6table)", r.name, r.prefix, a.Masked())
			}
			warnings = append(warnings, fmt.Sprintf(
				"%s %s of the signed configuration overlaps the network %s of the WAN", r.name, r.prefix, a.Masked()))
		}
	}
	return warnings, nil
}
