// Package derive computes what Gluon derives from a WireGuard key or from a domain's seed. Both ends of a tunnel
// compute the same values on their own, so a single wrong byte here is a tunnel without an answer.
//
// Everything in it is a pure function.
package derive

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"wguplink/peerselector"
)

// SeedLen is the length of a Gluon domain seed in hexadecimal digits (site.conf domain_seed, 32 bytes).
const SeedLen = 64

// LinkLocal returns the link-local address that belongs to a WireGuard public key: the MAC address 02:h1:h2:h3:h4:h5,
// where h is the MD5 digest of the key in base64, written as fe80::02h1:h2ff:feh3:h4h5.
//
// newline says whether the digest is taken over the key followed by a newline (0x0a), as freifunkMUC/wgkex and
// ffmuc-mesh-vpn-wireguard-vxlan do it ("echo key | md5sum"), or over the key alone, as Gluon's own
// gluon-mesh-vpn-wireguard does it.
func LinkLocal(key peerselector.Key, newline bool) netip.Addr {
	text := key.String()
	if newline {
		text += "\n"
	}
	h := md5.Sum([]byte(text))
	// The universal/local bit is not flipped, unlike in RFC 4291 appendix A: the first octet stays 02.
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: 0x02, 9: h[0], 10: h[1], 11: 0xff, 12: 0xfe,
		13: h[2], 14: h[3], 15: h[4]})
}

// VXLANID returns the VXLAN network identifier, 0 to 16777215, that Gluon derives from a domain's seed: the first three
// bytes of its util.domain_seed_bytes(key, 3), taken as a big-endian number. domainSeed is SeedLen hexadecimal digits
// of either case; key names the purpose, such as "gluon-mesh-vpn-vxlan" (ffmuc-mesh-vpn-wireguard-vxlan) or
// "gluon-mesh-vxlan" (Gluon itself).
func VXLANID(domainSeed, key string) (uint32, error) {
	if len(domainSeed) != SeedLen {
		return 0, fmt.Errorf("domain seed %q has %d characters instead of %d hexadecimal digits", domainSeed,
			len(domainSeed), SeedLen)
	}
	if _, err := hex.DecodeString(domainSeed); err != nil {
		return 0, fmt.Errorf("domain seed %q is not %d hexadecimal digits: %w", domainSeed, SeedLen, err)
	}
	// Gluon chains digests, v_i = md5hex(v_{i-1} + key + seed + i), until it has enough bytes. Three fit into the
	// first.
	h := md5.Sum([]byte(key + strings.ToLower(domainSeed) + "1"))
	return uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2]), nil
}
