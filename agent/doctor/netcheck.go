//go:build !nobroker

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/health"
	"wguplink/agent/mtu"
	"wguplink/agent/status"
	"wguplink/peerselector"
)

// Reach is how a gateway can be reached at one of its addresses.
type Reach struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
	Address   string `json:"address,omitempty"` // with the port; as configured where it is not known
	Family    string `json:"family,omitempty"`  // IPv4 or IPv6
	InUse     bool   `json:"in_use"`
	Handshake string `json:"handshake"`              // answered, no_answer, or skipped: the reason says why
	Took      int64  `json:"handshake_us,omitempty"` // how long it took, microseconds, where it was made for this
	Age       int64  `json:"handshake_age,omitempty"`
	Sent      int    `json:"sent"` // echo requests through the tunnel, and answers to them
	Received  int    `json:"received"`
	RTT       int64  `json:"rtt_us,omitempty"` // the least round trip through the tunnel, microseconds
	MTU       int    `json:"mtu,omitempty"`    // the largest packet that passes inside the tunnel, bytes
	Reason    string `json:"reason,omitempty"`

	peer       peerselector.Peer
	at         netip.AddrPort
	generation int
}

// What Reach.Handshake may be.
const (
	shakeAnswered = "answered"
	shakeNone     = "no_answer"
	shakeSkipped  = "skipped"
)

// Netcheck looks how all gateways of the uplink can be reached. It does not disturb the tunnel: WireGuard answers only
// a key that it knows, so handshakes are made with the node's own key. They are never made with a gateway that the
// agent has a session with: that would move the session. Such a gateway is asked through the agent's device. For the
// others a device of our own is made, without an address and without a route; what comes by it goes nowhere but to the
// test. Where the agent looks for a gateway itself, it is left to do so, and its word is taken.
func Netcheck(ctx context.Context, o Options) ([]Reach, error) {
	n := netcheck{exam: newExam(o), quality: beside}
	n.pace.look = 20 * time.Millisecond
	defer n.close()
	return n.run(ctx)
}

// netcheck is one run.
type netcheck struct {
	*exam
	generation int // of peers on our own device: each try is a new peer
	// quality measures what is inside the tunnel; tests put another in its place.
	quality func(ctx context.Context, device string, own, to netip.Addr, most int) (health.Quality, error)
}

// prepare learns what all depends on. The broker is asked only where no agent runs that has asked it.
func (x *netcheck) prepare(ctx context.Context) error {
	for _, s := range []struct {
		name Stage
		run  func(context.Context) Finding
	}{{Config, x.config}, {WAN, x.wan}, {Key, x.key}, {Broker, x.broker}} {
		if s.name == Broker && len(x.says.Gateways) > 0 {
			continue
		}
		bound, cancel := context.WithTimeout(ctx, stageTimeout)
		f := s.run(bound)
		cancel()
		x.outcome[s.name] = f.Outcome
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case f.Outcome == Failed && s.name == Broker && len(x.cfg.Gateways) > 0:
		case f.Outcome == Failed:
			return fmt.Errorf("%s: %s; %s", s.name, f.Cause, f.Remedy)
		}
	}
	for _, c := range x.says.Gateways { // those that a broker has named to the agent
		p := peerselector.Peer{Name: c.Name, Endpoints: []string{c.Endpoint}}
		key, err := wgtypes.ParseKey(c.PublicKey)
		if err != nil || c.Endpoint == "" {
			continue
		}
		p.PublicKey = peerselector.Key(key)
		p.LinkAddress, _ = netip.ParseAddr(c.LinkAddress)
		if !slices.ContainsFunc(x.cfg.Gateways, func(g peerselector.Peer) bool { return g.PublicKey == p.PublicKey }) {
			x.answer.Peers = append(x.answer.Peers, p)
		}
	}
	return nil
}

func (x *netcheck) run(ctx context.Context) ([]Reach, error) {
	err := x.prepare(ctx)
	if err == nil {
		x.kern, err = x.open()
	}
	if err != nil {
		return nil, err
	}
	var all []Reach
	for _, c := range x.candidates(ctx) {
		all = append(all, x.rows(c)...)
	}
	if len(all) == 0 {
		return nil, errors.New("no gateway is known: there is none in the configuration, and no broker named one")
	}
	var free []*Reach
	var wg sync.WaitGroup
	for i := range all {
		r := &all[i]
		if r.Handshake == "" {
			free = append(free, r)
		}
		if r.InUse {
			wg.Add(1)
			go func() { defer wg.Done(); x.measure(ctx, r, x.says.Interface, x.agentMTU()) }()
		}
	}
	if len(free) > 0 {
		err = x.shakeAll(ctx, free)
	}
	wg.Wait()
	return all, err
}

// rows are the addresses of a gateway that are worth a line: the first of each family, or the one that the agent uses.
func (x *netcheck) rows(c *candidate) (rows []Reach) {
	r := Reach{Name: c.peer.Name, PublicKey: c.peer.PublicKey.String(), peer: c.peer}
	if len(c.peer.Endpoints) > 0 {
		r.Address = c.peer.Endpoints[0]
	}
	for _, g := range x.says.Gateways { // a broker may call it by another name than the configuration
		if x.agent && g.PublicKey == r.PublicKey {
			r.Name = g.Name
		}
	}
	if held, ok := x.held(r); ok {
		return []Reach{held}
	}
	if c.err != nil {
		r.Handshake, r.Reason = shakeSkipped, oneLine(c.err)
		return []Reach{r}
	}
	for _, a := range c.addrs {
		one := r
		one.at, one.Address, one.Family = a, a.String(), familyOf(a.Addr())
		if !slices.ContainsFunc(rows, func(have Reach) bool { return have.Family == one.Family }) {
			rows = append(rows, one)
		}
	}
	return rows
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// held is what the agent has of a gateway: a session, or its own try at one.
func (x *netcheck) held(r Reach) (Reach, bool) {
	if !x.agent {
		return r, false
	}
	place := func(endpoint string) {
		if a, err := netip.ParseAddrPort(endpoint); err == nil {
			r.at, r.Address, r.Family = a, endpoint, familyOf(a.Addr())
		}
	}
	if g := x.says.Gateway; g != nil && g.PublicKey == r.PublicKey {
		place(g.Endpoint)
		r.InUse, r.Handshake, r.Age = true, shakeAnswered, g.HandshakeAge
		return r, true
	}
	if n := x.says.Network; n != nil {
		for _, t := range n.Tunnels {
			if t.Gateway == r.Name {
				place(t.Endpoint)
				r.Handshake, r.Reason = shakeNone, "the agent has no session yet"
				if t.HandshakeAt != 0 {
					r.Handshake, r.Age, r.Reason = shakeAnswered, t.HandshakeAge, "stands by on "+t.Interface
				}
				return r, true
			}
		}
	}
	if x.says.State == status.Connected || x.says.State == status.Impaired && x.says.Gateway != nil {
		return r, false
	}
	r.Handshake, r.Reason = shakeSkipped, "the agent is looking for a gateway itself"
	for _, c := range x.says.Gateways {
		if c.PublicKey == r.PublicKey {
			place(c.Endpoint)
			r.Reason += "; its last try: " + string(c.Result)
		}
	}
	return r, true
}

// agentMTU is that of the agent's device, in bytes.
func (x *netcheck) agentMTU() int {
	n, err := x.linkMTU(x.says.Interface)
	if err != nil {
		return mtu.Least
	}
	return n
}

// measure fills in what is known of the inside of the tunnel.
func (x *netcheck) measure(ctx context.Context, r *Reach, device string, most int) {
	to := r.peer.LinkAddress
	own := x.ownInside(to)
	if !to.IsValid() || !own.IsValid() {
		r.Reason = "no address inside the tunnel is known to ask it from, or at"
		return
	}
	q, err := x.quality(ctx, device, own, to, most)
	if err != nil {
		r.Reason = oneLine(err)
		return
	}
	r.Sent, r.Received, r.RTT, r.MTU = q.Sent, q.Received, q.RTT.Microseconds(), q.Largest
	if q.Received == 0 {
		r.Reason = to.String() + " does not answer inside the tunnel"
	}
}

// ownInside is our own address for the inside of the tunnel, of the kind that a gateway's has: that on the agent's
// device, or what would be there.
func (x *netcheck) ownInside(to netip.Addr) netip.Addr {
	own := addressOn(cmp.Or(x.says.Interface, x.cfg.Interface), to)
	if !own.IsValid() && to.IsLinkLocalUnicast() {
		return x.linkAddress(false)
	}
	return own
}

// addressOn is one of a device that is of the same family as another: link-local if that is, else the first.
func addressOn(device string, like netip.Addr) (found netip.Addr) {
	l, err := net.InterfaceByName(device)
	if err != nil {
		return found
	}
	all, _ := l.Addrs()
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().Is4() != like.Is4() {
			continue
		}
		if p.Addr().IsLinkLocalUnicast() == like.IsLinkLocalUnicast() {
			return p.Addr()
		}
		if !found.IsValid() && !p.Addr().IsLinkLocalUnicast() { // Parker's devices have no link-local one
			found = p.Addr()
		}
	}
	return found
}

// insidePatience is for a gateway that learns of a handshake only when it next looks.
const insidePatience = 11 * time.Second

// beside is outside.quality as it is.
func beside(ctx context.Context, device string, own, to netip.Addr, most int) (health.Quality, error) {
	b, err := health.OpenBeside(device, own, to)
	if err != nil {
		return health.Quality{}, err
	}
	defer b.Close()
	return b.Measure(ctx, most, insidePatience), nil
}
