// Package peers looks after the gateways on the WireGuard devices of an uplink: which address each is tried at, whether
// it is in the race or stands by, and when it shall be created anew.
//
// A Set does nothing by itself. Lookups says which names shall be looked up now; the caller does so beside its loop,
// and hands the addresses to Resolved.
package peers

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"wguplink/agent/config"
	"wguplink/agent/names"
	"wguplink/agent/slog"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// Peer is a gateway on its device, or on its way there.
type Peer struct {
	peerselector.Peer
	Endpoint  netip.AddrPort // where it is tried, or was heard from last; the zero AddrPort while that is not known
	Promoted  bool           // it has its allowed IPs
	Creation  int            // changes when it shall be created anew
	Move      int            // changes when its endpoint alone shall be set
	Handshake status.Uptime  // when the latest was seen; 0 for none

	addrs   []netip.AddrPort // where to try
	attempt int
	lookup  int  // the number of the look-up under way; 0 for none
	reaim   bool // that look-up is for another address of a gateway that has one
}

// Policy says which addresses may be tried, and which come first.
type Policy struct {
	Family  config.Family
	V4, V6  bool // there is a WAN route of that family
	Narrow6 bool // WireGuard packets do not fit the WAN's IPv6
}

// Set holds the peers of one uplink. It is not safe for concurrent use.
type Set struct {
	log      *slog.Logger
	policy   Policy
	racing   map[peerselector.Key]*Peer
	standing map[peerselector.Key]*Peer // with a session, but not in use
	count    int                        // of creations
	lookups  int
	changes  int       // of addresses
	first6   bool      // IPv6 is the family that worked last
	err      error     // why a gateway could not be tried, of late
	standAt  time.Time // when to bring up those that shall stand by and do not
}

// New makes an empty Set.
func New(log *slog.Logger) *Set {
	return &Set{log: log, racing: map[peerselector.Key]*Peer{}, standing: map[peerselector.Key]*Peer{}, first6: true}
}

// SetPolicy makes a policy the valid one, for addresses that are chosen from now on.
func (s *Set) SetPolicy(p Policy) { s.policy = p }

// Clear forgets all peers.
func (s *Set) Clear() {
	s.changes++
	clear(s.racing)
	clear(s.standing)
}

// Get is what is known of a peer, whether it takes part in the race or stands by; nil when that is nothing.
func (s *Set) Get(k peerselector.Key) *Peer {
	if p := s.racing[k]; p != nil {
		return p
	}
	return s.standing[k]
}

// Racing are the peers that take part in the race or are in use, in a fixed order.
func (s *Set) Racing() []*Peer {
	all := make([]*Peer, 0, len(s.racing))
	for _, p := range s.racing { // there are a few at most: sorted by insertion
		i := len(all)
		for all = append(all, p); i > 0 && bytes.Compare(p.PublicKey[:], all[i-1].PublicKey[:]) < 0; i-- {
			all[i] = all[i-1]
		}
		all[i] = p
	}
	return all
}

// Len is how many there are, those that stand by included.
func (s *Set) Len() int { return len(s.racing) + len(s.standing) }

// Err is why a gateway could not be tried, of late; nil when that was so with none since one was last promoted.
func (s *Set) Err() error { return s.err }

// Adopt takes a peer that was found at work: into use, or to stand by.
func (s *Set) Adopt(p peerselector.Peer, at netip.AddrPort, inUse bool) {
	s.changes++
	if inUse {
		delete(s.standing, p.PublicKey)
		s.racing[p.PublicKey] = &Peer{Peer: p, Endpoint: at, Promoted: true}
		return
	}
	s.standing[p.PublicKey] = &Peer{Peer: p, Endpoint: at}
}

// Install has a peer tried anew at the address for that attempt, as soon as one is known. The event says that it cannot
// be tried.
func (s *Set) Install(p peerselector.Peer, attempt int) []peerselector.Event {
	s.changes++
	in := s.racing[p.PublicKey]
	if attempt == 0 || in == nil {
		in = &Peer{Peer: p}
		s.racing[p.PublicKey] = in
		delete(s.standing, p.PublicKey)
		if err := s.resolve(in); err != nil {
			return s.fail(in, err)
		}
	}
	in.attempt = attempt
	s.aim(in)
	return nil
}

// Promote gives a peer its allowed IPs; nil when it is not there any more.
func (s *Set) Promote(p peerselector.Peer) *Peer {
	in := s.Get(p.PublicKey)
	if in == nil {
		return nil
	}
	delete(s.standing, p.PublicKey)
	s.racing[p.PublicKey] = in
	in.Peer, in.Promoted = p, true
	s.err = nil
	s.standAt = time.Time{}
	return in
}

// Renew creates a peer anew where it is.
func (s *Set) Renew(k peerselector.Key) {
	if in := s.racing[k]; in != nil {
		s.count++
		in.Creation = s.count
	}
}

// Remove takes a peer out of the race. With keep it stands by then, and keeps its session.
func (s *Set) Remove(k peerselector.Key, keep bool) {
	in := s.racing[k]
	if in == nil {
		return
	}
	if !in.Promoted && in.lookup != 0 && !s.inUse() {
		s.err = unresolved(in, names.Timeout)
	}
	s.changes++
	delete(s.racing, k)
	in.Promoted = false
	if keep && in.Endpoint.IsValid() {
		s.standing[k] = in
		return
	}
	s.standAt = time.Time{}
}

// inUse says that a peer has its allowed IPs.
func (s *Set) inUse() bool {
	for _, p := range s.racing {
		if p.Promoted {
			return true
		}
	}
	return false
}

// standEvery is how often to look up the name of a gateway that shall stand by, and of which nothing is known yet.
const standEvery = 20 * time.Second

// StandBy brings up those of the gateways that are not up yet. It goes to work once in a while only.
func (s *Set) StandBy(gateways []peerselector.Peer, now time.Time) {
	if len(gateways) == 0 || now.Before(s.standAt) {
		return
	}
	s.standAt = now.Add(standEvery)
	s.changes++
	for _, p := range gateways {
		if s.Get(p.PublicKey) != nil {
			continue
		}
		in := &Peer{Peer: p}
		s.standing[p.PublicKey] = in
		if err := s.resolve(in); err != nil {
			s.fail(in, err)
			continue
		}
		s.aim(in)
	}
}

// Update gives the peers what is said of them now. With all, the gateways are all that there are: another that stands
// by goes, and one that has moved is met at its new address, with its session.
func (s *Set) Update(gateways []peerselector.Peer, all bool) {
	s.changes++
	known := map[peerselector.Key]bool{}
	for _, p := range gateways {
		known[p.PublicKey] = true
		in := s.Get(p.PublicKey)
		if in == nil {
			continue
		}
		moved := !slices.Equal(in.Endpoints, p.Endpoints)
		in.Peer = p
		if moved && all {
			s.lookUp(in, in.lookup == 0 || in.reaim)
		}
	}
	for k := range s.standing {
		if all && !known[k] {
			delete(s.standing, k)
		}
	}
	s.standAt = time.Time{}
}

// Roamed takes over where a peer was heard from last: WireGuard answers there, wherever it was pointed at. It says
// whether that is another place.
func (s *Set) Roamed(k peerselector.Key, from netip.AddrPort) bool {
	in := s.racing[k]
	from = unmap(from)
	if in == nil || !in.Endpoint.IsValid() || in.Endpoint == from {
		return false
	}
	in.Endpoint, s.first6 = from, from.Addr().Is6()
	s.changes++
	return true
}

// Shook keeps what a handshake tells.
func (s *Set) Shook(k peerselector.Key, from netip.AddrPort) {
	if in := s.Get(k); in != nil {
		if from = unmap(from); in.Endpoint != from {
			s.changes++
		}
		in.Endpoint, in.Handshake = from, status.Now()
		s.first6 = in.Endpoint.Addr().Is6()
	}
}
