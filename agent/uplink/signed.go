package uplink

import (
	"cmp"
	"time"

	"wguplink/agent/broker"
	"wguplink/agent/parker"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
	"wguplink/agent/wan"
)

// wanMTU is the WAN's for IPv6, in bytes, as the original reads it; 0 when it is not known.
func (u *Uplink) wanMTU() int {
	mtu, err := wan.MTU6(cmp.Or(u.cfg.WANDevice, u.wan.Dev6, u.wan.Dev4))
	if err != nil {
		return 0
	}
	return mtu
}

// clientMTU is what all tunnels that are alive take, bytes; 0 when none is.
func (u *Uplink) clientMTU(d tunnel.Desired) int {
	if u.network == nil {
		return 0
	}
	var tunnels []parker.Tunnel
	for i := range u.network.Concentrators {
		c := &u.network.Concentrators[i]
		in := u.present(c.Peer.PublicKey)
		if in == nil || in.handshake == 0 {
			continue
		}
		for _, dev := range d.Devices {
			if dev.Interface == u.deviceName(c) {
				tunnels = append(tunnels, parker.Tunnel{MTU: dev.MTU, Age: time.Duration(in.handshake.Age(status.Now())) * time.Second})
			}
		}
	}
	return parker.ClientMTU(tunnels)
}

// checked compares a signed configuration with the WAN before it is taken. What cannot be read of the WAN is no reason to refuse it.
func (u *Uplink) checked(n *broker.Network) error {
	local, err := wan.ReadLocal(u.cfg.WANDevice, u.wan.Dev4, u.wan.Dev6)
	if err != nil {
		u.log.Debug("the signed configuration is not compared with the WAN", "err", err)
		return nil
	}
	warnings, err := parker.Check(n, parker.WAN(local))
	n.Warnings = append(n.Warnings, warnings...)
	return err
}
