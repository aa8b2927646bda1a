package measure

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"wguplink/testbed/netlab"
	"wguplink/testbed/topology"
)

var (
	routeBack         = Metric{Name: "route back to Ethernet reply", Unit: "s", Target: 3}
	routeSwitches     = Metric{Name: "switches, route gone", AtMost: true}
	lineBack          = Metric{Name: "line back to Ethernet reply", Unit: "s", Target: 3}
	lineSwitches      = Metric{Name: "switches, line silent", AtMost: true}
	readdressed       = Metric{Name: "other addresses to Ethernet reply", Unit: "s", Target: 10}
	readdressSwitches = Metric{Name: "switches", AtMost: true, Informs: true}
	startNoIPv6       = Metric{Name: "start to Ethernet reply", Unit: "s", Target: 2.5}
	ipv6Lost          = Metric{Name: "IPv6 dead to Ethernet reply", Unit: "s", Target: 10}
	mappingLost       = Metric{Name: "mapping lost to Ethernet reply", Unit: "s", Target: 10}
	mappingStuck      = Metric{Name: "mapping stuck to Ethernet reply", Unit: "s", Target: 60}
)

// outage is how long the WAN is away.
const outage = time.Minute

// age is how much older WireGuard's session is in the second run than in the first, and again in the third: there it is
// about to end, and cannot be renewed, when the WAN is back (REKEY_AFTER_TIME 120 s, REJECT_AFTER_TIME 180 s).
const age = 54 * time.Second

// aftermath is how long an agent is watched for a late change of its mind.
const aftermath = 10 * time.Second

// wanRouteGone takes the default routes away, which the node is told, as when a router loses its DHCP lease.
func wanRouteGone(t *Measurement) error {
	return t.wanDown(routeBack, routeSwitches, func() (func() error, error) { return t.RouteUp, t.RouteDown() })
}

// wanSilent has the router lose all that comes from and goes to the node, without a word to it.
func wanSilent(t *Measurement) error {
	back := func() error { return t.Happen(topology.Mended, "") }
	return t.wanDown(lineBack, lineSwitches, func() (func() error, error) {
		return back,
			t.Happen(topology.WANIsCut, "")
	})
}

func (t *Measurement) wanDown(back, switches Metric, down func() (up func() error, err error)) error {
	first, err := t.connect(topology.Options{}, nil)
	if err != nil {
		return err
	}
	if err := t.pause(time.Duration(t.Run%3) * age); err != nil {
		return err
	}
	before, err := t.switches()
	if err != nil {
		return err
	}
	up, err := down()
	if err != nil {
		return err
	}
	gone := time.Now()
	if err := t.pause(outage); err != nil {
		return err
	}
	if _, answered := t.frames.Count(gone.Add(time.Second), time.Now()); answered > 0 {
		return fmt.Errorf("%d frames were answered while the WAN was down", answered)
	}
	took, err := t.after(up, nil)
	if err != nil {
		return err
	}
	t.seconds(back, took)
	return t.counted(switches, before, first.Gateway)
}

// counted waits for late switches, then notes how many there were. Without any it must still be the same gateway.
func (t *Measurement) counted(m Metric, before int, gateway string) error {
	if err := t.pause(aftermath); err != nil {
		return err
	}
	now, err := t.switches()
	if err != nil {
		return err
	}
	r, err := t.frames.Await(t.ctx, time.Now(), nil)
	if err != nil {
		return err
	}
	t.number(m, now-before)
	if now == before && r.Gateway != gateway {
		return fmt.Errorf("no switch was counted, yet it was %s and is %s", gateway, r.Gateway)
	}
	return nil
}

// wanAddressChange gives the node other addresses, as many lines do each night.
func wanAddressChange(t *Measurement) error {
	first, err := t.connect(topology.Options{}, nil)
	if err != nil {
		return err
	}
	before, err := t.switches()
	if err != nil {
		return err
	}
	v4 := netip.PrefixFrom(netip.MustParseAddr("192.0.2.99"), topology.NodeV4.Bits())
	v6 := netip.PrefixFrom(netip.MustParseAddr("2001:db8:1::99"), topology.NodeV6.Bits())
	took, err := t.after(func() error {
		return errors.Join(t.RouteDown(),
			t.Node.DelAddr("wan", topology.NodeV4), t.Node.DelAddr("wan", topology.NodeV6),
			t.Node.Addr("wan", v4), t.Node.Addr("wan", v6), t.RouteUp())
	}, nil)
	if err != nil {
		return err
	}
	t.seconds(readdressed, took)
	return t.counted(readdressSwitches, before, first.Gateway)
}

// ipv6DeadAtStart has an IPv6 route that leads nowhere, and the first name server behind it.
func ipv6DeadAtStart(t *Measurement) error {
	err := t.make(topology.Options{}, options{"dns": {topology.ServicesV6.Addr().String(),
		topology.ServicesV4.Addr().String()}})
	if err != nil {
		return err
	}
	if err := t.loseIPv6(); err != nil {
		return err
	}
	_, took, err := t.start()
	t.seconds(startNoIPv6, took)
	return err
}

// ipv6Dies takes IPv6 from a node that is connected by it, because there was no IPv4 when it started.
func ipv6Dies(t *Measurement) error {
	if err := t.make(topology.Options{}, nil); err != nil {
		return err
	}
	undo, err := t.Router.Drop(netlab.DropAddr(topology.NodeV4.Addr())...)
	if err != nil {
		return err
	}
	if _, _, err := t.start(); err != nil {
		return err
	}
	if err := errors.Join(undo(), t.pause(rest)); err != nil {
		return err
	}
	st, err := t.Agent.Status(t.ctx)
	if err != nil {
		return err
	}
	if st.Gateway == nil || strings.HasPrefix(st.Gateway.Endpoint, "203.0.113.") {
		return fmt.Errorf("the node is not connected by IPv6: %+v", st.Gateway)
	}
	took, err := t.after(t.loseIPv6, nil)
	if err != nil {
		return err
	}
	t.seconds(ipv6Lost, took)
	return nil
}

func (t *Measurement) loseIPv6() error {
	_, err := t.Router.Drop(netlab.DropAddr(topology.NodeV6.Addr())...)
	return err
}

// natted is a node on an IPv4 line with a NAT.
func (t *Measurement) natted() error {
	if err := t.make(topology.Options{NoV6: true, Line: true}, nil); err != nil {
		return err
	}
	t.Line.NAT(true)
	if _, _, err := t.start(); err != nil {
		return err
	}
	return t.pause(rest)
}

func natMappingLost(t *Measurement) error {
	if err := t.natted(); err != nil {
		return err
	}
	took, err := t.after(func() error { t.Line.LoseMappings(); return nil }, nil)
	if err != nil {
		return err
	}
	t.seconds(mappingLost, took)
	return nil
}

// natMappingStuck blocks the ports that the node has in use, for good: only another source port helps.
func natMappingStuck(t *Measurement) error {
	if err := t.natted(); err != nil {
		return err
	}
	ports := t.Line.Ports()
	if len(ports) == 0 {
		return errors.New("the NAT has no mapping")
	}
	took, err := t.after(func() error { t.Line.Block(ports...); return nil }, nil)
	if err != nil {
		return err
	}
	t.seconds(mappingStuck, took)
	return nil
}
