package parker

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"

	"wguplink/peerselector"
)

// Orders of the fields in the recorded answers; others come before the nonce, by name.
var orders = map[Dialect][]string{
	Brunswick: {"concentrators", "mtu", "wg_keepalive", "retry", "id", "address4", "range4", "address6", "range6",
		"*", "nonce", "time"},
	Wgkex: {"nonce", "time", "id", "mtu", "concentrators", "range6", "address6", "xlat_range6", "range4",
		"address4", "wg_keepalive",
		"retry", "*"},
}

// minV6MTU is the smallest IPv6 MTU of a WAN that Brunswick sends IPv6 endpoints to: 1375 and what WireGuard adds.
const minV6MTU = 1455

// fields gives the answer to a query, with the node registered if it is new.
func (s *Server) fields(ctx context.Context, q query, unregistered bool, from string) (Fields, error) {
	if !unregistered {
		if err := s.register(ctx, q.key); err != nil {
			return nil, err
		}
	}
	all := make(map[string]json.RawMessage)
	for _, prefix := range []string{prefixDefault, nodePrefix(q.key)} {
		if unregistered && prefix != prefixDefault {
			break
		}
		values, err := s.o.Store.List(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for k, v := range values {
			all[strings.TrimPrefix(k, prefix)] = value(v)
		}
	}
	if raw := all["concentrators"]; raw != nil {
		all["concentrators"] = s.concentrators(ctx, raw, q, from)
	}
	all["nonce"], all["time"] = mustJSON(q.nonce), mustJSON(s.o.Now().Unix())
	if s.o.Dialect == Wgkex && !unregistered {
		all["id"] = mustJSON(q.key.String())
		all["range4"], all["address4"] = mustJSON(wgkexRange4), mustJSON(wgkexAddress4)
	}
	return ordered(all, orders[s.o.Dialect]), nil
}

func ordered(all map[string]json.RawMessage, order []string) Fields {
	var f Fields
	for _, name := range order {
		if name != "*" {
			if v, ok := all[name]; ok {
				f = append(f, Field{name, v})
			}
			continue
		}
		var rest []string
		for other := range all {
			if !slices.Contains(order, other) {
				rest = append(rest, other)
			}
		}
		slices.Sort(rest)
		for _, other := range rest {
			f = append(f, Field{other, all[other]})
		}
	}
	return f
}

// What wgkex tells every node: the network for its 464XLAT, and one address of all concentrators.
const (
	wgkexRange4        = "10.80.96.0/22"
	wgkexAddress4      = "10.80.96.1"
	wgkexConcentrator4 = "10.0.0.1"
)

// concentrators makes the entries as the dialect has them. What cannot be read, or not be resolved, stays as it is.
func (s *Server) concentrators(ctx context.Context, raw json.RawMessage, q query, from string) json.RawMessage {
	var all []Concentrator
	if json.Unmarshal(raw, &all) != nil {
		return raw
	}
	if s.o.Dialect == Wgkex {
		out := []wgkexEntry{}
		for _, c := range all {
			out = append(out, wgkexEntry{wgkexConcentrator4, c.Address6, c.Endpoint, c.PubKey, c.ID})
		}
		return mustJSON(out)
	}
	if s.o.Resolve == nil {
		return raw
	}
	peer, _ := netip.ParseAddrPort(from)
	only4 := q.v6mtu < minV6MTU || peer.Addr().Unmap().Is4()
	for i := range all {
		all[i].Endpoint = s.resolve(ctx, all[i].Endpoint, only4)
	}
	return mustJSON(all)
}

type wgkexEntry struct {
	Address4 string           `json:"address4"`
	Address6 netip.Addr       `json:"address6"`
	Endpoint string           `json:"endpoint"`
	PubKey   peerselector.Key `json:"pubkey"`
	ID       int              `json:"id"`
}

func (s *Server) resolve(ctx context.Context, endpoint string, only4 bool) string {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return endpoint
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return endpoint
	}
	addrs, err := s.o.Resolve(ctx, host)
	if err != nil {
		return endpoint
	}
	for _, v6 := range []bool{true, false} {
		for _, a := range addrs {
			if a.Is6() == v6 && !(v6 && only4) {
				return net.JoinHostPort(a.String(), port)
			}
		}
	}
	return endpoint
}
