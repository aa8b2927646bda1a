package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
	"wguplink/peerselector"
)

// candidate is a gateway and where to find it.
type candidate struct {
	peer  peerselector.Peer
	addrs []netip.AddrPort
	err   error // why there are none
	at    netip.AddrPort
	sent  bool // something was
}

func (c *candidate) String() string {
	name := c.peer.Name
	if name == "" {
		name = c.peer.PublicKey.String()
	}
	if c.at.IsValid() {
		name += " (" + c.at.String() + ")"
	}
	return name
}

// handshake wants one gateway to answer.
func (x *exam) handshake(ctx context.Context) Finding {
	if f, skipped := x.needs(WAN, Key, Device); skipped {
		return f
	}
	if x.agent {
		return x.watch(ctx)
	}
	all := x.candidates(ctx)
	if len(all) == 0 {
		return skip("needs broker: there is no static gateway")
	}
	var unknown []string
	usable := slices.DeleteFunc(slices.Clone(all), func(c *candidate) bool {
		if c.err != nil {
			unknown = append(unknown, oneLine(c.err))
		}
		return c.err != nil
	})
	if len(usable) == 0 {
		return fail("no gateway can be tried: "+strings.Join(unknown, "; "),
			"are the names right, and the name servers? "+x.asked())
	}
	if x.running() {
		// It came up meanwhile, and has the same key.
		return skip("an agent has started; run the doctor again")
	}
	silent, err := x.race(ctx, usable)
	if err != nil {
		return fail(oneLine(err), "look at the device stage again: something took the device away")
	}
	if len(x.shaken) == 0 {
		return x.unheard(silent)
	}
	detail := list(x.shaken) + " shook hands"
	if len(silent) > 0 {
		detail += "; no answer from " + list(silent)
	}
	if len(unknown) > 0 {
		detail += "; " + strings.Join(unknown, "; ")
	}
	return pass(detail)
}

// candidates are the broker's gateways and the static ones, with the addresses of this moment.
func (x *exam) candidates(ctx context.Context) []*candidate {
	ctx, cancel := context.WithTimeout(ctx, namesTimeout)
	defer cancel()
	var all []*candidate
	for _, p := range append(slices.Clone(x.answer.Peers), x.cfg.Gateways...) {
		if !slices.ContainsFunc(all, func(c *candidate) bool { return c.peer.PublicKey == p.PublicKey }) {
			all = append(all, &candidate{peer: p})
		}
	}
	var wg sync.WaitGroup
	wg.Add(len(all))
	for _, c := range all {
		go func() {
			defer wg.Done()
			c.addrs, c.err = x.addresses(ctx, c.peer.Endpoints)
		}()
	}
	wg.Wait()
	return all
}

func (x *exam) addresses(ctx context.Context, endpoints []string) (found []netip.AddrPort, err error) {
	found, err = wan.Endpoints(ctx, x.resolve, endpoints)
	ordered := wan.Order(found, x.families(), x.way)
	switch {
	case len(ordered) > 0:
		return ordered, nil
	case err == nil:
		err = fmt.Errorf("%s has no address of the families allowed (option address_family is %s)",
			strings.Join(endpoints, ", "), x.cfg.AddressFamily)
	}
	return nil, err
}

// families are those that the configuration allows.
func (x *exam) families() wan.Preference {
	return wan.Preference{V4: x.cfg.AddressFamily != config.Only6,
		V6: x.cfg.AddressFamily != config.Only4, First6: true}
}

// race tries all candidates at once on our own device, at their next address in each round.
func (x *exam) race(ctx context.Context, all []*candidate) (silent []*candidate, err error) {
	dev := &x.made.Devices[0]
	seen := map[wgtypes.Key]bool{}
	rounds := x.pace.rounds
	for i := 0; i < len(rounds) && len(seen) == 0 && ctx.Err() == nil; i++ {
		dev.Peers = nil
		for _, c := range all {
			c.at = c.addrs[i%len(c.addrs)]
			dev.Peers = append(dev.Peers, tunnel.Peer{PublicKey: wgtypes.Key(c.peer.PublicKey), Endpoint: c.at,
				Keepalive: keepalive, Generation: i + 1})
		}
		if _, err := x.kern.Apply(ctx, *x.made); err != nil {
			return nil, err
		}
		err := x.look(ctx, rounds[i], func(dev *wgtypes.Device) time.Duration {
			before := len(seen)
			for _, p := range dev.Peers {
				if !p.LastHandshakeTime.IsZero() {
					seen[p.PublicKey] = true
				}
				for _, c := range all {
					if wgtypes.Key(c.peer.PublicKey) == p.PublicKey && p.TransmitBytes > 0 {
						c.sent = true
					}
				}
			}
			switch {
			case len(seen) == len(all):
				return done
			case before == 0 && len(seen) > 0:
				return x.pace.others
			}
			return 0
		})
		if err != nil {
			return nil, err
		}
	}
	for _, c := range all {
		if seen[wgtypes.Key(c.peer.PublicKey)] {
			x.shaken = append(x.shaken, c)
		} else {
			silent = append(silent, c)
		}
	}
	return silent, nil
}

const keepalive = 25 * time.Second

// done as the answer of a function for look.
const done = time.Duration(-1)

// look reads the device again and again for some time, the first time at once. see may set another time to go on for; 0
// leaves it as it is.
func (x *exam) look(ctx context.Context, within time.Duration, see func(*wgtypes.Device) time.Duration) error {
	over := time.NewTimer(within)
	defer over.Stop()
	again := time.NewTicker(x.pace.look)
	defer again.Stop()
	for {
		dev, err := x.kern.Status(x.dev)
		if err != nil {
			return err
		}
		switch more := see(dev); {
		case more == done:
			return nil
		case more > 0:
			over.Reset(more)
		}
		select {
		case <-again.C:
		case <-over.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// freshHandshake is how old the last handshake of a session in use can be: WireGuard makes a new one after 120 s, and
// drops keys after 180 (REJECT_AFTER_TIME, section 6.1 of its paper).
const freshHandshake = 180

// lives tells whether the session of the gateway in use is one that works, as far as the agent knows, whose ages the
// wall clock does not touch. A gateway that has forgotten our key leaves a handshake behind that is fresh enough, and
// answers nothing: the agent notices within seconds, and tries others.
func (x *exam) lives(ctx context.Context) bool {
	x.reread()
	g := x.says.Gateway
	if g == nil || g.HandshakeAt == 0 || g.HandshakeAge >= freshHandshake || x.says.State == status.Suspect {
		return false
	}
	if c := inUse(g); c.peer.LinkAddress.IsValid() &&
		len(x.echo(ctx, x.dev, []netip.Addr{c.peer.LinkAddress}, x.pace.life)) == 0 {
		x.reread() // it has noticed by now, if it is not only the inside of the tunnel that is silent
	}
	return x.says.State != status.Suspect && x.says.Gateway != nil
}

// watch takes the agent's word, or looks how the peers that it tries fare.
func (x *exam) watch(ctx context.Context) Finding {
	if x.lives(ctx) {
		g := x.says.Gateway
		c := inUse(g)
		x.shaken = []*candidate{c}
		return pass(fmt.Sprintf("%s shook hands with the agent %d s ago", c, g.HandshakeAge))
	}
	first := map[wgtypes.Key]wgtypes.Peer{}
	tried := map[wgtypes.Key]*candidate{}
	var all []*candidate
	var heard *candidate
	var total time.Duration
	for _, r := range x.pace.rounds {
		total += r
	}
	err := x.look(ctx, total, func(dev *wgtypes.Device) time.Duration {
		for _, p := range dev.Peers {
			c := tried[p.PublicKey]
			if c == nil {
				c = x.known(p)
				tried[p.PublicKey], first[p.PublicKey] = c, p
				all = append(all, c)
			}
			if p.Endpoint != nil {
				a := p.Endpoint.AddrPort()
				c.at = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
			}
			c.sent = c.sent || p.TransmitBytes > 0
			// The time itself says nothing: the wall clock may have been set since. That it changes does.
			if was := first[p.PublicKey]; !p.LastHandshakeTime.IsZero() &&
				!p.LastHandshakeTime.Equal(was.LastHandshakeTime) || p.ReceiveBytes > was.ReceiveBytes {
				heard = c
				return done
			}
		}
		return 0
	})
	switch {
	case err != nil:
		return fail("the agent's device cannot be read any more: "+oneLine(err), "run the doctor again")
	case heard != nil:
		x.shaken = []*candidate{heard}
		return pass(heard.String() + " answers the agent")
	case len(all) == 0:
		return fail("the agent tries no gateway: "+x.reason(),
			"the stages before may say why; else look at the agent's log")
	}
	return x.unheard(all)
}

// inUse is the gateway that the agent has chosen.
func inUse(g *status.Gateway) *candidate {
	c := &candidate{peer: peerselector.Peer{Name: g.Name}}
	c.at, _ = netip.ParseAddrPort(g.Endpoint)
	c.peer.LinkAddress, _ = netip.ParseAddr(g.LinkAddress)
	return c
}

// known finds the gateway that a peer on the agent's device is.
func (x *exam) known(p wgtypes.Peer) *candidate {
	for _, g := range append(slices.Clone(x.answer.Peers), x.cfg.Gateways...) {
		if wgtypes.Key(g.PublicKey) == p.PublicKey {
			return &candidate{peer: g}
		}
	}
	return &candidate{peer: peerselector.Peer{PublicKey: peerselector.Key(p.PublicKey)}}
}

// unheard says what may keep all gateways from answering.
func (x *exam) unheard(silent []*candidate) Finding {
	if !slices.ContainsFunc(silent, func(c *candidate) bool { return c.sent }) {
		return fail("nothing can be sent to "+list(silent),
			"there is a default route, but none to these: look at `ip route get ADDRESS mark "+
				strconv.Itoa(int(x.cfg.FwMark))+"`")
	}
	cause := "UDP to " + list(silent) + " gets no answer"
	ask := "ask the operators whether the gateways know " + x.ident.Public.String()
	switch {
	case x.outcome[Clock] == Failed:
		return fail(cause+", and the clock is wrong: gateways ignore handshakes that are older than the last",
			"see to the clock first; if that does not help, "+ask)
	case x.outcome[Broker] == OK:
		return fail(cause+
			", while HTTPS to the broker works: UDP is blocked on the way, or the gateways do not know the key",
			"let UDP out to these ports, at the provider and in any firewall; if it is, "+ask)
	case x.reached:
		return fail(cause+
			", and the broker, which can be reached, did not take the key: the gateways do not know it, or UDP is "+
			"blocked on the way",
			"see to the broker first; the key is "+x.ident.Public.String())
	case x.outcome[Clock] == Warned:
		return fail(cause+
			": UDP is blocked on the way, the gateways are down, or they do not know the key; and if the clock is "+
			"wrong, they ignore handshakes that are older than the last",
			"let UDP out to these ports; is it now "+stamp(x.o.System.Now())+"? "+ask)
	}
	return fail(cause+": UDP is blocked on the way, the gateways are down, or they do not know the key",
		"let UDP out to these ports; "+ask)
}

func list(all []*candidate) string {
	var out []string
	for _, c := range all {
		out = append(out, c.String())
	}
	return strings.Join(out, ", ")
}
