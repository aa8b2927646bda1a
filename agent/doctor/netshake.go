//go:build !nobroker

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/mtu"
	"wguplink/agent/network"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
)

// shakeAll shakes hands with gateways on a device of our own, one address family after the other, and measures those
// that answer.
func (x *netcheck) shakeAll(ctx context.Context, free []*Reach) (err error) {
	if x.unlock, err = lock(x.o.RunDir); err != nil {
		return err
	}
	d := tunnel.Desired{Name: ownName, Devices: []tunnel.Device{{
		Interface: ownDevice, Backend: network.Backend(x.cfg.Backend), FwMark: x.cfg.FwMark,
		PrivateKey: x.ident.Private.Reveal(), Unrouted: true,
	}}}
	if err := x.kern.Remove(d); err != nil { // one that was killed may have left it
		return fmt.Errorf("the device of an earlier test cannot be removed: %w", err)
	}
	x.made, x.dev = &d, ownDevice
	for _, family := range []string{"IPv6", "IPv4"} {
		var now []*Reach
		for _, r := range free {
			if r.Family == family {
				now = append(now, r)
			}
		}
		if len(now) == 0 {
			continue
		}
		if err := x.shakeFamily(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

var errSwitching = errors.New("the agent has begun to look for another gateway, and is left to do so; try again")

// calm tells that the agent still is where it was, so that no gateway of ours is of interest to it.
func (x *netcheck) calm() bool {
	if !x.agent {
		return true
	}
	s, err := x.snapshot()
	return err == nil && s.State != status.Suspect && s.Gateway != nil && x.says.Gateway != nil &&
		s.Gateway.PublicKey == x.says.Gateway.PublicKey
}

// shakeFamily has all of one family tried at once, with a fresh peer in each round, and no allowed IPs.
func (x *netcheck) shakeFamily(ctx context.Context, now []*Reach) error {
	dev := &x.made.Devices[0]
	dev.MTU = x.insideMTU(now[0].at.Addr())
	for _, within := range x.pace.rounds {
		dev.Peers = nil
		x.generation++
		for _, r := range now {
			if r.Handshake != shakeAnswered { // else it stays as it is
				r.generation = x.generation
			}
			dev.Peers = append(dev.Peers, tunnel.Peer{PublicKey: wgtypes.Key(r.peer.PublicKey), Endpoint: r.at,
				Keepalive: keepalive, Generation: r.generation})
		}
		began := time.Now()
		if _, err := x.kern.Apply(ctx, *x.made); err != nil {
			return err
		}
		left := 0
		switching := false
		err := x.look(ctx, within, func(is *wgtypes.Device) time.Duration {
			left = 0
			for _, r := range now {
				i := slices.IndexFunc(is.Peers,
					func(p wgtypes.Peer) bool { return p.PublicKey == wgtypes.Key(r.peer.PublicKey) })
				if r.Handshake != shakeAnswered && i >= 0 && !is.Peers[i].LastHandshakeTime.IsZero() {
					r.Handshake, r.Took = shakeAnswered, time.Since(began).Microseconds()
				}
				if r.Handshake != shakeAnswered {
					left++
				}
			}
			if switching = !x.calm(); switching || left == 0 {
				return done
			}
			return 0
		})
		switch {
		case err != nil:
			return err
		case switching:
			return errSwitching
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if left == 0 {
			break
		}
	}
	var answered []*Reach
	for _, r := range now {
		if r.Handshake == shakeAnswered {
			answered = append(answered, r)
		} else {
			r.Handshake, r.Reason = shakeNone, "UDP is blocked on the way, it is down, or it does not know the key"
		}
	}
	return x.measureAll(ctx, answered)
}

// insideMTU is what fits into one packet on the WAN; without knowledge of the path, what an agent would begin with.
func (x *netcheck) insideMTU(to netip.Addr) int {
	overhead := mtu.WireGuard6
	if to.Is4() {
		overhead = mtu.WireGuard4
	}
	if path := x.way.MTU(to, x.families()); path != 0 {
		return max(mtu.Least, path-overhead)
	}
	return mtu.Default
}

// measureAll measures gateways on our own device: all at once, but for those that share an address inside the tunnel.
func (x *netcheck) measureAll(ctx context.Context, all []*Reach) error {
	for len(all) > 0 {
		var now, later []*Reach
		for _, r := range all {
			if slices.ContainsFunc(now, func(have *Reach) bool { return have.peer.LinkAddress == r.peer.LinkAddress }) {
				later = append(later, r)
			} else {
				now = append(now, r)
			}
		}
		dev := &x.made.Devices[0]
		for i := range dev.Peers {
			dev.Peers[i].AllowedIPs = nil
			for _, r := range now {
				if a := r.peer.LinkAddress; a.IsValid() && wgtypes.Key(r.peer.PublicKey) == dev.Peers[i].PublicKey {
					dev.Peers[i].AllowedIPs = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
				}
			}
		}
		if _, err := x.kern.Apply(ctx, *x.made); err != nil {
			return err
		}
		var wg sync.WaitGroup
		for _, r := range now {
			wg.Add(1)
			go func() { defer wg.Done(); x.measure(ctx, r, ownDevice, dev.MTU) }()
		}
		wg.Wait()
		all = later
	}
	return nil
}
