package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"wguplink/agent/health"
	"wguplink/peerselector"
)

// MTUs in bytes.
const (
	// wireguardOverhead is what WireGuard costs over IPv6: IPv6 40, UDP 8, message header 16, authenticator 16.
	wireguardOverhead = 80
	// defaultMTU is that of the WireGuard device over Ethernet, and as long as the WAN is not known.
	defaultMTU = 1420
	// minMTU is the smallest that IPv6 works over (RFC 8200, section 5).
	minMTU = 1280
)

// measureWait is a long usual round trip; see health.Largest.
const measureWait = time.Second

// pathMTU is what is known of the path to the gateway in use. The zero value: nothing.
type pathMTU struct {
	known    int        // by the kernel, to the gateway's endpoint; 0 when it was not asked
	to       netip.Addr // the gateway's address that known is for
	largest  int        // packet inside the tunnel that the gateway answers, when less than the device's MTU; 0 when not
	none     bool       // not even that passes, which is the least possible
	at       int        // the device's MTU when largest was measured
	gateway  string     // by whom
	done     bool       // measured since the gateway was promoted
	measures bool       // under way
	spoiled  bool       // what is under way: the gateway fell silent meanwhile, or is met by another path
}

// renew has the path measured again, for it is another one.
func (p *pathMTU) renew() { p.done, p.spoiled = false, true }

// mtu of the WireGuard device: the configured one, else what the path leaves, but never more than over Ethernet: what the
// kernel does not know of the path beyond may not carry more.
func (u *Uplink) mtu() int {
	if fixed := u.fixedMTU(); fixed != 0 {
		return fixed
	}
	var to netip.Addr
	if cur, ok := u.gatewayInUse(); ok {
		to = cur.endpoint.Addr()
	}
	path := u.wan.MTU(to, u.families())
	if k := u.line.known; k != 0 && (to == u.line.to || path == 0) {
		path = k // the device of that very way may be another one than that of the family
	}
	if path == 0 {
		return defaultMTU
	}
	mtu := min(defaultMTU, path-wireguardOverhead)
	if l := u.line.largest; l != 0 {
		mtu = min(mtu, l)
	}
	return max(minMTU, mtu)
}

// gatewayInUse is the installed peer that the engine has chosen, if it has an endpoint.
func (u *Uplink) gatewayInUse() (*installed, bool) {
	if u.engine == nil {
		return nil, false
	}
	cur, ok := u.engine.Current()
	in := u.peers[cur.PublicKey]
	return in, ok && in != nil && in.endpoint.IsValid()
}

// fixedMTU is the configured one, here or in a signed configuration; 0 when it is ours to choose.
func (u *Uplink) fixedMTU() int {
	if u.cfg.MTU == 0 && u.network != nil {
		return u.network.MTU
	}
	return u.cfg.MTU
}

// warning says that the configured MTU is too big; 0 is an MTU of our own, which is lowered instead.
func (p pathMTU) warning(configured int) string {
	if configured == 0 || p.largest == 0 || p.at != configured {
		return ""
	}
	if p.none {
		return fmt.Sprintf("mtu %d is too big: not even packets of %d bytes pass to %s", configured, p.largest, p.gateway)
	}
	return fmt.Sprintf("mtu %d is too big: of the packets to %s the largest that passes has %d bytes; set option mtu '%d', or 'auto'",
		configured, p.gateway, p.largest, p.largest)
}

// measure finds out, once for each gateway and line, whether packets as large as the device's MTU get through. It is called
// when the gateway in use has answered a probe.
func (u *Uplink) measure() {
	cur, ok := u.engine.Current()
	in := u.peers[cur.PublicKey]
	if !ok || in == nil || u.line.done || u.line.measures || u.cfg.Borrowed || u.applyErr != nil || !u.wan.Up() {
		return
	}
	u.line.done = true
	if known, err := u.path.MTU(in.endpoint); err != nil {
		u.log.Debug("path MTU not known", "err", err)
	} else if known != u.line.known || u.line.to != in.endpoint.Addr() {
		u.line.known, u.line.to = known, in.endpoint.Addr()
		u.apply()
	}
	hi := mtuOf(u.applied)
	if hi <= minMTU {
		return
	}
	u.line.measures, u.line.spoiled = true, false
	device, addr := u.deviceOf(cur.PublicKey), cur.LinkAddress
	u.work(u.ctx, func(ctx context.Context) func() {
		n, err := largest(ctx, device, addr, hi)
		return func() { u.measured(cur, n, hi, err) }
	})
}

func largest(ctx context.Context, device string, addr netip.Addr, hi int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return health.Largest(ctx, device, addr, minMTU, hi, measureWait)
}

func (u *Uplink) measured(gw peerselector.Peer, n, hi int, err error) {
	u.line.measures = false
	cur, ok := u.engine.Current()
	if !ok || cur.PublicKey != gw.PublicKey || u.line.spoiled || u.engine.State() != peerselector.Connected || mtuOf(u.applied) != hi {
		u.line.done = false // measured something else; the next answer to a probe begins anew
		return
	}
	none := errors.Is(err, health.ErrSilent) // probes pass, but nothing that IPv6 needs: an MTU below is none
	if none {
		n = minMTU
	} else if err != nil {
		u.log.Debug("MTU not measured", "err", err)
		return
	}
	u.log.Debug("MTU measured", "mtu", hi, "largest", n, "gateway", gw.Name)
	switch {
	case n < hi:
		u.line.largest, u.line.none, u.line.at, u.line.gateway = n, none, hi, gw.Name
		u.log.Warn("packets of the present MTU do not pass", "mtu", hi, "largest", n, "gateway", gw.Name)
	case u.fixedMTU() != 0:
		u.line.largest = 0
	}
	u.apply()
}
