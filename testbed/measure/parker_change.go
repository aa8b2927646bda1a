package measure

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"wguplink/agent/status"
	"wguplink/testbed/topology"
)

const hangup = syscall.SIGHUP

var (
	parkerAdded   = Metric{Name: "concentrator added: pings lost", AtMost: true}
	parkerRemoved = Metric{Name: "concentrator in use removed to reply", Unit: "s", Target: 10}
	parkerReKeyed = Metric{Name: "concentrator in use re-keyed to reply", Unit: "s", Target: 10}
	parkerMoved   = Metric{Name: "concentrator in use moved to reply", Unit: "s", Target: 10}
	parkerDead4   = Metric{Name: "concentrator in use dead to IPv4 reply", Unit: "s", Target: 10}
	parkerDead6   = Metric{Name: "concentrator in use dead to IPv6 reply", Unit: "s", Target: 10}

	parkerAsked     = Metric{Name: "all down to a request for configuration", Unit: "s", Target: 15}
	parkerRouteless = Metric{Name: "all down to no default routes", Unit: "s", Target: 195}
	parkerBack      = Metric{Name: "all back to reply", Unit: "s", Target: 20}
)

// settled is a node in use of one concentrator, with sessions to all.
func (t *Measurement) settled() (*topology.Concentrator, error) {
	if err := t.online(topology.ParkerOptions{}, nil); err != nil {
		return nil, err
	}
	if err := t.pause(rest); err != nil {
		return nil, err
	}
	return t.inUse()
}

func (t *Measurement) inUse() (*topology.Concentrator, error) {
	s, err := t.until("a concentrator in use", func(s topology.Status) bool { return s.Gateway != nil })
	if err != nil {
		return nil, err
	}
	c := t.Parker.Named(s.Gateway.Name)
	if c == nil {
		return nil, fmt.Errorf("in use is %q, which is none of the topology's", s.Gateway.Name)
	}
	return c, nil
}

// again is how long any reply took after a moment, the slower family's. Replies to pings sent before do not count.
func (t *Measurement) again(since time.Time, filter func(topology.Reply) bool) (worst time.Duration, err error) {
	for _, p := range t.pings {
		o, err := p.Outage(t.ctx, since, filter)
		if err != nil {
			return 0, err
		}
		worst = max(worst, o.Took)
	}
	return worst, nil
}

func parkerAdd(t *Measurement) error {
	if err := t.make(topology.Options{Parker: &topology.ParkerOptions{Concentrators: 4}}, nil); err != nil {
		return err
	}
	all := t.Parker.Concentrators
	if err := t.Parker.Publish(t.ctx, all[:3]...); err != nil {
		return err
	}
	if _, err := t.goOnline(); err != nil {
		return err
	}
	if err := t.pause(time.Second); err != nil {
		return err
	}
	since := time.Now()
	if err := t.Parker.Publish(t.ctx, all...); err != nil {
		return err
	}
	if err := t.refetch("configuration taken"); err != nil {
		return err
	}
	_, err := t.until("a session with the new one", func(s topology.Status) bool {
		return len(s.Network.Tunnels) == 4 && !slices.ContainsFunc(s.Network.Tunnels,
			func(tun status.Tunnel) bool { return tun.HandshakeAt == 0 })
	})
	if err != nil {
		return err
	}
	lost, err := t.lost(since)
	t.number(parkerAdded, lost)
	return err
}

func parkerRemove(t *Measurement) error {
	c, err := t.settled()
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(t.Parker.Concentrators),
		func(o *topology.Concentrator) bool { return o == c })
	if err := t.Parker.Publish(t.ctx, others...); err != nil {
		return err
	}
	since := time.Now()
	if err := t.Agent.Signal(hangup); err != nil {
		return err
	}
	took, err := t.again(since, topology.NotFrom(c.Name))
	if err != nil {
		return err
	}
	t.seconds(parkerRemoved, took)
	if _, err := t.Node.Netlink().LinkByName(fmt.Sprintf("wg_c%d", c.ID)); err == nil {
		return fmt.Errorf("the device of %s is still there", c.Name)
	}
	return nil
}

func parkerReKey(t *Measurement) error {
	return t.changed(parkerReKeyed, func(c *topology.Concentrator) error {
		key, err := wgtypes.GeneratePrivateKey()
		if err != nil {
			return err
		}
		return c.ReKey(key)
	})
}

func parkerMove(t *Measurement) error {
	return t.changed(parkerMoved, func(c *topology.Concentrator) error { return c.Move(c.Port() + 1) })
}

// changed changes the concentrator in use, whose device must stay, and has the node hear of it two seconds later.
func (t *Measurement) changed(m Metric, how func(*topology.Concentrator) error) error {
	c, err := t.settled()
	if err != nil {
		return err
	}
	device := fmt.Sprintf("wg_c%d", c.ID)
	before, err := t.Node.Netlink().LinkByName(device)
	if err != nil {
		return err
	}
	since := time.Now()
	if err := how(c); err != nil {
		return err
	}
	done := time.Now()
	if err := t.Parker.Publish(t.ctx, t.Parker.Concentrators...); err != nil {
		return err
	}
	if err := t.pause(2 * time.Second); err != nil {
		return err
	}
	if err := t.Agent.Signal(hangup); err != nil {
		return err
	}
	took, err := t.again(done, nil)
	if err != nil {
		return err
	}
	t.seconds(m, took+done.Sub(since))
	after, err := t.Node.Netlink().LinkByName(device)
	if err != nil || after.Attrs().Index != before.Attrs().Index {
		return fmt.Errorf("the device of %s was made anew, or is gone: %w", c.Name, err)
	}
	_, err = t.until("a session with it", func(s topology.Status) bool {
		return len(s.Network.Tunnels) == 3 &&
			s.State == "connected"
	})
	return err
}

func parkerDeath(t *Measurement) error {
	c, err := t.settled()
	if err != nil {
		return err
	}
	since := time.Now()
	if err := c.Kill(); err != nil {
		return err
	}
	for i, m := range []Metric{parkerDead4, parkerDead6} {
		o, err := t.pings[i].Outage(t.ctx, since, topology.NotFrom(c.Name))
		if err != nil {
			return err
		}
		t.seconds(m, o.Took)
		t.note("%s: %d pings lost at %d per second, then %s answered", []string{"IPv4", "IPv6"}[i], o.Lost,
			time.Second/often, o.Concentrator)
	}
	return nil
}

// parkerAllDown takes all concentrators away for longer than a session lasts.
func parkerAllDown(t *Measurement) error {
	if _, err := t.settled(); err != nil {
		return err
	}
	since := time.Now()
	for _, c := range t.Parker.Concentrators {
		if err := c.Kill(); err != nil {
			return err
		}
	}
	if err := t.asked(len(t.requests()) + 1); err != nil {
		return err
	}
	t.seconds(parkerAsked, time.Since(since))
	if err := t.routeless(); err != nil {
		return err
	}
	t.seconds(parkerRouteless, time.Since(since))
	back := time.Now()
	for _, c := range t.Parker.Concentrators {
		if err := c.Restart(); err != nil {
			return err
		}
	}
	took, err := t.again(back, nil)
	if err != nil {
		return err
	}
	t.seconds(parkerBack, took)
	return nil
}

// routeless waits until the node's main table has no default route of ours.
func (t *Measurement) routeless() error {
	for {
		ours := 0
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			routes, err := t.Node.Netlink().RouteListFiltered(family, &netlink.Route{Protocol: 23},
				netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				return fmt.Errorf("list the node's routes: %w", err)
			}
			ours += len(routes)
		}
		if ours == 0 {
			return nil
		}
		if err := t.pause(often); err != nil {
			return fmt.Errorf("default routes are still there: %w", context.Cause(t.ctx))
		}
	}
}
