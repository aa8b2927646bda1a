package parker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"wguplink/peerselector"
)

// Keys of the store, as at Brunswick (ffbs-ansible, etcdconfigweb.py).
const (
	prefixConfig  = "/config/"
	prefixDefault = prefixConfig + "default/"
	keyNextID     = "next_free_id"
)

// Brunswick's numbers.
const (
	RetryDefault    = 120   // seconds
	RetryRegistered = 600   // seconds, in the fields of a node from its registration on
	MaxID           = 16383 // ids have 14 bits
	rangeBits4      = 22    // of a node's IPv4 range in 10.0.0.0/8
)

// Concentrator is an entry of the field "concentrators".
type Concentrator struct {
	ID       int              `json:"id"`
	PubKey   peerselector.Key `json:"pubkey"`
	Endpoint string           `json:"endpoint"` // "host:port"
	Address4 netip.Addr       `json:"address4"`
	Address6 netip.Addr       `json:"address6"`
}

// Network is what the operators of a mesh do with the store: fields for all nodes, and for one.
type Network struct{ Store Store }

// Seed makes an empty store ready: the default fields wg_keepalive 25, mtu 1375, retry RetryDefault, no concentrators,
// and 1 as the first id. A store that was seeded before stays as it is.
func (n Network) Seed(ctx context.Context) error {
	values := map[string]string{
		keyNextID:                       "1",
		prefixDefault + "concentrators": "[]",
		prefixDefault + "mtu":           "1375",
		prefixDefault + "retry":         strconv.Itoa(RetryDefault),
		prefixDefault + "wg_keepalive":  "25",
	}
	_, err := n.Store.Swap(ctx, keyNextID, "", values)
	return err
}

// SetDefault sets one field of all nodes. value becomes JSON, unless it is a string: that is kept as it is, as
// Brunswick's tools keep theirs. The server reads what it can as JSON, so that "600" is the number; `"600"` is a
// string.
func (n Network) SetDefault(ctx context.Context, field string, value any) error {
	return n.set(ctx, prefixDefault+field, value)
}

// SetConcentrators sets the default field "concentrators".
func (n Network) SetConcentrators(ctx context.Context, all []Concentrator) error {
	if all == nil {
		all = []Concentrator{}
	}
	return n.SetDefault(ctx, "concentrators", all)
}

// Concentrators gives the default field "concentrators".
func (n Network) Concentrators(ctx context.Context) (all []Concentrator, err error) {
	values, err := n.Store.List(ctx, prefixDefault+"concentrators")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(values[prefixDefault+"concentrators"]), &all); err != nil {
		return nil, fmt.Errorf("default field concentrators: %w", err)
	}
	return all, nil
}

// SetNode sets one field of one node, as SetDefault does.
func (n Network) SetNode(ctx context.Context, key peerselector.Key, field string, value any) error {
	return n.set(ctx, nodePrefix(key)+field, value)
}

// DeleteNode forgets a node: the next time it asks it gets a new id.
func (n Network) DeleteNode(ctx context.Context, key peerselector.Key) error {
	return n.Store.Delete(ctx, nodePrefix(key))
}

func (n Network) set(ctx context.Context, key string, value any) error {
	text, ok := value.(string)
	if !ok {
		b, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("field %s: %w", key, err)
		}
		text = string(b)
	}
	return n.Store.Put(ctx, map[string]string{key: text})
}

// Node is what the store has of a node, in the form that concentrators need. Fields that it lacks are zero.
type Node struct {
	Key                        peerselector.Key
	ID                         int
	Address4, Address6         netip.Addr
	Range4, Range6, XlatRange6 netip.Prefix
}

// Prefixes gives all that is to be routed to the node.
func (n Node) Prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, a := range []netip.Addr{n.Address4, n.Address6} {
		if a.IsValid() {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	for _, p := range []netip.Prefix{n.Range4, n.Range6, n.XlatRange6} {
		if p.IsValid() {
			all = append(all, p.Masked())
		}
	}
	return all
}

// Node gives a registered node, and os.ErrNotExist for another.
func (n Network) Node(ctx context.Context, key peerselector.Key) (Node, error) {
	nodes, err := n.nodes(ctx, nodePrefix(key))
	if err != nil {
		return Node{}, err
	}
	node, ok := nodes[key]
	if !ok {
		return Node{}, fmt.Errorf("node %v: %w", key, os.ErrNotExist)
	}
	return node, nil
}

// Nodes gives all registered nodes. Those whose fields cannot be read are left out, and told of in the error.
func (n Network) Nodes(ctx context.Context) (map[peerselector.Key]Node, error) {
	return n.nodes(ctx, prefixConfig)
}

// Watch sends when the nodes or the default fields may have changed, as Store.Watch does.
func (n Network) Watch(ctx context.Context) <-chan struct{} { return n.Store.Watch(ctx, prefixConfig) }

func (n Network) nodes(ctx context.Context, prefix string) (map[peerselector.Key]Node, error) {
	values, err := n.Store.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]map[string]string)
	for k, v := range values {
		name, field, ok := strings.Cut(strings.TrimPrefix(k, prefixConfig), "/")
		if !ok || name == "default" {
			continue
		}
		if fields[name] == nil {
			fields[name] = make(map[string]string)
		}
		fields[name][field] = v
	}
	nodes := make(map[peerselector.Key]Node)
	var errs []error
	for name, f := range fields {
		node, err := parseNode(name, f)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("node %s: %w", name, err))
		case f["id"] != "":
			nodes[node.Key] = node
		}
	}
	return nodes, errors.Join(errs...)
}

func parseNode(name string, f map[string]string) (n Node, err error) {
	b, err := base64.URLEncoding.DecodeString(name)
	if err != nil || len(b) != len(n.Key) {
		return n, errors.New("its name is not 32 bytes in urlsafe base64")
	}
	n.Key = peerselector.Key(b)
	for field, read := range map[string]func(string) error{
		"id":          func(s string) (err error) { n.ID, err = strconv.Atoi(s); return err },
		"address4":    func(s string) (err error) { n.Address4, err = netip.ParseAddr(s); return err },
		"address6":    func(s string) (err error) { n.Address6, err = netip.ParseAddr(s); return err },
		"range4":      func(s string) (err error) { n.Range4, err = netip.ParsePrefix(s); return err },
		"range6":      func(s string) (err error) { n.Range6, err = netip.ParsePrefix(s); return err },
		"xlat_range6": func(s string) (err error) { n.XlatRange6, err = netip.ParsePrefix(s); return err },
	} {
		if f[field] == "" {
			continue
		}
		if err := read(strings.Trim(f[field], `"`)); err != nil {
			return n, fmt.Errorf("field %s: %w", field, err)
		}
	}
	return n, nil
}

// nodePrefix is where a node's fields are.
func nodePrefix(key peerselector.Key) string {
	return prefixConfig + base64.URLEncoding.EncodeToString(key[:]) + "/"
}

// register gives a node an id and what follows from it, unless it has one already. Another server may register the same
// node, or another, at the same time: the one that does makes the swap of the others fail, and they look again.
func register(ctx context.Context, s Store, d Dialect, key peerselector.Key) error {
	prefix := nodePrefix(key)
	for {
		next, err := s.List(ctx, keyNextID)
		if err != nil {
			return err
		}
		has, err := s.List(ctx, prefix+"id")
		if err != nil {
			return err
		}
		if has[prefix+"id"] != "" {
			return nil
		}
		id, err := strconv.Atoi(next[keyNextID])
		if err != nil {
			return fmt.Errorf("%s is %q; it should be a number, see Network.Seed", keyNextID, next[keyNextID])
		}
		if id > MaxID {
			return fmt.Errorf("no id is left after %d", MaxID)
		}
		values := map[string]string{keyNextID: strconv.Itoa(id + 1)}
		maps.Copy(values, prefixed(prefix, addresses(d, id)))
		ok, err := s.Swap(ctx, keyNextID, next[keyNextID], values)
		if ok || err != nil {
			return err
		}
	}
}

func prefixed(prefix string, fields map[string]string) map[string]string {
	m := make(map[string]string, len(fields))
	for k, v := range fields {
		m[prefix+k] = v
	}
	return m
}

// addresses gives the fields that a new node gets: Brunswick's addresses_from_number, or, for wgkex, two networks out
// of 2001:db8:ed0::/48, since there IPv4 is the same for all and is kept for none.
func addresses(d Dialect, id int) map[string]string {
	if d == Wgkex {
		p, xlat := sub6("2001:db8:ed0::", 2*id), sub6("2001:db8:ed0::", 2*id+1)
		return map[string]string{
			"id": strconv.Itoa(id), "range6": p.String(), "address6": p.Addr().Next().String(),
			"xlat_range6": xlat.String(),
		}
	}
	n := uint32(10)<<24 | uint32(id)<<(32-rangeBits4)
	p4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), rangeBits4)
	p6 := sub6("2001:bf7:381::", id)
	return map[string]string{
		"id": strconv.Itoa(id), "retry": strconv.Itoa(RetryRegistered),
		"address4": p4.Addr().Next().String(), "range4": p4.String(),
		"address6": p6.Addr().Next().String(), "range6": p6.String(),
	}
}

// sub6 gives the nth /64 of a /48.
func sub6(base string, n int) netip.Prefix {
	b := netip.MustParseAddr(base).As16()
	b[6], b[7] = byte(n>>8), byte(n)
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}
