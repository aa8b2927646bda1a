package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/config"
	"wguplink/agent/derive"
	"wguplink/agent/tunnel"
	"wguplink/agent/userspace"
	"wguplink/peerselector"
)

// desired is the kernel state that we want at this moment.
func (u *Uplink) desired() tunnel.Desired {
	if u.cfg.Protocol == config.Parker {
		return u.desiredNetwork()
	}
	dev := u.device(u.cfg.Interface)
	dev.Addresses = []tunnel.Address{{Prefix: netip.PrefixFrom(u.linkAddress(), u.cfg.LinkPrefix)}}
	dev.Borrowed = u.cfg.Borrowed
	if dev.Borrowed {
		for _, g := range u.cfg.Gateways {
			dev.Leftovers = append(dev.Leftovers, wgtypes.Key(g.PublicKey))
		}
	}
	var remote netip.Addr
	for _, in := range u.peers {
		if in.endpoint.IsValid() {
			dev.Peers = append(dev.Peers, u.peer(in))
		}
	}
	d := tunnel.Desired{Name: u.cfg.Name, Devices: []tunnel.Device{dev}}
	// During a switch two are promoted for a moment: the engine names the one that counts.
	if cur, ok := u.engine.Current(); ok {
		remote = cur.LinkAddress
	}
	if u.cfg.Mode == config.ModeVXLAN {
		v := u.cfg.VXLAN
		if v.MTU == 0 {
			v.MTU = dev.MTU - config.VXLANOverhead
		}
		d.VXLAN = &tunnel.VXLAN{Name: v.Name, ID: v.ID, Port: v.Port, Remote: remote, MTU: v.MTU, Checksum: v.Checksum, Master: u.cfg.Batman}
		onMesh(d.VXLAN, u.cfg)
	}
	return d
}

// device is what all WireGuard devices of the uplink have in common.
func (u *Uplink) device(name string) tunnel.Device {
	dev := tunnel.Device{
		Interface: name, Backend: tunnel.Backend(u.cfg.Backend), FwMark: u.cfg.FwMark, ListenPort: u.cfg.ListenPort, PortTurn: u.portTurn,
		MTU: u.mtu(), Limit: tunnel.Limit{Ingress: u.cfg.LimitIngress, Egress: u.cfg.LimitEgress},
	}
	if !u.key.Private.IsZero() {
		dev.PrivateKey = u.key.Private.Reveal()
	}
	return dev
}

// peer is a peer on its device.
func (u *Uplink) peer(in *installed) tunnel.Peer {
	p := tunnel.Peer{PublicKey: wgtypes.Key(in.peer.PublicKey), Endpoint: in.endpoint, Keepalive: u.cfg.Keepalive, Generation: in.gen, Move: in.move}
	if in.promoted {
		p.AllowedIPs = in.peer.AllowedIPs
	}
	if in.peer.Keepalive != 0 && (in.promoted || u.cfg.Protocol == config.Parker) {
		p.Keepalive = in.peer.Keepalive
	}
	return p
}

func (u *Uplink) linkAddress() netip.Addr {
	return derive.LinkLocal(peerselector.Key(u.key.Public), u.cfg.LinkLocal == config.KeyNewline)
}

// applyEvery is how often the kernel's state is compared with the desired one although nothing has told of a change: a
// forwarding entry that somebody deletes is not worth waking up for each neighbour that the node hears of.
const applyEvery = time.Minute

// keyEvery is how often to look for a private key that could not be loaded or stored.
const keyEvery = 20 * time.Second

// applyGap keeps us from a race with another program that wants a device otherwise: each change of ours is news to it, and
// each of its to us.
const applyGap = 50 * time.Millisecond

// applySoon answers a change of links or addresses.
func (u *Uplink) applySoon() {
	if at := u.appliedAt.Add(applyGap); time.Now().Before(at) {
		if at.Before(u.applyAt) {
			u.applyAt = at
		}
		return
	}
	u.apply()
}

// applyTimeout bounds one Apply; only the start of a userspace process takes noticeable time.
const applyTimeout = 30 * time.Second

// apply brings the kernel to the desired state; on an error it is tried again later, ever more seldom.
func (u *Uplink) apply() {
	u.applyAt = time.Now().Add(applyEvery)
	if u.keyErr != nil {
		u.applyAt = time.Now().Add(keyEvery)
		return
	}
	if u.cfg.Protocol == config.Parker && u.network == nil && u.appliedAt.IsZero() {
		return // what an agent before us has left is left at work until somebody says what is wanted
	}
	ctx, cancel := context.WithTimeout(u.ctx, applyTimeout)
	defer cancel()
	d := u.desired()
	r, err := u.tun.Apply(ctx, d)
	u.appliedAt = time.Now()
	if err == nil {
		u.applyErr, u.applyWait = nil, 0
		if mtu := mtuOf(d, ""); r.Backend == tunnel.Userspace && mtu > userspace.MaxMTU {
			r.Warnings = append(r.Warnings, fmt.Sprintf("mtu %d: userspace WireGuard drops packets over %d bytes", mtu, userspace.MaxMTU))
		}
		if w := u.line.warning(u.fixedMTU()); w != "" {
			r.Warnings = append(r.Warnings, w)
		}
		if u.network != nil {
			r.Warnings = append(r.Warnings, u.network.Warnings...)
		}
		u.report, u.applied = r, d
		u.lookSoon()
		if u.absent {
			u.absent = false
			u.proceed()
		}
		return
	}
	if u.ctx.Err() != nil {
		return
	}
	waiting := u.cfg.Borrowed && errors.Is(err, os.ErrNotExist)
	if !waiting && (u.applyErr == nil || u.applyErr.Error() != err.Error()) {
		u.log.Warn("tunnel not as wanted, trying again", "err", err)
	}
	u.applyErr = err
	u.applyWait = min(max(2*u.applyWait, 50*time.Millisecond), 30*time.Second)
	u.applyAt = time.Now().Add(u.applyWait)
	if waiting && !u.absent {
		// Without the device there is no way out; the race begins when its owner has made it.
		u.absent = true
		u.handle(peerselector.WANDown{})
	}
}

// mtuOf is the MTU of a WireGuard device, in bytes, of the first one if there is none of that name; 0 when there is none at all.
func mtuOf(d tunnel.Desired, device string) int {
	for _, dev := range d.Devices {
		if dev.Interface == device {
			return dev.MTU
		}
	}
	if len(d.Devices) == 0 {
		return 0
	}
	return d.Devices[0].MTU
}
