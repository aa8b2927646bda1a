package peers

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"wguplink/agent/config"
	"wguplink/agent/names"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// Lookup is one look-up of a peer's endpoints that shall be under way. Two are the same when their Numbers are.
type Lookup struct {
	Number    int
	Key       peerselector.Key
	Endpoints []string
}

// Lookups are those that shall be under way now.
func (s *Set) Lookups() (all []Lookup) {
	for _, m := range []map[peerselector.Key]*Peer{s.racing, s.standing} {
		for k, in := range m {
			if in.lookup != 0 {
				all = append(all, Lookup{in.lookup, k, in.Endpoints})
			}
		}
	}
	return all
}

func (s *Set) lookUp(in *Peer, reaim bool) {
	s.lookups++
	in.lookup, in.reaim = s.lookups, reaim
}

// resolve finds the addresses of a peer's endpoints. Literal ones are there at once; names need a look-up.
func (s *Set) resolve(in *Peer) error {
	var found []netip.AddrPort
	for _, e := range in.Endpoints {
		a, err := netip.ParseAddrPort(e)
		if err != nil {
			s.lookUp(in, false)
			return nil
		}
		found = append(found, unmap(a))
	}
	if in.addrs = s.order(found); len(in.addrs) == 0 {
		return fmt.Errorf("none of %v may be used with the address families allowed", in.Endpoints)
	}
	return nil
}

// Reaim looks the addresses of a peer up anew, to point it at the next one after the present. Its session stays.
func (s *Set) Reaim(k peerselector.Key) {
	if in := s.Get(k); in != nil && in.lookup == 0 {
		s.lookUp(in, true)
	}
}

// Resolved takes what a look-up has found. moved says that a peer has got another address; the events say that one
// cannot be tried.
func (s *Set) Resolved(l Lookup, addrs []netip.AddrPort, err error) (moved bool, events []peerselector.Event) {
	in := s.Get(l.Key)
	if in == nil || in.lookup != l.Number {
		return false, nil
	}
	in.lookup = 0
	s.changes++
	found := s.order(addrs)
	if in.reaim {
		return s.reaimed(in, found, err), nil
	}
	in.addrs = found
	if err == nil && len(found) == 0 {
		err = unresolved(in, names.Family)
	}
	if err != nil {
		return false, s.fail(in, err)
	}
	s.aim(in)
	return false, nil
}

func (s *Set) reaimed(in *Peer, addrs []netip.AddrPort, err error) (moved bool) {
	if err != nil || len(addrs) == 0 {
		return false // what we have is as good
	}
	next := addrs[(slices.Index(addrs, in.Endpoint)+1)%len(addrs)]
	if next == in.Endpoint {
		return false
	}
	in.addrs, in.Endpoint = addrs, next
	in.Move++
	return true
}

// aim points the peer at the address of its present attempt, as a new peer.
func (s *Set) aim(in *Peer) {
	if len(in.addrs) == 0 {
		return
	}
	s.count++
	in.Creation = s.count
	next := in.attempt
	if s.policy.Family == config.Prefer6 {
		next /= 2 // the first try is often lost, because the gateway has not heard of us yet
	}
	in.Endpoint = in.addrs[next%len(in.addrs)]
}

// fail is for a peer without an address. One that stands by has another chance; see StandBy.
func (s *Set) fail(in *Peer, err error) []peerselector.Event {
	s.log.Debug("gateway cannot be tried", "gateway", in.Name, "err", err)
	if s.standing[in.PublicKey] == in {
		delete(s.standing, in.PublicKey)
		return nil
	}
	s.err = err
	return []peerselector.Event{peerselector.Failed{Key: in.PublicKey}}
}

// unresolved is why there is no address to try a peer at.
func unresolved(in *Peer, why names.Reason) error {
	var hosts []string
	for _, e := range in.Endpoints {
		host, _, err := net.SplitHostPort(e)
		if err != nil {
			host = e
		}
		hosts = append(hosts, host)
	}
	return &names.Error{Host: strings.Join(hosts, ", "), Reason: why}
}

// Usable says that an address may be used by the policy.
func (s *Set) Usable(a netip.AddrPort) bool { return len(s.order([]netip.AddrPort{a})) > 0 }

// order sorts addresses by the policy: with auto, the family that worked last comes first.
func (s *Set) order(addrs []netip.AddrPort) []netip.AddrPort {
	p := s.Families()
	is4 := func(a netip.AddrPort) bool { return a.Addr().Unmap().Is4() }
	if p.V4 && p.V6 && s.policy.V4 && s.policy.Narrow6 && slices.ContainsFunc(addrs, is4) {
		p.V6 = false
	}
	return wan.Order(addrs, p, wan.State{V4: s.policy.V4, V6: s.policy.V6})
}

// Families are those that the configuration allows, and their order.
func (s *Set) Families() wan.Preference {
	p := wan.Preference{V4: true, V6: true, First6: s.first6}
	switch s.policy.Family {
	case config.Prefer6:
		p.First6 = true
	case config.Only6:
		p.V4 = false
	case config.Only4:
		p.V6 = false
	}
	return p
}

// Addresses are those that gateways are tried at, or were heard from, in a fixed order.
func (s *Set) Addresses() (all []netip.AddrPort) {
	add := func(a netip.AddrPort) {
		i, there := slices.BinarySearchFunc(all, a, netip.AddrPort.Compare)
		if !there {
			all = append(all, a)
			copy(all[i+1:], all[i:])
			all[i] = a
		}
	}
	for _, m := range []map[peerselector.Key]*Peer{s.racing, s.standing} {
		for _, in := range m {
			for _, a := range in.addrs {
				add(a)
			}
			if in.Endpoint.IsValid() {
				add(in.Endpoint)
			}
		}
	}
	return all
}

// Changes differs when Addresses may, or the Endpoint of a peer.
func (s *Set) Changes() int { return s.changes }

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
