package wan

import "net/netip"

// Preference says which address families may be used, and which comes first.
type Preference struct {
	V4, V6 bool // allowed
	First6 bool
}

// Order sorts addresses for a race: the families take turns, beginning with the preferred one; a family without a
// default route comes last, and one that is not allowed is left out.
func Order(addrs []netip.AddrPort, p Preference, s State) []netip.AddrPort {
	var v4, v6 []netip.AddrPort
	for _, a := range addrs {
		switch {
		case a.Addr().Is4() && p.V4:
			v4 = append(v4, a)
		case a.Addr().Is6() && p.V6:
			v6 = append(v6, a)
		}
	}
	a, b := v4, v6
	if p.First6 {
		a, b = v6, v4
	}
	if s.V4 != s.V6 {
		// One family has no way out. Its addresses may still be reached on a local link, so they stay, last.
		if s.V6 {
			return append(v6, v4...)
		}
		return append(v4, v6...)
	}
	var out []netip.AddrPort
	for i := 0; i < len(a) || i < len(b); i++ {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}
