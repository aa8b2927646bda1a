//go:build !nobroker

package broker

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"wguplink/agent/json"
	"wguplink/agent/mtu"
	"wguplink/peerselector"

	"wguplink/agent/names"
	"wguplink/agent/printable"
)

// What is taken for a member that is absent.
const (
	defaultRetry     = 120 // seconds; retry_interval of wgkex (PARKER.md)
	defaultKeepalive = 25  // seconds; what wgkex was seen to send
)

// The limits of what a configuration may say.
const (
	minRetry         = 10                               // seconds; what wgkex wishes for at the most (PARKER.md)
	maxRetry         = 86400                            // seconds
	maxKeepalive     = 65535                            // seconds; 16 bits in the kernel's WireGuard
	minMTU, maxMTU   = mtu.Least, 1500 - mtu.WireGuard4 // the second is what Ethernet leaves with an endpoint of IPv4
	maxConcentrators = 64                               // the largest number of them in wgkex (wgkex/broker/parker.py)
	// the id; the device's name, "wg_c" and the id, has at most 15 bytes
	maxConcentrator = 99999999
	maxID           = 64           // bytes
	maxTime         = 253402300799 // seconds since 1970; the end of the year 9999
)

// parseNetwork reads the signed text of a Parker server (ffbs-ansible, etcdconfigweb.py; freifunkMUC/wgkex,
// wgkex/broker/parker.py):
//
//	{"nonce": N, "time": 1795170747, "id": 5, "retry": 600, "mtu": 1375, "wg_keepalive": 15,
//	 "address4": "10.0.20.1", "range4": "10.0.20.0/22", "address6": "2001:db8:5::1", "range6": "2001:db8:5::/64",
//	 "concentrators": [{"id": 1, "pubkey": K, "endpoint": "192.0.2.1:10001", "address4": "10.0.0.1", "address6": "fe80::1"}]}
//
// with xlat_range6 from wgkex. The nonce must be ours. Without an id the server does not know us yet, and of the rest
// only retry counts; then Network.ID is empty. Needed is what the original node scripts fail without
// (freifunk-gluon/community-packages, ffbs-mesh-vpn-parker): all but time, retry, wg_keepalive and xlat_range6. A
// number may be written as a string, null is the same as absent, and unknown members are skipped. own is our key, which
// no concentrator can have.
func parseNetwork(signed []byte, nonce string, own peerselector.Key) (*Network, error) {
	if err := checkJSON(signed); err != nil {
		return nil, err
	}
	if !utf8.Valid(signed) {
		return nil, errors.New("the answer is not in UTF-8")
	}
	m := read("", signed, "nonce", "id", "retry", "time", "wg_keepalive", "mtu", "address4",
		"address6", "range4", "range6",
		"xlat_range6", "concentrators")
	if s, ok := text(m.raw["nonce"]); m.err == nil && (!ok || s != nonce || nonce == "") {
		return nil, bad("nonce", m.raw["nonce"],
			fmt.Sprintf("%q, that of our request; is this an old answer, or one for another node?", nonce))
	}
	n := &Network{Retry: m.seconds("retry", minRetry, maxRetry, defaultRetry)}
	if m.err != nil {
		return nil, m.err
	}
	if m.raw["id"] == nil {
		n.Warnings = m.warnings
		return n, nil
	}
	n.ID = m.id()
	if m.raw["time"] != nil {
		n.Time = time.Unix(m.number("time", 0, maxTime), 0).UTC()
	}
	n.Keepalive = m.seconds("wg_keepalive", 0, maxKeepalive, defaultKeepalive)
	n.MTU = int(m.bounded("mtu", minMTU, maxMTU))
	n.Address4, n.Address6 = m.address4(), m.address6(false)
	n.Range4, n.Range6 = m.prefix("range4", 8, 32), m.prefix("range6", 16, 128)
	if m.raw["xlat_range6"] != nil {
		n.XLATRange6 = m.prefix("xlat_range6", 16, 128)
	}
	list, ok := array(m.raw["concentrators"])
	if !ok || len(list) > maxConcentrators {
		m.fail("concentrators", fmt.Sprintf("a list of at most %d", maxConcentrators))
	}
	for i, raw := range list {
		if m.err != nil {
			break
		}
		var c Concentrator
		if c, m.err = parseConcentrator(fmt.Sprintf("concentrators[%d]", i), raw, n, own); m.err == nil {
			n.Concentrators = append(n.Concentrators, c)
		}
	}
	n.Warnings = m.warnings
	if m.err == nil {
		m.err = n.loops()
	}
	if m.err != nil {
		return nil, m.err
	}
	return n, nil
}

// loops refuses an address of our own that is that of a concentrator's endpoint: packets to it would not leave the
// node.
func (n *Network) loops() error {
	for _, c := range n.Concentrators {
		for _, e := range c.Peer.Endpoints {
			a, err := netip.ParseAddrPort(e)
			if err != nil || a.Addr() != n.Address4 && a.Addr() != n.Address6 {
				continue
			}
			return fmt.Errorf(
				"our own address %s is that of the endpoint of concentrator %d: its packets would not leave the node",
				a.Addr(), c.ID)
		}
	}
	return nil
}

// parseConcentrator reads one of the list; those before it are in n.
func parseConcentrator(name string, raw []byte, n *Network, own peerselector.Key) (Concentrator, error) {
	m := read(name, raw, "id", "pubkey", "endpoint", "address4", "address6")
	c := Concentrator{ID: int(m.number("id", 0, maxConcentrator)), Address4: m.address4(), Address6: m.address6(true)}
	key, ok := parseKey(text(m.raw["pubkey"]))
	switch {
	case !ok:
		m.fail("pubkey", "a WireGuard key of 44 characters")
	case key == own:
		m.fail("pubkey", "another key than our own")
	}
	endpoint, ok := parseEndpoint(text(m.raw["endpoint"]))
	if !ok {
		m.fail("endpoint", `"host:port" or "[v6]:port", with a host name or a unicast address`)
	}
	for _, other := range n.Concentrators {
		if other.ID == c.ID {
			m.fail("id", "another id than that of the concentrators before")
		}
		if other.Peer.PublicKey == key {
			m.fail("pubkey", "another key than that of the concentrators before")
		}
	}
	c.Peer = peerselector.Peer{
		Name: "c" + strconv.Itoa(c.ID), PublicKey: key, Endpoints: []string{endpoint}, LinkAddress: c.Address6,
		AllowedIPs: []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0),
			netip.PrefixFrom(netip.IPv6Unspecified(), 0)},
		Keepalive: n.Keepalive,
	}
	if n.XLATRange6.IsValid() {
		c.Peer.AllowedIPs = c.Peer.AllowedIPs[1:] // the translator leaves no IPv4 to send
	}
	return c, m.err
}

// parseEndpoint takes "host:port". Unlike a broker's answer this one is signed, so that an address of this host may
// stand in it: that of a test network.
func parseEndpoint(s string, ok bool) (string, bool) {
	h, p, err := net.SplitHostPort(s)
	if !ok || err != nil {
		return "", false
	}
	port, ok := portNumber(p)
	if !ok {
		return "", false
	}
	host, ok := h, dnsName(h)
	if a, err := netip.ParseAddr(h); err == nil {
		a = a.Unmap()
		host, ok = a.String(), names.Unicast(a) || a.IsLoopback() && a.Zone() == ""
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), ok
}

// members are those of one object. The first error is kept, so that a caller may read on and look at it once.
type members struct {
	in       string // what the object is called; "" is the answer itself
	raw      map[string]json.RawMessage
	err      error
	warnings []string
}

// read picks the named members; those that are null are left out.
func read(in string, raw []byte, names ...string) *members {
	m := &members{in: in, raw: make(map[string]json.RawMessage)}
	list, err := fields(in, raw, names...)
	m.err = err
	for i, v := range list {
		if v != nil && string(v) != "null" {
			m.raw[names[i]] = v
		}
	}
	return m
}

func (m *members) fail(name, want string) {
	if m.err == nil {
		m.err = bad(strings.TrimPrefix(m.in+"."+name, "."), m.raw[name], want)
	}
}

func (m *members) number(name string, low, high int64) int64 {
	n, ok := wholeNumber(m.raw[name])
	if !ok || n < low || n > high {
		m.fail(name, fmt.Sprintf("a whole number from %d to %d", low, high))
		return low
	}
	return n
}

// bounded takes the nearest value for one that is out of bounds, with a warning: it is signed, and a node with a
// strange value is better than one without a network.
func (m *members) bounded(name string, low, high int64) int64 {
	n, ok := wholeNumber(m.raw[name])
	if !ok {
		m.fail(name, "a whole number")
		return low
	}
	taken := min(max(n, low), high)
	if taken != n {
		m.warnings = append(m.warnings, fmt.Sprintf("%s %d of the signed configuration is out of bounds: %d is taken",
			name, n, taken))
	}
	return taken
}

func (m *members) seconds(name string, low, high, absent int64) time.Duration {
	n := absent
	if m.raw[name] != nil {
		n = m.bounded(name, low, high)
	}
	return time.Duration(n) * time.Second
}

// id is a number at Brunswick, and the node's public key at wgkex.
func (m *members) id() string {
	raw := m.raw["id"]
	if n, ok := wholeNumber(raw); ok && n >= 0 && raw[0] != '"' {
		return strconv.FormatInt(n, 10)
	}
	s, ok := text(raw)
	if !ok || s == "" || len(s) > maxID || printable.Text(s, maxID) != s {
		m.fail("id", fmt.Sprintf("a whole number, or a printable text of at most %d bytes", maxID))
	}
	return s
}

func (m *members) address4() netip.Addr {
	s, ok := text(m.raw["address4"])
	a, err := netip.ParseAddr(s)
	if !ok || err != nil || !a.Is4() || !names.Unicast(a) {
		m.fail("address4", "a unicast IPv4 address")
	}
	return a
}

func (m *members) address6(linkLocal bool) netip.Addr {
	s, ok := text(m.raw["address6"])
	a, err := netip.ParseAddr(s)
	good := names.Unicast(a) || linkLocal && a.IsLinkLocalUnicast() && a.Zone() == ""
	if !ok || err != nil || !a.Is6() || a.Is4In6() || !good {
		m.fail("address6", "a unicast IPv6 address")
	}
	return a
}

// prefix is of the family that the last character of its name tells, and from low to high bits long.
func (m *members) prefix(name string, low, high int) netip.Prefix {
	s, ok := text(m.raw[name])
	p, err := netip.ParsePrefix(s)
	four := strings.HasSuffix(name, "4")
	if !ok || err != nil || p.Addr().Is4() != four || p.Addr().Is4In6() || p.Bits() < low || p.Bits() > high ||
		!names.Unicast(p.Masked().Addr()) {
		family := "IPv6"
		if four {
			family = "IPv4"
		}
		m.fail(name, fmt.Sprintf("a unicast %s prefix with a length from /%d to /%d", family, low, high))
		return netip.Prefix{}
	}
	return p.Masked()
}

// wholeNumber takes a JSON number or a string with one in it; 1375.0 is whole too. All below 2^53 are exact.
func wholeNumber(raw json.RawMessage) (int64, bool) {
	s, ok := text(raw)
	if !ok {
		s = string(raw)
	}
	// ParseFloat alone would take hexadecimal, "Inf" and "NaN".
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') || !json.Valid([]byte(s)) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return 0, false
	}
	return int64(f), true
}
