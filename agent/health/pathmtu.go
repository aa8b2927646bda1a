package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"wguplink/agent/mtu"
	"wguplink/agent/slog"
)

// measureWait is a long usual round trip; see Largest.
const measureWait = time.Second

// measureTimeout bounds one measurement.
const measureTimeout = 2 * time.Minute

// PathMTU is what is known of the path to the gateway in use, and decides when to measure it. It is not safe for
// concurrent use. The zero value knows nothing.
type PathMTU struct {
	known   int         // by the kernel, to the gateway's endpoint; 0 when it was not asked
	to      netip.Addr  // the gateway's address that known is for
	found   finding     // of the last measurement that found less than the device's MTU; the zero value when none did
	done    bool        // asked for, since the gateway was promoted
	spoiled bool        // the measurement under way: the gateway fell silent meanwhile, or is met by another path
	wanted  bool        // asked for, and waits until the device is as desired
	measure Measurement // under way; the zero value when none is
	count   int
}

type finding struct {
	largest int    // packet inside the tunnel that the gateway answers
	none    bool   // not even that passes, which is the least possible
	at      int    // the device's MTU when largest was measured
	gateway string // by whom
}

// Gateway is the one in use, as it is measured.
type Gateway struct {
	Name    string
	Device  string // the WireGuard device
	Address netip.Addr
}

// Measurement is one search for the largest packet. Two are the same when they are equal.
type Measurement struct {
	Gateway Gateway
	MTU     int // of the device, bytes
	number  int
}

// Run searches; see Largest.
func (m Measurement) Run(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	return Largest(ctx, m.Gateway.Device, m.Gateway.Address, mtu.Least, m.MTU, measureWait)
}

// MTU of the WireGuard device: the fixed one, else what the path leaves, but never more than over Ethernet: what the
// kernel does not know of the path beyond may not carry more. Of fixed and wan, that of the WAN's device for the
// gateway's address family, 0 means not known. to is the address of the gateway in use; the zero Addr when there is
// none.
func (p *PathMTU) MTU(fixed, wan int, to netip.Addr) int {
	if fixed != 0 {
		return fixed
	}
	path := wan
	if p.known != 0 && (to == p.to || path == 0) {
		path = p.known // the device of that very way may be another one than that of the family
	}
	if path == 0 {
		return mtu.Default
	}
	most := min(mtu.Default, path-mtu.WireGuard6)
	if p.found.largest != 0 {
		most = min(most, p.found.largest)
	}
	return max(mtu.Least, most)
}

// Warning says that the fixed MTU is too big; "" when it is not, or when fixed is 0: an MTU of our own is lowered
// instead.
func (p *PathMTU) Warning(fixed int) string {
	f := p.found
	if fixed == 0 || f.largest == 0 || f.at != fixed {
		return ""
	}
	if f.none {
		return fmt.Sprintf("mtu %d is too big: not even packets of %d bytes pass to %s", fixed, f.largest, f.gateway)
	}
	return fmt.Sprintf(
		"mtu %d is too big: of the packets to %s the largest that passes has %d bytes; set option mtu '%d', or 'auto'",
		fixed, f.gateway, f.largest, f.largest)
}

// Forget is for another line, or another configuration: nothing is known any more.
func (p *PathMTU) Forget() { *p = PathMTU{count: p.count} }

// Promoted has the path to a new gateway measured with its first answer. A measurement of the one before ends.
func (p *PathMTU) Promoted() { p.done, p.wanted, p.measure = false, false, Measurement{} }

// Renew has the path measured again, because it is another one.
func (p *PathMTU) Renew() { p.done, p.spoiled = false, true }

// Spoil says that packets may be lost for another reason than their size.
func (p *PathMTU) Spoil() { p.spoiled = true }

// Due says that the path is to be measured, now that the gateway in use has answered a probe.
func (p *PathMTU) Due() bool { return !p.done && p.measure == Measurement{} }

// Begin asks for a measurement. known is what the kernel knows of the path to that address, in bytes; 0 when it knows
// nothing.
func (p *PathMTU) Begin(known int, to netip.Addr) {
	p.done, p.wanted = true, true
	if known != 0 {
		p.known, p.to = known, to
	}
}

// Measurement is what shall be under way now; ok is false when nothing shall. device is its MTU as it was set; a
// measurement that was asked for begins with it.
func (p *PathMTU) Measurement(g Gateway, device int) (m Measurement, ok bool) {
	if p.wanted {
		p.wanted = false
		if device > mtu.Least {
			p.count++
			p.spoiled = false
			p.measure = Measurement{Gateway: g, MTU: device, number: p.count}
		}
	}
	return p.measure, p.measure != Measurement{}
}

// Measured takes what the measurement under way has found. valid says that the same gateway is in use, and answers.
// fixed is as for MTU, device as for Measurement.
func (p *PathMTU) Measured(n int, err error, valid bool, fixed, device int, log *slog.Logger) {
	m := p.measure
	p.measure = Measurement{}
	if !valid || p.spoiled || device != m.MTU {
		p.done = false // something else was measured; the next answer to a probe begins anew
		return
	}
	none := errors.Is(err, ErrSilent) // probes pass, but nothing that IPv6 needs: an MTU below is none
	if none {
		n = mtu.Least
	} else if err != nil {
		log.Debug("MTU not measured", "err", err)
		return
	}
	log.Debug("MTU measured", "mtu", m.MTU, "largest", n, "gateway", m.Gateway.Name)
	switch {
	case n < m.MTU:
		p.found = finding{largest: n, none: none, at: m.MTU, gateway: m.Gateway.Name}
		log.Warn("packets of the present MTU do not pass", "mtu", m.MTU, "largest", n, "gateway", m.Gateway.Name)
	case fixed != 0:
		p.found = finding{}
	}
}
