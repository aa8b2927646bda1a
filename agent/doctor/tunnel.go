package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/health"
	"wguplink/agent/mtu"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
)

// tunnel wants an answer from a gateway's link address.
func (x *exam) tunnel(ctx context.Context) Finding {
	if f, skipped := x.needs(Handshake); skipped {
		return f
	}
	if x.agent {
		x.reread()
		if x.says.Gateway == nil {
			return skip("the agent has not chosen a gateway yet")
		}
		x.shaken = []*candidate{inUse(x.says.Gateway)}
	}
	asked := slices.DeleteFunc(slices.Clone(x.shaken), func(c *candidate) bool { return !c.peer.LinkAddress.IsValid() })
	if len(asked) == 0 {
		return skip("no link address is known of " + list(x.shaken))
	}
	if err := x.promote(ctx, asked, false); err != nil {
		return fail(oneLine(err), "look at `ip -d link show "+x.dev+"`")
	}
	mute := x.ask(ctx, asked, x.pace.echo)
	if x.live == nil && x.agent {
		// While the agent hears the gateway, it may be only us who do not: on a busy processor, or in a burst of
		// losses.
		if x.reread(); x.says.State == status.Connected {
			mute = x.ask(ctx, asked, x.pace.echo)
		}
	}
	if x.live != nil {
		detail := fmt.Sprintf("%s answers within %s", x.live.peer.LinkAddress,
			x.rtt.Truncate(time.Millisecond)+time.Millisecond)
		if len(mute) > 0 {
			detail += "; no answer from " + list(mute)
		}
		return pass(detail)
	}
	cause := fmt.Sprintf("the handshake with %s is fine, but %s does not answer inside the tunnel", asked[0],
		asked[0].peer.LinkAddress)
	if to := asked[0].peer.LinkAddress; !to.IsLinkLocalUnicast() && !x.fetches() {
		return x.routed(to, cause)
	}
	if x.fetches() {
		return fail(cause+": it does not know our addresses, or drops echo requests",
			"ask the operators for "+x.ident.Public.String())
	}
	other := x.cfg.LinkLocal.Other()
	if !x.agent && x.promote(ctx, asked, true) == nil {
		if x.ask(ctx, asked, x.pace.echo); x.live != nil {
			x.live = nil
			return fail(fmt.Sprintf("%s to %s; it does to %s, our link address derived the other way", cause,
				x.linkAddress(false), x.linkAddress(true)),
				fmt.Sprintf("option link_local '%s'", other))
		}
	}
	return fail(fmt.Sprintf(
		"%s: it expects another link address than %s (option link_local is %s), or has no route or forwarding "+
			"entry for it", cause, x.linkAddress(false), x.cfg.LinkLocal),
		fmt.Sprintf(
			"try option link_local '%s'; else ask the operators for the gateway's allowed IPs and forwarding "+
				"entry of %s", other, x.ident.Public))
}

// routed is about a gateway whose address inside the tunnel is no link-local one. Our own address there is not the
// agent's to make, and so not ours.
func (x *exam) routed(to netip.Addr, cause string) Finding {
	family := "IPv6"
	if to.Is4() {
		family = "IPv4"
	}
	switch {
	case !x.agent:
		return skip(
			fmt.Sprintf(
				"%s can be asked from an address of yours on %s only, which is not there without the agent: start "+
					"it, and run the doctor again", to, x.cfg.Interface))
	case !x.hasAddress(x.dev, to):
		return fail(fmt.Sprintf("%s: %s has no %s address to ask it from", cause, x.dev, family),
			fmt.Sprintf(
				"give %s the node's %s address, with netifd as in the section `Plain IP through the tunnel` of "+
					"docs/openwrt.md", x.dev, family))
	}
	return fail(cause+": it has no route to our address, or its allowed IPs for us lack it",
		"ask the operators for the gateway's allowed IPs and route of "+x.ident.Public.String()+
			"; are the addresses of "+x.dev+" those that they gave you?")
}

// promote lets the gateways send and receive from their link addresses, and nothing else: a default route stays where
// it is. other is for our own address derived the other way. The agent's device is left as it is.
func (x *exam) promote(ctx context.Context, all []*candidate, other bool) error {
	if x.agent {
		return nil
	}
	d := &x.made.Devices[0]
	d.Addresses = x.addressesOf(other)
	taken := map[netip.Addr]bool{}
	for i := range d.Peers {
		d.Peers[i].AllowedIPs = nil
		for _, c := range all {
			a := c.peer.LinkAddress
			if wgtypes.Key(c.peer.PublicKey) == d.Peers[i].PublicKey && !taken[a] {
				taken[a] = true // an address can be of one peer only
				d.Peers[i].AllowedIPs = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
			}
		}
	}
	_, err := x.kern.Apply(ctx, *x.made)
	return err
}

// ask sends echo requests to all at once. The first in their order that answers is live.
func (x *exam) ask(ctx context.Context, all []*candidate, within time.Duration) (mute []*candidate) {
	var addrs []netip.Addr
	for _, c := range all {
		if !slices.Contains(addrs, c.peer.LinkAddress) {
			addrs = append(addrs, c.peer.LinkAddress)
		}
	}
	got := x.echo(ctx, x.dev, addrs, within)
	for _, c := range all {
		rtt, ok := got[c.peer.LinkAddress]
		switch {
		case !ok:
			mute = append(mute, c)
		case x.live == nil:
			x.live, x.rtt = c, rtt
		}
	}
	return mute
}

// mtu measures what passes.
func (x *exam) mtu(ctx context.Context) Finding {
	if f, skipped := x.needs(Tunnel); skipped && x.live == nil {
		return f
	}
	used, err := x.linkMTU(x.dev)
	if err != nil {
		return fail(oneLine(err), "run the doctor again")
	}
	// A search takes up to eleven steps of three times the wait in the worst case, and usually half of that.
	const least = 400 * time.Millisecond
	passes, err := x.largest(ctx, x.dev, x.live.peer.LinkAddress, min(mtu.Least, used), used, max(least, x.rtt))
	where := fmt.Sprintf("the MTU of %s is %d", x.dev, used)
	if x.cfg.MTU != 0 {
		where = fmt.Sprintf("option mtu is %d", x.cfg.MTU)
	}
	switch {
	case errors.Is(err, health.ErrSilent):
		return fail(fmt.Sprintf("MTU too big: not even packets of %d bytes pass, which IPv6 needs; %s",
			min(mtu.Least, used), where),
			"the WAN carries too little for WireGuard with IPv6 in it: look at its MTU")
	case err != nil && passes < min(mtu.Least, used):
		return skip("it could not be measured: " + oneLine(err))
	case err != nil && passes < used: // the time is over; what is too large was asked for first
		return fail(fmt.Sprintf("MTU too big: packets of %d bytes pass, larger ones hardly, and %s", passes, where),
			fmt.Sprintf("option mtu '%d'", passes))
	case passes < used:
		return fail(fmt.Sprintf("MTU too big: the largest packet that passes is %d bytes, and %s", passes, where),
			fmt.Sprintf("option mtu '%d'", passes))
	}
	return pass(fmt.Sprintf("packets of %d bytes pass%s", used, x.cut(used)))
}

// cut says when WireGuard's own packets have to go in pieces, which works, but is slow.
func (x *exam) cut(used int) string {
	if !x.live.at.IsValid() {
		return ""
	}
	path, err := x.pathMTU(x.live.at)
	overhead := mtu.WireGuard6
	if x.live.at.Addr().Is4() {
		overhead = mtu.WireGuard4
	}
	if err != nil || used+overhead <= path {
		return ""
	}
	return fmt.Sprintf("; but in pieces: the WAN carries %d bytes, for which option mtu '%d' would do", path,
		max(mtu.Least, path-overhead))
}

var _ kernel = (*tunnel.Tunnel)(nil)
