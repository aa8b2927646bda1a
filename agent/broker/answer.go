//go:build !nobroker

package broker

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"wguplink/agent/json"
	"wguplink/peerselector"

	"wguplink/agent/names"
	"wguplink/agent/printable"
)

var errNotJSON = errors.New("the answer is not JSON")

// maxLocations bounds a list that is shown to people.
const maxLocations = 256

// parseV2 reads {"Endpoint": {"Address": host, "Port": "40011", "AllowedIPs": ["fe80::…"], "PublicKey": K}}, the answer
// of freifunkMUC/wgkex to v2. Port may be a number as well. Unknown keys are skipped; known ones that occur twice, or
// that hold anything but one sane gateway, are an error. own and ownLink are ours; the gateway must have others. With
// layer3 the gateway's address in the tunnel is no link-local one, and prefixes that it routes may follow.
func parseV2(body []byte, own peerselector.Key, ownLink netip.Addr, layer3 bool) (peerselector.Peer, error) {
	var p peerselector.Peer
	body = withoutBOM(body)
	if err := checkJSON(body); err != nil {
		return p, err
	}
	top, err := fields("", body, "Endpoint")
	if err != nil {
		return p, err
	}
	ep, err := fields("Endpoint", top[0], "Address", "Port", "AllowedIPs", "PublicKey")
	if err != nil {
		return p, err
	}
	address, portRaw, allowed, key := ep[0], ep[1], ep[2], ep[3]
	host, ok := parseHost(text(address))
	if !ok {
		return p, bad("Endpoint.Address", address, "a host name or the unicast address of a gateway")
	}
	port, ok := parsePort(portRaw)
	if !ok {
		return p, bad("Endpoint.Port", portRaw, "a port from 1 to 65535")
	}
	k, ok := parseKey(text(key))
	if !ok {
		return p, bad("Endpoint.PublicKey", key, "a WireGuard key of 44 characters")
	}
	if k == own {
		return p, bad("Endpoint.PublicKey", key, "another key than our own")
	}
	link, prefixes, err := parseAllowed(allowed)
	if layer3 {
		link, prefixes, err = parseRouted(allowed)
	}
	if err != nil {
		return p, err
	}
	if link == ownLink {
		return p, bad("Endpoint.AllowedIPs", allowed, "another address than our own")
	}
	return peerselector.Peer{
		Name:        host,
		PublicKey:   k,
		Endpoints:   []string{net.JoinHostPort(host, strconv.Itoa(int(port)))},
		LinkAddress: link,
		AllowedIPs:  prefixes,
		Preferred:   true,
	}, nil
}

// parseV1 reads {"Message": "OK"}.
func parseV1(body []byte) error {
	body = withoutBOM(body)
	if err := checkJSON(body); err != nil {
		return err
	}
	top, err := fields("", body, "Message")
	if err != nil {
		return err
	}
	if s, ok := text(top[0]); !ok || s != "OK" {
		return bad("Message", top[0], `"OK"`)
	}
	return nil
}

// parseLocations reads {"locations": ["MUC", "Vienna"]}.
func parseLocations(body []byte) ([]string, error) {
	const want = "a list of names"
	body = withoutBOM(body)
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	top, err := fields("", body, "locations")
	if err != nil {
		return nil, err
	}
	list, ok := array(top[0])
	if !ok || len(list) > maxLocations {
		return nil, bad("locations", top[0], want)
	}
	names := make([]string, 0, len(list))
	for i, raw := range list {
		s, ok := text(raw)
		if !ok || s == "" || len(s) > 100 || printable.Text(s, 100) != s {
			return nil, bad(fmt.Sprintf("locations[%d]", i), raw, "a short printable name")
		}
		names = append(names, s)
	}
	return names, nil
}

// parseError reads {"error": {"message": …}}.
func parseError(body []byte) (string, bool) {
	body = withoutBOM(body)
	if !json.Valid(body) {
		return "", false
	}
	top, err := fields("", body, "error")
	if err != nil {
		return "", false
	}
	in, err := fields("error", top[0], "message")
	if err != nil {
		return "", false
	}
	return text(in[0])
}

// withoutBOM leaves out the mark that some editors and servers put before UTF-8 text (RFC 8259 section 8.1 lets a
// parser ignore it).
func withoutBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }

func checkJSON(body []byte) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return fmt.Errorf("%w but empty", errNotJSON)
	case !json.Valid(body):
		return fmt.Errorf("%w, it starts with %q", errNotJSON, printable.Text(string(body), 60))
	}
	return nil
}

// fields picks the named members of an object, in the order of names; one that is missing is nil. Unlike a struct for
// encoding/json it takes names as they are written, and refuses a name that occurs twice instead of mixing both values.
func fields(object string, raw []byte, names ...string) ([]json.RawMessage, error) {
	const want = "an object"
	out := make([]json.RawMessage, len(names))
	var twice error
	err := json.Object(raw, func(name string, v json.RawMessage) error {
		for i, n := range names {
			if name != n {
				continue
			}
			if out[i] != nil {
				twice = bad(strings.TrimPrefix(object+"."+n, "."), v, "it once only")
				return twice
			}
			out[i] = v
		}
		return nil
	})
	if twice != nil {
		return nil, twice
	}
	if err != nil {
		return nil, bad(object, raw, want)
	}
	return out, nil
}

// bad names a field, the value that it has and what is allowed.
func bad(field string, raw []byte, want string) error {
	if field == "" {
		field = "the answer"
	}
	if raw == nil {
		return fmt.Errorf("%s is missing, want %s", field, want)
	}
	return fmt.Errorf("%s is %s, want %s", field, printable.Text(string(raw), 60), want)
}

func text(raw json.RawMessage) (string, bool) { return json.Text(raw) }

func array(raw json.RawMessage) ([]json.RawMessage, bool) {
	l := []json.RawMessage{}
	err := json.Array(raw, func(v json.RawMessage) error {
		l = append(l, v)
		return nil
	})
	return l, err == nil
}

// parsePort takes a JSON string or number: the broker sends a string, its successor may not.
func parsePort(raw json.RawMessage) (uint16, bool) {
	s, ok := text(raw)
	if !ok {
		s = string(raw)
	}
	return portNumber(s)
}

func portNumber(s string) (uint16, bool) {
	if !digits(s) || s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

// parseKey wants ^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw480]=$, the pattern of wgkex: canonical base64 of 32 bytes. The key of
// zeros fits it but is none (RFC 7748 section 6.1).
func parseKey(s string, ok bool) (peerselector.Key, bool) {
	var k peerselector.Key
	if !ok || len(s) != 44 || s[43] != '=' || !strings.Contains("AEIMQUYcgkosw480", s[42:43]) {
		return k, false
	}
	for i := 0; i < 42; i++ {
		if c := s[i]; !alnum(c) && c != '+' && c != '/' {
			return k, false
		}
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(k) {
		return k, false
	}
	copy(k[:], b)
	return k, k != peerselector.Key{}
}

// parseHost takes a name in DNS syntax or an address that a gateway can have.
func parseHost(s string, ok bool) (string, bool) {
	if !ok {
		return "", false
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
		if !strings.Contains(s, ":") {
			return "", false
		}
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return a.String(), names.Unicast(a)
	}
	return s, dnsName(s)
}

// dnsName checks the syntax of RFC 1035 section 2.3.1, with underscores. A name that ends in a number is none:
// resolvers take things like 127.1 or 0x7f000001 for addresses.
func dnsName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := 0; i < len(l); i++ {
			if !alnum(l[i]) && l[i] != '-' && l[i] != '_' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return (last[0] < '0' || last[0] > '9') && !strings.EqualFold(last, "localhost")
}

func alnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
