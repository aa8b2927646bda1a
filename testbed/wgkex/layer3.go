package wgkex

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"wguplink/peerselector"
	"wguplink/testbed/mqtt"
)

// What is here is ours, and optional: a broker that hands out addresses for tunnels of plain IP. Its answer of v2 has
// one more member, "Node", which wgkex's clients skip; AllowedIPs begins with the gateway's address, as always, and
// ends with the range. Workers learn who has which address from topics of their own, which wgkex's workers do not
// subscribe to.

const (
	topicAddresses = "wireguard-address/"
	rangeFull      = "no address is left"
)

// assign gives a node its address, always the same one. The zero Addr is for a broker without a range; ok is false when
// none is left.
func (b *Broker) assign(domain string, key peerselector.Key) (own netip.Addr, ok bool) {
	if !b.o.Layer3.IsValid() {
		return own, true
	}
	b.mu.Lock()
	own, known := b.assigned[key]
	if !known {
		if own = b.free(); own.IsValid() {
			b.assigned[key] = own
		}
	}
	closed := b.closed
	b.mu.Unlock()
	if !own.IsValid() {
		return own, false
	}
	if !closed && b.o.Publish != nil {
		_ = b.o.Publish(AddressMessage(domain, key, own)) // as with keys
	}
	return own, true
}

// free is the first free address of the range: not the network's own, not the broadcast address, not a gateway's. The
// caller holds mu.
func (b *Broker) free() netip.Addr {
	taken := make(map[netip.Addr]bool)
	for _, a := range b.assigned {
		taken[a] = true
	}
	for _, w := range b.workers {
		for _, d := range w.data {
			if a, err := netip.ParseAddr(d.LinkAddress); err == nil {
				taken[a] = true
			}
		}
	}
	r := b.o.Layer3.Masked()
	for a := r.Addr().Next(); r.Contains(a); a = a.Next() {
		if last := !r.Contains(a.Next()); !taken[a] && !(last && a.Is4()) {
			return a
		}
	}
	return netip.Addr{}
}

// addressData is the payload of an AddressMessage.
type addressData struct {
	PublicKey string
	Addresses []netip.Addr
}

// AddressFilter is what a worker subscribes to for a domain.
func AddressFilter(domain string) string { return topicAddresses + domain + "/+" }

// AddressMessage tells all workers of a domain which address a node has. The server keeps it: a gateway that was away
// learns it, too. The last level is the key in hexadecimal digits, because base64 has slashes.
func AddressMessage(domain string, key peerselector.Key, own netip.Addr) mqtt.Message {
	payload, _ := json.Marshal(addressData{key.String(), []netip.Addr{own}}) // strings
	return mqtt.Message{Topic: topicAddresses + domain + "/" + hex.EncodeToString(key[:]),
		Payload: payload, QoS: 1, Retain: true}
}

// ParseAddress reads a message of AddressFilter.
func ParseAddress(m mqtt.Message) (domain string, key peerselector.Key, own []netip.Prefix, err error) {
	levels := strings.Split(m.Topic, "/")
	var d addressData
	if err = json.Unmarshal(m.Payload, &d); err == nil {
		err = key.UnmarshalText([]byte(d.PublicKey))
	}
	if len(levels) != 3 || err != nil {
		return "", key, nil, fmt.Errorf("topic %q: payload %.100q is no address of a node: %w", m.Topic, m.Payload, err)
	}
	for _, a := range d.Addresses {
		if !a.IsValid() {
			return "", key, nil, fmt.Errorf("topic %q: an address is missing", m.Topic)
		}
		own = append(own, netip.PrefixFrom(a, a.BitLen()))
	}
	return levels[1], key, slices.Clip(own), nil
}
