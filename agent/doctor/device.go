package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"wguplink/agent/config"
	"wguplink/agent/mtu"
	"wguplink/agent/network"
	"wguplink/agent/status"
	"wguplink/agent/tunnel"
)

// Names of our own devices, for a time when no agent runs, and the name that marks them as ours, which no uplink can
// have.
const (
	ownDevice = "wgdoctor"
	ownVXLAN  = "wgdoctor-vx"
	ownName   = "doctor-device"
)

// device looks at the agent's devices, or makes one like them.
func (x *exam) device(ctx context.Context) Finding {
	if f, skipped := x.needs(Config); skipped {
		return f
	}
	k, err := x.open()
	if err != nil {
		return fail(oneLine(err), "run it as root, on Linux with netlink")
	}
	x.kern = k
	if x.agent {
		return x.agentDevice()
	}
	if x.unlock, err = lock(x.o.RunDir); errors.Is(err, errBusy) {
		return fail(oneLine(err), "wait until it is done")
	} else if err != nil {
		return fail(oneLine(err), "run it as root")
	}
	d := x.desired()
	// A doctor that was killed may have left these.
	if err := k.Remove(d); err != nil {
		return fail("the device of an earlier doctor cannot be removed: "+oneLine(err), "run it as root")
	}
	x.made, x.dev = &d, d.Devices[0].Interface
	r, err := k.Apply(ctx, d)
	if err != nil {
		return explain(tunnel.FaultOf(err), oneLine(err))
	}
	detail := fmt.Sprintf("%s WireGuard can be made", r.Backend)
	if d.VXLAN != nil {
		detail += ", and VXLAN over it"
	}
	if _, err := x.linkMTU(x.cfg.Interface); err == nil {
		detail += "; " + x.cfg.Interface + " is there without an agent, and was not looked at"
	}
	return pass(detail)
}

// fetches says that the network's servers give addresses and tunnels.
func (x *exam) fetches() bool { return network.New(x.cfg).Traits().Fetches }

func (x *exam) agentDevice() Finding {
	x.dev = x.cfg.Interface
	if n := x.says.Network; x.fetches() && n != nil && len(n.Tunnels) > 0 {
		if x.dev = n.Exit; x.dev == "" {
			x.dev = n.Tunnels[0].Interface
		}
	} else if x.fetches() {
		return skip("the agent has no configuration yet, and so no device")
	}
	if x.says.Cause == status.Device {
		return explain(tunnel.Fault(x.says.Fault), "the agent says: "+x.reason())
	}
	if _, err := x.kern.Status(x.dev); err != nil {
		return fail(fmt.Sprintf("the agent runs, but there is no WireGuard device %s: %s", x.dev, oneLine(err)),
			"look at the agent's log")
	}
	detail := x.dev
	if x.says.Backend != "" {
		detail += " (" + x.says.Backend + ")"
	}
	if x.cfg.Mode == config.ModeVXLAN {
		if _, err := x.linkMTU(x.cfg.VXLAN.Name); err != nil {
			return fail(fmt.Sprintf("the agent runs, but there is no VXLAN device %s", x.cfg.VXLAN.Name),
				"look at the agent's log; is kmod-vxlan installed?")
		}
		detail += " and " + x.cfg.VXLAN.Name
	}
	return pass(detail + " of the agent are there")
}

// explain adds the way out to what keeps a device from being made, here or, as its status says, by the agent.
func explain(fault tunnel.Fault, cause string) Finding {
	switch fault {
	case tunnel.NoWireGuard:
		return fail("WireGuard is missing in the kernel, and this build has none of its own",
			"install kmod-wireguard, or the userspace variant of this package")
	case tunnel.NoVXLAN:
		return fail("VXLAN is missing in the kernel", "install kmod-vxlan")
	case tunnel.NoUserspace:
		return fail("option backend is userspace, and this build has no WireGuard of its own",
			"option backend 'kernel', or the userspace variant of this package")
	case tunnel.PortTaken:
		return fail(cause,
			"find who has that port: `netstat -lunp` names programs, `ip -d link show type vxlan` and `wg show all "+
				"listen-port` other devices; "+
				"stop that one, or choose another port, for VXLAN on all sides (option vxlan_port), for "+
				"WireGuard here "+
				"(option listen_port)")
	case tunnel.NotPermitted:
		return fail(cause, "run it as root; the agent needs CAP_NET_ADMIN")
	}
	return fail(cause,
		"see to what the message names; `ip -d link` shows the devices, and the system log what the kernel says")
}

// desired is our own device, without peers.
func (x *exam) desired() tunnel.Desired {
	dev := tunnel.Device{
		Interface: ownDevice, Backend: network.Backend(x.cfg.Backend), FwMark: x.cfg.FwMark, MTU: x.ownMTU(),
		Addresses: x.addressesOf(false),
	}
	if x.outcome[Key] == OK {
		dev.PrivateKey = x.ident.Private.Reveal()
	}
	d := tunnel.Desired{Name: ownName, Devices: []tunnel.Device{dev}}
	if x.cfg.Mode == config.ModeVXLAN {
		v := x.cfg.VXLAN
		// Another id than configured: a device left from an agent may have that.
		d.VXLAN = &tunnel.VXLAN{Name: ownVXLAN, ID: v.ID%0xffffff + 1, Port: v.Port, Checksum: v.Checksum,
			MTU: dev.MTU - config.VXLANOverhead}
	}
	return d
}

// addressesOf gives our own address on the device; other is for the one derived the other way.
func (x *exam) addressesOf(other bool) []tunnel.Address {
	if n := x.answer.Network; n != nil {
		return []tunnel.Address{{Prefix: netip.PrefixFrom(n.Address4, 32)}, {Prefix: netip.PrefixFrom(n.Address6, 128)}}
	}
	return []tunnel.Address{{Prefix: netip.PrefixFrom(x.linkAddress(other), x.cfg.LinkPrefix)}}
}

// ownMTU is the configured one, else what the agent would begin with.
func (x *exam) ownMTU() int {
	if x.cfg.MTU != 0 {
		return x.cfg.MTU
	}
	if n := x.answer.Network; n != nil {
		return n.MTU
	}
	most := x.way.MTU(netip.Addr{}, x.families())
	if most == 0 {
		return mtu.Default
	}
	return max(mtu.Least, min(mtu.Default, most-mtu.WireGuard6))
}
